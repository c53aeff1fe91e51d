"""Every exchange format gives every mask back, says what it cannot hold, and is recognised."""

import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.core.errors import DataError, SegueError
from segue.data.formats.base import WriteOptions
from segue.data.formats.registry import FORMATS, format_named, recognise
from segue.data.io.image import read_image
from segue.data.record import AnnotatedImage, Annotation, Options, Sample

from ..masks import masks
from .conftest import masks_in, sheet_of, written

EXCHANGE = [name for name, row in FORMATS.items() if row.exchange]
POLYGONS = [name for name in EXCHANGE if FORMATS[name].polygons]
MANY_FOLDERS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@st.composite
def objects(draw):
    """1 to 4 masks of one size, none empty, overlapping as they like."""
    size = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    return [draw(masks(size=size, empty=False)) for _ in range(draw(st.integers(1, 4)))]


def layered(found):
    """What is left of each mask when later ones lie on top."""
    return [m & ~np.any([*found[k + 1 :], np.zeros_like(m)], 0) for k, m in enumerate(found)]


@MANY_FOLDERS
@given(found=objects())
@pytest.mark.parametrize("name", EXCHANGE)
def test_masks_come_back_bit_by_bit(name, found, tmp_path_factory, photo):
    folder = tmp_path_factory.mktemp(name)
    losses = written(name, folder, [sheet_of(found, photo(*found[0].shape))])
    (sheet,) = format_named(name).read(folder)
    kept = found if FORMATS[name].overlap else [m for m in layered(found) if m.any()]
    assert len(sheet.annotations) == len(kept)
    assert all((a == b).all() for a, b in zip(masks_in(sheet), kept, strict=True))
    cut = [k for k, (a, b) in enumerate(zip(found, layered(found), strict=True)) if (a != b).any()]
    if not FORMATS[name].overlap:
        assert [int(loss.object) for loss in losses] == cut
        assert all(loss.iou < 1 for loss in losses)
    else:
        assert all(loss.iou == 1 for loss in losses)


@MANY_FOLDERS
@given(found=objects())
@pytest.mark.parametrize("name", POLYGONS)
def test_polygons_come_back_bit_by_bit_too(name, found, tmp_path_factory, photo):
    folder = tmp_path_factory.mktemp(name)
    losses = written(name, folder, [sheet_of(found, photo(*found[0].shape))], WriteOptions(polygons=True))
    (sheet,) = format_named(name).read(folder)
    assert all((a == b).all() for a, b in zip(masks_in(sheet), found, strict=True))
    assert all(loss.iou == 1 for loss in losses)


@pytest.mark.parametrize("name", POLYGONS)
def test_a_tolerance_is_paid_for_with_a_stated_iou(name, tmp_path, photo):
    y, x = np.mgrid[:80, :100]
    disc = (x - 50) ** 2 + (y - 40) ** 2 < 30**2
    losses = written(name, tmp_path, [sheet_of([disc], photo(80, 100))], WriteOptions(polygons=True, tolerance=2.0))
    (sheet,) = format_named(name).read(tmp_path)
    (got,) = masks_in(sheet)
    iou = (got & disc).sum() / (got | disc).sum()
    assert 0.9 < iou < 1
    assert [loss.what for loss in losses] == ["simplified"]
    assert losses[0].iou == pytest.approx(iou, abs=0.003)


@pytest.mark.parametrize("name", EXCHANGE)
def test_the_folder_is_recognised_and_images_and_classes_survive(name, tmp_path, photo):
    first, second = np.zeros((2, 8, 12), bool)
    first[1:4, 2:6], second[5:7, 3:9] = True, True
    sheets = [sheet_of([first, second], photo(8, 12, f"{stem}.png"), ["a cat", "zebra: ä"]) for stem in ("one", "two")]
    written(name, tmp_path, sheets)
    assert recognise(tmp_path) == name
    again = sorted(format_named(name).read(tmp_path), key=lambda sheet: sheet.file_name)
    assert [sheet.stem.rpartition("/")[2] for sheet in again] == ["one", "two"]
    for sheet, before in zip(again, sheets, strict=True):
        assert [e.name for e in sheet.annotations] == ["a cat", "zebra: ä" if name != "voc" else "zebra  ä"]
        assert sheet.file.read_bytes() == before.file.read_bytes()


@pytest.mark.parametrize("name", EXCHANGE)
def test_void_is_kept_or_its_loss_is_named(name, tmp_path, photo):
    cat, ignore_mask = np.zeros((2, 8, 12), bool)
    cat[1:4, 2:6], ignore_mask[3:6, 4:9] = True, True
    losses = written(name, tmp_path, [sheet_of([cat], photo(8, 12), ignore_mask=ignore_mask)])
    (sheet,) = format_named(name).read(tmp_path)
    if FORMATS[name].ignore_mask:
        assert losses == []
        assert (sheet.ignore_mask == (ignore_mask & ~cat)).all()
    else:
        assert [loss.what for loss in losses] == ["void pixels dropped"]


@pytest.mark.parametrize("name", EXCHANGE)
def test_an_image_without_objects_stays_in_the_set(name, tmp_path, photo):
    written(name, tmp_path, [AnnotatedImage("photo.png", (8, 12), (), photo(8, 12))])
    (sheet,) = format_named(name).read(tmp_path)
    assert (sheet.size, sheet.annotations) == ((8, 12), ())


@pytest.mark.parametrize("name", EXCHANGE)
def test_an_empty_object_is_kept_or_named(name, tmp_path, photo):
    losses = written(name, tmp_path, [sheet_of([np.zeros((8, 12), bool)], photo(8, 12))])
    (sheet,) = format_named(name).read(tmp_path)
    assert len(sheet.annotations) == 1 or [loss.what for loss in losses] == ["empty object dropped"]


@pytest.mark.parametrize("name", EXCHANGE)
def test_images_of_equal_stem_do_not_overwrite_each_other(name, tmp_path, photo):
    a, b = np.zeros((2, 4, 4), bool)
    a[0, 0], b[3, 3] = True, True
    written(name, tmp_path, [sheet_of([a], photo(4, 4, "same.png")), sheet_of([b], photo(4, 4, "same.bmp"))])
    got = [masks_in(sheet)[0] for sheet in format_named(name).read(tmp_path)]
    assert len(got) == 2
    assert (got[0] | got[1]).sum() == 2


@pytest.mark.parametrize("name", EXCHANGE)
def test_an_image_that_exif_turns_is_written_upright(name, tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    source = tmp_path / "turned.jpg"
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)).save(source, exif=exif)
    mask = np.zeros((9, 6), bool)
    mask[2:7, 1:3] = True
    written(name, tmp_path / "out", [sheet_of([mask], source)])
    (sheet,) = format_named(name).read(tmp_path / "out")
    assert (masks_in(sheet)[0] == mask).all()
    with PIL.Image.open(sheet.file) as image:
        assert (image.height, image.width) == (9, 6)
        assert (np.asarray(image) == read_image(source)).all()


@pytest.mark.parametrize("name", EXCHANGE)
def test_an_image_that_is_no_file_is_written_without_loss(name, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    mask = np.eye(6, 9, dtype=bool)
    held = format_named(name)
    held.write(tmp_path, [Sample.from_arrays("a", pixels, [Annotation.from_mask(mask, "cat", "a")])])
    (sheet,) = held.read(tmp_path)
    assert (sheet.image() == pixels).all()
    assert (masks_in(sheet)[0] == mask).all()


@pytest.mark.parametrize("name", EXCHANGE)
def test_a_dry_run_writes_nothing_and_reports_the_same(name, tmp_path, photo):
    found = [np.ones((6, 6), bool), np.eye(6, dtype=bool)]
    sheets = [sheet_of(found, photo(6, 6), ignore_mask=np.eye(6, dtype=bool)[::-1])]
    dry = written(name, None, sheets, WriteOptions(polygons=True))
    assert dry == written(name, tmp_path / "out", sheets, WriteOptions(polygons=True))


@pytest.mark.parametrize("name", EXCHANGE)
def test_a_format_is_a_data_set_that_evaluation_can_open(name, tmp_path, photo):
    cat = np.zeros((8, 12), bool)
    cat[1:4, 2:6] = True
    written(name, tmp_path, [sheet_of([cat], photo(8, 12))])
    (sample,) = format_named(name).open(tmp_path, Options()).samples
    image, target = sample.read()
    assert image.shape == (8, 12, 3)
    assert (target.annotations[0].mask == cat).all()


@pytest.mark.parametrize("name", [name for name in EXCHANGE if name != "yolo"])  # a torn list of numbers is a list
def test_a_torn_file_is_named_in_one_line(name, tmp_path, photo):
    written(name, tmp_path, [sheet_of([np.eye(8, dtype=bool)], photo(8, 8))])
    for path in tmp_path.rglob("*"):
        if path.suffix in (".json", ".xml", ".txt", ".npz", ".yaml") or "Segmentation" in str(path.parent):
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3] if path.is_file() else b"")
        elif path.parent.name == "masks":
            path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SegueError) as caught:
        [masks_in(sheet) for sheet in format_named(name).read(tmp_path)]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", EXCHANGE)
def test_names_that_lead_out_of_the_folder_are_brought_back_in(name, tmp_path, photo):
    sheet = sheet_of([np.eye(4, dtype=bool)], photo(4, 4))
    outside = AnnotatedImage("../../escaped.png", sheet.size, sheet.annotations, sheet.file)
    written(name, tmp_path / "a" / "b", [outside])
    assert not list(tmp_path.glob("escaped*"))
    assert list((tmp_path / "a" / "b").rglob("escaped.png"))


def test_an_unknown_folder_is_explained(tmp_path):
    with pytest.raises(DataError, match="no known format"):
        recognise(tmp_path)


def test_no_format_needs_a_heavy_library():
    code = (
        "import sys; from segue.data.formats.registry import FORMATS; [FORMATS.load(n) for n in FORMATS];"
        "print({'supervision', 'labelme', 'skimage', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
