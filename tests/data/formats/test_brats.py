import numpy as np
import pytest

from segue.core.errors import DataError
from segue.data.formats.registry import open_data

nibabel = pytest.importorskip("nibabel")


def save(path, volume):
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)


def test_the_slice_with_the_largest_whole_tumour_is_taken(tmp_path):
    seg, flair = np.zeros((6, 5, 4), np.uint8), np.zeros((6, 5, 4), np.int16)
    seg[1, 1, 0] = 1
    seg[2:5, 1:3, 2] = 2
    seg[2, 1, 2] = 4
    flair[..., 2] = np.arange(30).reshape(6, 5) * 10
    save(tmp_path / "BraTS20_001" / "BraTS20_001_seg.nii.gz", seg)
    save(tmp_path / "BraTS20_001" / "BraTS20_001_flair.nii.gz", flair)
    (sample,) = open_data(tmp_path).samples
    image, target = sample.read()
    assert image.shape == (5, 6, 3)
    assert (target.annotations[0].mask == (seg[..., 2] > 0).T).all()
    grey = image[..., 0].astype(int)
    assert (grey.T.ravel()[1:] >= grey.T.ravel()[:-1]).all()
    assert (grey.min(), grey.max()) == (0, 255)


def test_a_damaged_volume_is_named(tmp_path):
    save(tmp_path / "case" / "case_seg.nii.gz", np.ones((3, 3, 3), np.uint8))
    save(tmp_path / "case" / "case_flair.nii.gz", np.ones((3, 3, 3), np.uint8))
    (tmp_path / "case" / "case_flair.nii.gz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="case_flair"):
        open_data(tmp_path).samples[0].read()
