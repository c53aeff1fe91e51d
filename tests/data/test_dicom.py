import numpy as np
import pytest

from segue.core.errors import ImageError
from segue.data.dicom import read_dicom
from segue.data.image import find_images, read_image

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: E402
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid  # noqa: E402

HOUNSFIELD = np.array([[-1000, -160, 40, 240, 1000]], np.int16)


def save(path, stored, **tags):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_ = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    frames = stored if stored.ndim == 3 and not tags.get("SamplesPerPixel") else stored[None]
    slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    slice_.Rows, slice_.Columns = frames.shape[1:3]
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
    slice_.BitsAllocated = slice_.BitsStored = stored.dtype.itemsize * 8
    slice_.HighBit, slice_.PixelRepresentation = slice_.BitsStored - 1, int(stored.dtype.kind == "i")
    if len(frames) > 1:
        slice_.NumberOfFrames = len(frames)
    for name, value in tags.items():
        setattr(slice_, name, value)
    slice_.PixelData = stored.tobytes()
    slice_.save_as(path)
    return path


def test_the_files_window_is_applied_in_rescaled_units(tmp_path):
    stored = (HOUNSFIELD + 1024).astype(np.uint16)
    path = save(tmp_path / "ct.dcm", stored, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    assert read_image(path)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_another_window_can_be_asked_for_and_the_first_of_several_counts(tmp_path):
    path = save(tmp_path / "ct.dcm", HOUNSFIELD, WindowCenter=[40, -600], WindowWidth=[400, 1500])
    assert read_dicom(path)[0, 1, 0] == 0
    lung = read_dicom(path, window=(-600, 1500))[0, :, 0].tolist()
    assert lung[0] < lung[1] < lung[2] < lung[3] == 255
    with pytest.raises(ImageError, match="width"):
        read_dicom(path, window=(0, 0))


def test_without_a_window_percentiles_are_stretched(tmp_path):
    ramp = np.linspace(0, 4000, 1000).astype(np.uint16).reshape(25, 40)
    grey = read_image(save(tmp_path / "mr.dcm", ramp))[..., 0]
    assert (grey[0, 0], grey[-1, -1]) == (0, 255)
    assert (np.diff(grey.ravel().astype(int)) >= 0).all()


def test_monochrome1_is_inverted(tmp_path):
    stored = np.array([[0, 255]], np.uint8)
    window = {"WindowCenter": 128, "WindowWidth": 256}
    path = save(tmp_path / "x.dcm", stored, PhotometricInterpretation="MONOCHROME1", **window)
    assert read_image(path)[0, :, 0].tolist() == [255, 0]


def test_colour_and_the_first_of_many_frames(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    path = save(tmp_path / "us.dcm", rgb, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0,
                Rows=4, Columns=5)  # fmt: skip
    np.testing.assert_array_equal(read_image(path), rgb)
    frames = np.stack([np.full((3, 4), 10, np.uint8), np.full((3, 4), 200, np.uint8)])
    path = save(tmp_path / "cine.dcm", frames, WindowCenter=128, WindowWidth=256)
    assert read_image(path)[0, 0, 0] == 10


def test_damage_and_limits_are_clear_errors(tmp_path):
    path = save(tmp_path / "ct.dcm", np.zeros((30, 30), np.uint16))
    with pytest.raises(ImageError, match="at most 100 pixels"):
        read_image(path, max_pixels=100)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ImageError, match="do not decode"):
        read_image(path)


def test_dicom_files_are_found_in_folders(tmp_path):
    path = save(tmp_path / "ct.dcm", HOUNSFIELD)
    assert find_images([tmp_path]) == [path]
