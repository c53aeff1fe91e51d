import pytest

from segue.core.errors import DataError, MissingFile
from segue.data.formats.paired import paired


def files(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def test_stems_pair_whatever_the_suffix_and_the_order(tmp_path):
    images = files(tmp_path / "i", "b.JPG", "a.png", "Thumbs.db", ".a.png.swp")
    masks = files(tmp_path / "m", "a.png", "b.png")
    assert [(i.name, m.name) for i, m in paired(images, masks)] == [("a.png", "a.png"), ("b.JPG", "b.png")]


def test_what_has_no_partner_is_counted_and_named(tmp_path):
    images, masks = files(tmp_path / "i", "a.jpg", "b.jpg", "c.jpg"), files(tmp_path / "m", "c.png")
    with pytest.raises(DataError, match=r"2 of 3 files without mask \(first: .*a\.jpg\)"):
        paired(images, masks)
    with pytest.raises(DataError, match=r"2 of 3 files without image"):
        paired(masks, images)


def test_two_files_of_one_stem_are_refused(tmp_path):
    images, masks = files(tmp_path / "i", "a.jpg", "a.png"), files(tmp_path / "m", "a.png")
    with pytest.raises(DataError, match=r"a\.jpg and a\.png"):
        paired(images, masks)


def test_empty_and_missing_folders_are_told_apart(tmp_path):
    with pytest.raises(MissingFile):
        paired(tmp_path / "none", tmp_path / "none")
    with pytest.raises(DataError, match="no image"):
        paired(files(tmp_path / "i"), files(tmp_path / "m"))
