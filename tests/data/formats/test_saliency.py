import numpy as np
import PIL.Image
import pytest

from segue.core.errors import DataError
from segue.data.formats.registry import open_data, recognise
from segue.data.record import Options

MATTE = np.array([[0, 127, 128, 255]], np.uint8)


def pair(image, mask, matte=MATTE):
    for path, picture in ((image, PIL.Image.new("RGB", (4, 1), (90, 90, 90))), (mask, PIL.Image.fromarray(matte))):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)


LAYOUTS = {
    "DIS5K": ("DIS-VD/im/1#a.jpg", "DIS-VD/gt/1#a.png", "val"),
    "DIS5K, one part": ("im/1#a.jpg", "gt/1#a.png", ""),
    "ECSSD": ("images/0001.jpg", "ground_truth_mask/0001.png", ""),
    "MSRA10K": ("Imgs/1.jpg", "Imgs/1.png", ""),
    "FSS-1000": ("ab_wheel/1.jpg", "ab_wheel/1.png", ""),
    "DUT-OMRON": ("DUT-OMRON-image/im001.jpg", "pixelwiseGT-new-PNG/im001.png", ""),
    "HRSOD": ("HRSOD_test/a.jpg", "HRSOD_test_mask/a.png", "test"),
    "ThinObject-5K": ("images_train/a.jpg", "masks_train/a.png", "train"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_members_layout_is_recognised(name, tmp_path):
    image, mask, split = LAYOUTS[name]
    pair(tmp_path / image, tmp_path / mask)
    assert recognise(tmp_path) == "saliency"
    (sample,) = open_data(tmp_path).samples
    _, target = sample.read()
    assert [a.mask.tolist() for a in target.annotations] == [[[False, False, True, True]]]
    assert sample.group == split


def test_coift_is_a_plain_folder_whose_mattes_are_read_by_name(tmp_path):
    pair(tmp_path / "images" / "a.jpg", tmp_path / "masks" / "a.png")
    assert recognise(tmp_path) == "folder"
    (sample,) = open_data(tmp_path, "saliency").samples
    assert sample.read()[1].annotations[0].area == 2


def test_hqseg44k_has_the_splits_of_hq_sam(tmp_path):
    thin = tmp_path / "thin_object_detection"
    for image, mask in (
        (tmp_path / "DIS5K/DIS-TR/im/a.jpg", tmp_path / "DIS5K/DIS-TR/gt/a.png"),
        (tmp_path / "DIS5K/DIS-VD/im/b.jpg", tmp_path / "DIS5K/DIS-VD/gt/b.png"),
        (tmp_path / "cascade_psp/DUTS-TE/c.jpg", tmp_path / "cascade_psp/DUTS-TE/c.png"),
        (tmp_path / "cascade_psp/fss_all/d.jpg", tmp_path / "cascade_psp/fss_all/d.png"),
        (thin / "COIFT/images/e.jpg", thin / "COIFT/masks/e.png"),
        (thin / "HRSOD/images/f.jpg", thin / "HRSOD/masks_max255/f.png"),
        (thin / "ThinObject5K/images_train/g.jpg", thin / "ThinObject5K/masks_train/g.png"),
        (thin / "ThinObject5K/images_test/h.jpg", thin / "ThinObject5K/masks_test/h.png"),
    ):
        pair(image, mask)
    assert recognise(tmp_path) == "saliency"
    for split, letters in (("train", "acdg"), ("val", "befh")):
        ids = [sample.id.rpartition("/")[2] for sample in open_data(tmp_path, options=Options(split=split)).samples]
        assert sorted(ids) == list(letters)
    with pytest.raises(DataError, match="train, val"):
        open_data(tmp_path, options=Options(split="dev"))


def test_a_mask_of_0_and_1_and_a_colour_png_are_masks_too(tmp_path):
    pair(tmp_path / "a.jpg", tmp_path / "a.png", np.array([[0, 0, 1, 1]], np.uint8))
    pair(tmp_path / "b.jpg", tmp_path / "b.png", np.repeat(MATTE[..., None], 3, -1))
    assert [s.read()[1].annotations[0].area for s in open_data(tmp_path).samples] == [2, 2]


def test_a_photo_without_mask_is_named(tmp_path):
    pair(tmp_path / "im" / "a.jpg", tmp_path / "gt" / "a.png")
    PIL.Image.new("RGB", (4, 1)).save(tmp_path / "im" / "b.jpg")
    with pytest.raises(DataError, match=r"without mask \(first: .*b.jpg\)"):
        open_data(tmp_path)


def test_photos_without_masks_beside_them_are_no_such_data(tmp_path):
    for name in ("a.jpg", "b.jpg", "b.png"):
        PIL.Image.new("RGB", (4, 1)).save(tmp_path / name)
    with pytest.raises(DataError, match="no known format"):
        recognise(tmp_path)
