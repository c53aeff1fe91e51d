"""The command line as a person meets it: good input gives files, bad input one clear line and nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import segue
from segue.cli import COMMANDS, command, doctor, main
from segue.data.io.image import read_image, read_labels
from segue.jobs.doctor import DoctorResult

CAT = Path(segue.__file__).parent / "samples" / "cat.jpg"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A folder of files that are not what they say."""
    folder = tmp_path / "bad"
    folder.mkdir()
    whole = CAT.read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("this is no picture\n")
    torch.save({"state_dict": {"some.other.weight": torch.ones(3)}}, folder / "other.pth")
    (folder / "broken.pth").write_bytes(b"PK\x03\x04 not a checkpoint")
    return folder


def test_one_click_on_a_photo_gives_a_mask_and_an_overlay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, seen = tmp_path / "mask.png", tmp_path / "seen.jpg"
    assert main(["mask", str(CAT), "--click", "230,120", "-o", str(out), "--overlay", str(seen), "--json", "-"]) == 0
    said = json.loads(capsys.readouterr().out)
    labels = read_labels(out)
    assert labels.shape == read_image(CAT).shape[:2] == read_image(seen).shape[:2]
    assert set(np.unique(labels)) <= {0, 255}
    assert int((labels > 0).sum()) == said["area"] > 0
    assert labels[120, 230] == 255, "the clicked pixel belongs to the mask"


def test_positive_and_negative_clicks_and_a_box_together(tmp_path: Path) -> None:
    out = tmp_path / "mask.png"
    arguments = ["--box", "60,20,420,290", "--click", "230,120", "--background-click", "10,10", "-o", str(out)]
    assert main(["mask", str(CAT), *arguments]) == 0
    labels = read_labels(out)
    assert labels[120, 230] == 255
    assert labels[10, 10] == 0


def test_the_object_alone_is_written_with_transparency(tmp_path: Path) -> None:
    out, alone = tmp_path / "mask.png", tmp_path / "alone.png"
    assert main(["mask", str(CAT), "--click", "230,120", "-o", str(out), "--cutout", str(alone)]) == 0
    cutout = np.asarray(Pillow.open(alone))
    assert (cutout[..., 3] == read_labels(out)).all()
    assert (cutout[..., :3] == read_image(CAT)).all()


BAD = {
    "truncated JPEG": (["mask", "{bad}/truncated.jpg", "--click", "9,9"], "truncated"),
    "0-byte file": (["mask", "{bad}/empty.png", "--click", "9,9"], "empty"),
    "text named .png": (["mask", "{bad}/text.png", "--click", "9,9"], "text.png"),
    "no such file": (["mask", "{bad}/nothing.jpg", "--click", "9,9"], "nothing.jpg, which is not there"),
    "no such folder": (["mask", "{bad}/nowhere/", "--click", "9,9"], "nowhere"),
    "only background clicks": (["mask", "{cat}", "--background-click", "9,9"], "--click X,Y"),
    "a percentage": (
        ["evaluate", "--data", "{bad}", "--target", "85"],
        "target=85.0; expected less than or equal to 1",
    ),
    "one reference, nothing shown": (["find", "--reference", "{cat}", "{cat}", "-o", "{bad}/f"], "Add --mask PNG"),
    "no folder of frames": (
        ["track", "--reference", "{cat}", "--click", "9,9", "{bad}/nowhere", "-o", "{bad}/t"],
        "nowhere, which is not there",
    ),
    "no images to annotate": (["annotate", "{bad}/nowhere"], "nowhere, which is not there"),
    "photos without masks": (["adapt", "--data", "{photos}", "-o", "{bad}/a"], "Arrange images/ and masks/"),
    "unknown format of an export": (["annotate", "{photos}", "--export", "coc", "-o", "x"], "Did you mean 'coco'?"),
    "no output": (["convert-data", "{photos}", "--to", "coco"], "--output"),
    "a model that is not there": (["get", "sam-vit-bse"], "Did you mean 'sam-vit-base'?"),
    "a folder": (["mask", "{bad}", "--click", "9,9"], "expected"),
    "click outside": (["mask", "{cat}", "--click", "9999,9"], "inside the image"),
    "negative coordinate": (["mask", "{cat}", "--click=-1,9"], "inside the image"),
    "NaN box": (["mask", "{cat}", "--box", "nan,0,9,9"], "finite"),
    "inverted box": (["mask", "{cat}", "--box", "90,0,9,9"], "x0 < x1"),
    "no prompt": (["mask", "{cat}"], "--click X,Y"),
    "empty text": (["mask", "{cat}", "--text", " "], "at least one word"),
    "text to a click model": (["mask", "{cat}", "--text", "cat"], "takes no words"),
    "unknown model": (["mask", "{cat}", "--click", "9,9", "--model", "nanno"], "Did you mean 'nano'?"),
    "checkpoint of another model": (["mask", "{cat}", "--click", "9,9", "--weights", "{bad}/other.pth"], "not fit"),
    "broken checkpoint": (["mask", "{cat}", "--click", "9,9", "--weights", "{bad}/broken.pth"], "cannot be read"),
    "missing weights": (["mask", "{cat}", "--click", "9,9", "--weights", "{bad}/none.pth"], "no weights file"),
    "weights nobody ships": (["mask", "{cat}", "--click", "9,9", "--model", "simpleclick-base"], "--weights"),
    "missing adapter": (["mask", "{cat}", "--click", "9,9", "--adapter", "{bad}/none"], "none"),
    "evaluating nothing": (["evaluate", "--data", "{bad}/nothing"], "nothing, which is not there"),
    "no table of prompts": (["mask", "--prompts", "{bad}/none.csv"], "no file"),
    "unknown format": (["mask", "{cat}", "--click", "9,9", "--to", "cocoo"], "Did you mean 'coco'?"),
    "a pattern of nothing": (["mask", "{bad}/*.bmp", "--click", "9,9"], "a pattern that matches some"),
    "training without a configuration": (["train", "{bad}/nothing.yaml"], "nothing.yaml"),
    "converting text": (["convert", "{bad}/text.png"], "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line_and_writes_nothing(
    case: str, bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, expected = BAD[case]
    out = tmp_path / "out.png"
    filled = [a.format(bad=bad, cat=CAT, photos=CAT.parent) for a in arguments]
    target = ["-o", str(out)] if filled[0] in ("mask", "convert") else []
    assert main([*filled, *target]) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1
    assert not any(inside in said for inside in ("Traceback", "Path(", "pydantic", "configuration=", "None"))
    assert len(said) < 700, "what to do must not drown in what there is"
    assert expected in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mask", str(CAT), "--click", "1", "-o", "m.png"], "120,80"),
        (["mask", str(CAT), "--click", "225x150", "-o", "m.png"], "120,80"),
        (["mask", str(CAT), "--click", "9,9"], "'--output'"),
        (["mask", str(CAT), "--clik", "9,9", "-o", "m.png"], "--click"),
        (["adapt", "-o", "a"], "'--data'"),
        (["train"], "CONFIG"),
        (["export", "--to", "onx", "-o", "e"], "onnx, web"),
        (["bench", "--size", "512"], "120,80"),
        (["msk", str(CAT)], "Did you mean 'mask'?"),
    ],
)
def test_wrong_usage_ends_with_status_2_and_the_right_spelling(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_table_has_a_json_twin(name: str) -> None:
    group = command(name)
    options = {option.name for option in getattr(group, "commands", {}).values() or group.params}
    assert "json" in options or name == "serve"


def test_an_unreadable_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", str(CAT), "--click", "9,9", "-o", str(CAT / "mask.png")]) == 1
    assert "no way to write" in capsys.readouterr().err


def test_a_mask_is_not_written_as_jpeg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", str(CAT), "--click", "9,9", "-o", str(tmp_path / "m.jpg")]) == 1
    assert "lossless" in capsys.readouterr().err


def test_grey_palette_transparent_and_16_bit_files_are_segmented(tmp_path: Path) -> None:
    photo = Pillow.open(CAT)
    photo.convert("L").save(tmp_path / "grey.png")
    photo.convert("P").save(tmp_path / "palette.png")
    photo.convert("RGBA").save(tmp_path / "alpha.png")
    Pillow.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 100).save(tmp_path / "deep.png")
    for name in ("grey", "palette", "alpha", "deep"):
        out = tmp_path / f"{name}-mask.png"
        assert main(["mask", str(tmp_path / f"{name}.png"), "--click", "230,120", "-o", str(out)]) == 0
        assert read_labels(out)[120, 230] == 255, name


def test_models_and_doctor_tell_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json", "-"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["models"]]
    assert names[0] == "nano"
    assert main(["doctor", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert found["weights"]["nano"] == "whole"
    assert found["matmul_gflops"] > 0
    doctor.command.show(DoctorResult.from_json(found))
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "all well"
    assert "None" not in said
    assert "speed cold click ms" in said
    assert "speed warm click ms" in said
    doctor.command.show(DoctorResult.from_json(found | {"problems": ["no disk left; make room"]}))
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "wrong: no disk left; make room"


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"segue {segue.__version__}\n"
