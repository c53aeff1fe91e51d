"""Every row of the table of formats keeps the promises made for all of them."""

from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, SegueError, UnknownName
from segue.data.formats.registry import FORMATS, format_named, open_data, recognise
from segue.data.record import Annotation, Sample

HEIGHT, WIDTH = 40, 56
WRITTEN = [name for name, row in FORMATS.items() if row.writes]
HERE = Path(__file__).parents[1]


def smooth_grey(seed):
    """A picture that JPEG keeps nearly as it is."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    grey = 128 + 100 * np.sin((x + 3 * seed) / 11) * np.cos(y / 13)
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)


def blob(top, left, height=9, width=11):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + height, left : left + width] = True
    mask[top + 3 : top + 5, left + 3 : left + 6] = False  # a hole
    return mask


def sample(name, masks, ignore_mask=None):
    objects = [Annotation.from_mask(mask, id=f"{name}#{k}") for k, mask in enumerate(masks)]
    return Sample.from_arrays(name, smooth_grey(len(name)), objects, ignore_mask)


def band():
    ignore_mask = np.zeros((HEIGHT, WIDTH), bool)
    ignore_mask[30:33, 5:50] = True
    return ignore_mask


ONE = (sample("first", [blob(2, 4)]), sample("another", [blob(20, 30)]))
MANY = (sample("crowded", [blob(2, 4), blob(2, 30), blob(20, 8)]), *ONE)
VOID = (sample("ragged", [blob(2, 4)], band()), *ONE)
OVERLAP = (sample("stacked", [blob(2, 4), blob(5, 8)]),)


def contents(samples):
    """Everything a data set says, in an order of its own: images, object masks, void."""
    rows = []
    for one in samples:
        image, target = one.read()
        masks = sorted(i.mask.tobytes() for i in target.annotations)
        ignore_mask = target.ignore_mask if target.ignore_mask is not None else np.zeros(image.shape[:2], bool)
        rows.append((one.id.rpartition("/")[2].partition(".")[0], image, masks, ignore_mask))
    return sorted(rows, key=lambda row: row[0])


def round_trip(name, folder, samples):
    format_named(name).write(folder, samples)
    again = open_data(folder, name).samples
    for (a_id, a_image, a_masks, a_void), (b_id, b_image, b_masks, b_void) in zip(
        contents(samples), contents(again), strict=True
    ):
        assert a_id == b_id
        assert a_masks == b_masks
        np.testing.assert_array_equal(a_void, b_void)
        if FORMATS[name].lossy:
            assert np.corrcoef(a_image.ravel(), b_image.ravel())[0, 1] > 0.99
        else:
            np.testing.assert_array_equal(a_image, b_image)


@pytest.mark.parametrize("name", WRITTEN)
def test_objects_survive_a_round_trip_bit_by_bit(name, tmp_path):
    round_trip(name, tmp_path, ONE)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize(("ability", "samples"), [("many", MANY), ("ignore_mask", VOID), ("overlap", OVERLAP)])
def test_what_a_format_can_hold_survives_and_the_rest_is_refused(name, ability, samples, tmp_path):
    if getattr(FORMATS[name], ability):
        round_trip(name, tmp_path, samples)
    else:
        with pytest.raises(DataError):
            format_named(name).write(tmp_path, samples)


@pytest.mark.parametrize("name", WRITTEN)
def test_auto_recognises_what_the_format_wrote(name, tmp_path):
    format_named(name).write(tmp_path, MANY if name == "berkeley" else ONE)
    assert recognise(tmp_path) == name
    assert open_data(tmp_path).format == name


@pytest.mark.parametrize("name", WRITTEN)
def test_ids_are_unique_and_the_order_is_stable(name, tmp_path):
    format_named(name).write(tmp_path, MANY if FORMATS[name].many else ONE)
    first, second = open_data(tmp_path, name).samples, open_data(tmp_path, name).samples
    ids = [i.id for one in first for i in one.read()[1].annotations]
    assert len(ids) == len(set(ids))
    assert [s.id for s in first] == [s.id for s in second]


@pytest.mark.parametrize("name", WRITTEN)
def test_an_image_that_is_damaged_is_named(name, tmp_path):
    format_named(name).write(tmp_path, ONE)
    for path in tmp_path.rglob("*"):
        if path.suffix in (".png", ".jpg", ".tif", ".gz", ".mat"):
            path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(SegueError, match=r"first|another"):
        contents(open_data(tmp_path, name).samples)


@pytest.mark.parametrize("name", FORMATS)
def test_another_layout_is_refused_with_the_layout_expected(name, tmp_path):
    with pytest.raises(SegueError, match="layout of"):
        open_data(tmp_path, name)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_has_a_test_of_its_own(name):
    assert (HERE / "data" / "formats" / f"test_{name}.py").exists() or FORMATS[name].exchange


def test_unknown_formats_and_layouts_are_explained(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean 'davis'"):
        open_data(tmp_path, "daviss")
    with pytest.raises(DataError, match="no known format"):
        open_data(tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_documented_with_its_layout(name):
    page = (HERE.parent / "docs" / "formats.md").read_text()
    assert f"| `{name}`" in page
    assert f"`{name}`" in (HERE.parent / "docs" / "commands.md").read_text()
