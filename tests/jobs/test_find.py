"""segue find: the object where it is, nothing where it is not."""

import json

import numpy as np
import pytest

from segue.cli import main
from segue.core.errors import ConfigError, InputError
from segue.data.formats.registry import open_data
from segue.data.io.image import read_image, read_labels, read_mask, write_image, write_labels
from segue.jobs.find import FindConfig, find
from segue.jobs.output import unique_names
from segue.jobs.reference import reference_clicks, scale_clicks
from segue.metrics.overlap import iou
from segue.session.load import load
from tests.jobs.scenes import empty, toy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("find")
    image, mask = toy()
    write_image(root / "reference.png", image)
    write_labels(root / "reference-mask.png", mask)
    for name, at, scale in (("near", (120, 200), 1.3), ("far", (150, 90), 0.9)):
        image, mask = toy(at=at, scale=scale, seed=len(name))
        write_image(root / "photos" / f"{name}.png", image)
        write_labels(root / "truth" / f"{name}.png", mask)
    write_image(root / "photos" / "none.png", empty())
    return root


@pytest.fixture(scope="module")
def done(folder):
    config = FindConfig.from_fields(
        reference=folder / "reference.png",
        mask=folder / "reference-mask.png",
        images=(str(folder / "photos"),),
        output=folder / "out",
        contact_sheet=folder / "out" / "sheet.jpg",
        threshold=0.25,  # drawn toys are unlike the photos that the default was fitted on
    )
    return find(config)


def test_masks_lie_on_the_object(folder, done):
    for name in ("near", "far"):
        found = read_mask(folder / "out" / "masks" / f"{name}.png")
        assert iou(found, read_mask(folder / "truth" / f"{name}.png")) > 0.7


def test_not_in_this_image_is_an_answer(folder, done):
    row = next(r for r in done.images if r.image.name == "none.png")
    assert row.found == ()
    assert row.absent[0].score < done.threshold
    assert not read_labels(folder / "out" / "masks" / "none.png").any()


def test_scores_and_sheet_are_written(folder, done):
    assert json.loads((folder / "out" / "results.json").read_text()) == done.to_json()
    sheet = read_image(folder / "out" / "sheet.jpg").astype(int)
    assert sheet.shape[1] == 12 + 4 * (320 + 12)  # the example comes first, then three photos
    red = [(tile[324:, :, 0] - tile[324:, :, 1] > 100).any() for tile in np.split(sheet[:, 6:-6], 4, axis=1)]
    assert red == [False, False, False, True]  # "not found" is said in red under "none.png"


def test_several_objects_and_several_instances(folder, tmp_path):
    first, mask = toy(at=(70, 80))
    second, other = toy(at=(170, 240), scale=0.9)
    both = first.copy()
    both[other] = second[other]
    write_image(tmp_path / "both.png", both)
    labels = read_labels(folder / "reference-mask.png") // 255
    write_labels(tmp_path / "labels.png", labels * 3)
    result = find(
        FindConfig.from_fields(
            reference=folder / "reference.png",
            mask=tmp_path / "labels.png",
            images=(str(tmp_path / "both.png"),),
            output=tmp_path / "out",
            instances=2,
            threshold=0.25,
        )
    )
    assert result.objects == (3,)
    written = read_labels(tmp_path / "out" / "masks" / "both.png")
    assert [match.label for match in result.images[0].found] == [1, 2]
    for target in (mask, other):
        assert max(iou(written == k, target) for k in (1, 2)) > 0.6


def test_a_box_or_a_click_shows_it_too(folder, tmp_path):
    for shown in (["--box", "38,18,122,102"], ["--click", "80,60", "--click", "105,75"]):
        status = main(
            [
                "find",
                str(folder / "photos" / "near.png"),
                "--reference",
                str(folder / "reference.png"),
                *shown,
                "-o",
                str(tmp_path / "out"),
                "--force",
                "--json",
                str(tmp_path / "result.json"),
            ]
        )
        assert status == 0
        found = read_mask(tmp_path / "out" / "masks" / "near.png")
        assert iou(found, read_mask(folder / "truth" / "near.png")) > 0.5


def test_mistakes_are_named(folder, tmp_path, capsys):
    base = {"reference": folder / "reference.png", "images": (str(folder / "photos"),), "output": tmp_path}
    with pytest.raises(ConfigError, match="mask file, or a box or clicks"):
        FindConfig.from_fields(**base)
    write_labels(tmp_path / "small.png", np.ones((5, 5), bool))
    with pytest.raises(InputError, match="size"):
        find(FindConfig.from_fields(**base, mask=tmp_path / "small.png"))
    with pytest.raises(InputError, match="three scales"):
        find(FindConfig.from_fields(**base, mask=folder / "reference-mask.png", fit_scale=True))
    status = main(["find", "nowhere.png", "--reference", str(folder / "reference.png"), "--mask", "x.png", "-o", "o"])
    assert status == 1
    assert "nowhere.png" in capsys.readouterr().err


def test_the_baseline_repeats_the_references_clicks():
    from segue.core.types import Reference

    image, mask = toy()
    clicks = reference_clicks(load("nano", device="cpu"), Reference(image, mask), most=2)
    assert mask[int(clicks[0].y), int(clicks[0].x)]
    assert scale_clicks(clicks, (240, 320), (120, 160))[0].x == pytest.approx(clicks[0].x / 2)


def test_files_of_one_name_keep_apart(tmp_path):
    paths = [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png", tmp_path / "2.png"]
    assert sorted(unique_names(paths).values()) == ["2", "a-1", "b-1"]


def test_an_unreadable_photo_is_passed_over_and_named(folder, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    images = (str(folder / "photos" / "near.png"), str(tmp_path / "photos"))
    config = {"reference": folder / "reference.png", "mask": folder / "reference-mask.png"}
    result = find(FindConfig.from_fields(**config, images=images, output=tmp_path / "out"))
    assert [image.image.name for image in result.images] == ["near.png"]
    assert [row.item for row in result.failed] == [str(tmp_path / "photos" / "broken.png")]


def test_results_are_not_overwritten_unasked(folder, tmp_path):
    config = {"reference": folder / "reference.png", "mask": folder / "reference-mask.png"}
    config |= {"images": (str(folder / "photos" / "near.png"),), "output": tmp_path / "out"}
    find(**config)
    with pytest.raises(ConfigError, match="--force"):
        find(**config)
    find(**config, force=True)


def test_what_is_found_is_also_a_data_set_of_another_tool(folder, tmp_path):
    files = {"reference": folder / "reference.png", "mask": folder / "reference-mask.png"}
    result = find(**files, images=(str(folder / "photos"),), output=tmp_path, threshold=0.25, to="coco")
    samples = [sample.load() for sample in open_data(tmp_path / "coco").samples]
    written = {sample.stem: [(a.name, a.area) for a in sample.annotations] for sample in samples if sample.annotations}
    found = {row.image.stem: [("reference", o.area) for o in row.found] for row in result.images if row.found}
    assert written == found


def test_pictures_explain_where_it_was_looked_for(folder, tmp_path):
    near = folder / "photos" / "near.png"
    files = {"reference": folder / "reference.png", "mask": folder / "reference-mask.png", "images": (str(near),)}
    find(**files, output=tmp_path / "out", explain=tmp_path / "why")
    (picture,) = (tmp_path / "why").iterdir()
    drawn, there = read_image(picture).astype(int), read_mask(folder / "truth" / "near.png")
    yellow = drawn[..., 0] + drawn[..., 1] - drawn[..., 2] - read_image(near).astype(int).mean(-1) * 0.4
    assert yellow[there].mean() > yellow[~there].mean() + 30
    with pytest.raises(ConfigError, match="--force"):
        find(**files, output=tmp_path / "other", explain=tmp_path / "why")


def test_the_grey_value_of_the_mask_is_read_from_its_file(folder, tmp_path):
    config = {"reference": folder / "reference.png", "images": ("a.png",), "output": tmp_path}
    drawn = FindConfig.from_fields(**config, mask=folder / "reference-mask.png")
    write_labels(tmp_path / "labels.png", read_labels(drawn.mask[0]) // 255)
    assert drawn.mask_value() == 255
    assert FindConfig.from_fields(**config, mask=tmp_path / "labels.png").mask_value() == 128
    assert FindConfig.from_fields(**config, box=(1, 2, 30, 40)).mask_value() == 255


def recolored(image, mask):
    """The toy in green and blue instead of red and yellow: a thing of another kind that looks alike."""
    changed = image.copy()
    changed[mask] = image[mask][:, ::-1] // 2 + np.array([0, 110, 60], np.uint8)
    return changed


@pytest.fixture(scope="module")
def alike(folder):
    """A photo of the toy beside one of other colors, one of the other alone, and an example of the other."""
    root = folder / "alike"
    image, mask = toy(at=(70, 80))
    second, other = toy(at=(160, 240), scale=0.9)
    image[other] = recolored(second, other)[other]
    write_image(root / "photos" / "both.png", image)
    for name, at, seed in (("photos/other", (120, 160), 7), ("example", (100, 140), 3)):
        drawn, there = toy(at=at, seed=seed)
        write_image(root / f"{name}.png", recolored(drawn, there))
        write_labels(root / f"{name}-mask.png" if name == "example" else root / "other-mask.png", there)
    return root, mask, other


def shown(folder, root, **more):
    files = {"reference": folder / "reference.png", "mask": folder / "reference-mask.png"}
    return find(FindConfig.from_fields(**{**files, "images": (str(root / "photos"),), "threshold": 0.25, **more}))


@pytest.mark.parametrize("masked", [True, False])
def test_what_looks_more_like_a_negative_is_absent(folder, alike, tmp_path, masked):
    root, mask, _ = alike
    before = shown(folder, root, output=tmp_path / "before")
    assert [len(row.found) for row in before.images] == [1, 1]
    masks = {"not_this_mask": root / "example-mask.png"} if masked else {}
    after = shown(folder, root, output=tmp_path / "after", not_this=root / "example.png", **masks)
    found = {row.image.stem: row.found for row in after.images}
    assert found["other"] == ()
    assert iou(read_mask(tmp_path / "after" / "masks" / "both.png"), mask) > 0.6
    assert after.not_this == (root / "example.png",)


def test_negatives_hold_for_all_instances(folder, alike, tmp_path):
    root, _, other = alike
    of_other = {"reference": root / "example.png", "mask": root / "example-mask.png"}
    negative = {"not_this": folder / "reference.png", "not_this_mask": folder / "reference-mask.png"}
    both = {"images": (str(root / "photos" / "both.png"),)}
    shown(folder, root, **of_other, **negative, **both, output=tmp_path, instances="all")
    assert iou(read_labels(tmp_path / "masks" / "both.png") > 0, other) > 0.6


def test_several_examples_are_one_object(folder, alike, tmp_path):
    root, mask, other = alike
    for name, value in (("first", 255), ("second", 1)):
        write_labels(tmp_path / f"{name}.png", read_labels(folder / "reference-mask.png") // 255 * value)
    write_labels(tmp_path / "second.png", read_labels(root / "example-mask.png") // 255)
    status = main(
        [
            "find",
            str(root / "photos" / "both.png"),
            "--instances",
            "2",
            "--threshold",
            "0.05",
            "-o",
            str(tmp_path / "o"),
        ]
        + ["--reference", str(folder / "reference.png"), "--mask", str(tmp_path / "first.png")]
        + ["--reference", str(root / "example.png"), "--mask", str(tmp_path / "second.png")]
    )
    assert status == 0
    result = json.loads((tmp_path / "o" / "results.json").read_text())
    assert result["objects"] == [255]
    assert result["more_references"] == [str(root / "example.png")]
    labels = read_labels(tmp_path / "o" / "masks" / "both.png")
    for target in (mask, other):
        assert max(iou(labels == k, target) for k in (1, 2)) > 0.6


def test_examples_and_masks_come_in_pairs(folder, alike, tmp_path):
    root, *_ = alike
    for wrong in ({"reference": [root / "example.png"] * 2}, {"not_this_mask": root / "example-mask.png"}):
        with pytest.raises(ConfigError, match="a mask for each"):
            shown(folder, root, output=tmp_path, **wrong)
