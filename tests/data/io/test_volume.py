"""Volumes: slices along any axis, with the file's spacing, without reading the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from segue.core.errors import DataError, ImageError
from segue.data.io.clip import is_numbered, open_clip
from segue.data.io.volume import open_volume

SHAPE = (6, 8, 10)


@pytest.fixture
def numbers() -> np.ndarray:
    return np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE) * 40


def npy(folder: Path, values: np.ndarray) -> Path:
    np.save(folder / "v.npy", values)
    return folder / "v.npy"


def tiff(folder: Path, values: np.ndarray) -> Path:
    tifffile.imwrite(folder / "v.tif", values, imagej=True, resolution=(2, 4), metadata={"spacing": 3.0})
    return folder / "v.tif"


def nifti(folder: Path, values: np.ndarray, name: str = "v.nii.gz") -> Path:
    nibabel = pytest.importorskip("nibabel", reason="needs the extra 'medical'")
    nibabel.save(nibabel.Nifti1Image(values.T, np.diag([-0.5, -0.25, -3, 1])), folder / name)
    return folder / name


def series(folder: Path, values: np.ndarray) -> Path:
    pydicom = pytest.importorskip("pydicom", reason="needs the extra 'medical'")
    home = folder / "series"
    home.mkdir()
    uid = pydicom.uid.generate_uid()
    for number, plane in enumerate(values):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = pydicom.uid.CTImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = pydicom.uid.generate_uid()
        data.SeriesInstanceUID, data.InstanceNumber = uid, len(values) - number
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 3.0 * number], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.Rows, data.Columns = [0.25, 0.5], *plane.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation, data.PixelData = 15, 0, plane.tobytes()
        data.save_as(home / f"{99 - number}.dcm", enforce_file_format=True)
    return home


@pytest.mark.parametrize("write", [npy, tiff, nifti, series])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_those_of_the_array(tmp_path, numbers, write, axis):
    volume = open_volume(write(tmp_path, numbers))
    assert volume.shape == SHAPE
    assert volume.spacing == ((1, 1, 1) if write is npy else (3, 0.25, 0.5))
    for index in (0, SHAPE[axis] - 1, 2):
        assert (volume.plane(axis, index) == numbers.take(index, axis)).all()
        assert volume.picture(axis, index).shape == (*volume.size(axis), 3)
    volume.close()


@pytest.mark.parametrize("write", [npy, tiff, nifti])
def test_all_slices_share_one_scale(tmp_path, numbers, write):
    with open_clip(write(tmp_path, numbers)) as clip:
        means = [clip.read(number).mean() for number in range(clip.frames)]
    assert means == sorted(means)
    assert means[0] < 40 < 215 < means[-1]


def test_a_nifti_file_is_shown_with_the_front_up_and_cut_back_into_its_own_order(tmp_path, numbers):
    nibabel = pytest.importorskip("nibabel", reason="needs the extra 'medical'")
    nibabel.save(nibabel.Nifti1Image(numbers.T, np.eye(4)), tmp_path / "v.nii")
    volume = open_volume(tmp_path / "v.nii")
    assert volume.flipped == (True, True, False)
    labels = np.zeros(SHAPE, np.uint8)
    volume.cut(labels, 0, 4)[0] = 1  # the uppermost row as shown
    assert labels[4, -1].all()
    assert labels.sum() == SHAPE[2]


def test_a_folder_of_one_series_is_one_clip(tmp_path, numbers):
    home = series(tmp_path, numbers)
    assert is_numbered(home)
    with open_clip(home) as clip:
        assert (clip.kind, clip.frames) == ("stack", 6)
    import pydicom

    data = pydicom.dcmread(home / "99.dcm")
    data.SeriesInstanceUID = pydicom.uid.generate_uid()
    data.save_as(home / "other.dcm")
    with pytest.raises(DataError, match="2 DICOM series"):
        open_clip(home)


def test_broken_volumes_are_named(tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros((3, 4)))
    np.save(tmp_path / "words.npy", np.full((2, 3, 4), "a"))
    (tmp_path / "cut.nii.gz").write_bytes(b"\x1f\x8b\x08nothing")
    for name, words in (("flat.npy", "with colours last"), ("words.npy", "real numbers"), ("cut.nii.gz", "NIfTI")):
        with pytest.raises(ImageError, match=words):
            open_volume(tmp_path / name)


def test_numbers_outside_the_body_do_not_spoil_the_scale(tmp_path, numbers):
    values = numbers.astype(np.float32)
    values[:, 0] = np.nan
    with open_clip(npy(tmp_path, values)) as clip:
        assert clip.read(5).max() == 255
