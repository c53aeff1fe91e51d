import numpy as np
import pytest

pytest.importorskip("pydicom", reason="needs the extra 'medical'")

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from segue.core.errors import ImageError, InputError, MissingFile
from segue.data.io.dicom import read_dicom
from segue.data.io.image import open_image
from segue.data.io.pixels import as_image


def saved(path, pixels, **tags):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    planes = pixels.ndim == 3 and not colour
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = pixels.shape[1:] if planes else pixels.shape[:2]
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        data.PlanarConfiguration = 0
    if planes:
        data.NumberOfFrames = pixels.shape[0]
    bits = 8 * pixels.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


CT = (np.arange(48).reshape(6, 8) * 40).astype(np.int16)


def test_window_and_level_are_in_hounsfield(tmp_path):
    path = saved(
        tmp_path / "ct.dcm", CT, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=[40, 300], WindowWidth=[400, 1500]
    )
    got = read_dicom(path)[..., 0]
    units = CT.astype(float) - 1024
    assert (got[units <= 40 - 200] == 0).all()
    assert (got[units >= 40 + 200] == 255).all()
    inside = (units > -150) & (units < 230)
    np.testing.assert_allclose(got[inside], (units[inside] - 39.5) / 399 * 255 + 127.5, atol=0.51)
    wide = read_dicom(path, window=(300, 1500))[..., 0]
    assert len(np.unique(wide)) > len(np.unique(got))


def test_without_a_window_the_percentile_stretch_applies(tmp_path):
    np.testing.assert_array_equal(read_dicom(saved(tmp_path / "a.dcm", CT)), as_image(CT.astype(float)))


def test_monochrome1_is_inverted(tmp_path):
    plain = read_dicom(saved(tmp_path / "a.dcm", CT, WindowCenter=900, WindowWidth=1000))
    turned = saved(tmp_path / "b.dcm", CT, WindowCenter=900, WindowWidth=1000, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_dicom(turned), 255 - plain)


def test_frames_and_colour(tmp_path):
    stack = np.stack([CT, CT[::-1]]).astype(np.uint16)
    path = saved(tmp_path / "frames.dcm", stack, WindowCenter=900, WindowWidth=2000)
    assert open_image(path).pages == 2
    np.testing.assert_array_equal(read_dicom(path, 1), read_dicom(path, 0)[::-1])
    with pytest.raises(InputError, match="0 to 1"):
        read_dicom(path, 2)
    rgb = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    np.testing.assert_array_equal(read_dicom(saved(tmp_path / "rgb.dcm", rgb)), rgb)


def test_what_is_no_image_is_named(tmp_path):
    with pytest.raises(MissingFile):
        read_dicom(tmp_path / "none.dcm")
    (tmp_path / "text.dcm").write_text("no picture")
    with pytest.raises(ImageError, match=r"text\.dcm"):
        read_dicom(tmp_path / "text.dcm")
    with pytest.raises(InputError, match="width"):
        read_dicom(saved(tmp_path / "a.dcm", CT), window=(0, 0))
