"""The one rule of outputs: what an earlier run left is never overwritten unasked, by any command."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.cli import main

CAT = Path(__file__).parents[2] / "src/segue/samples/cat.jpg"
SHOWN = ["--reference", str(CAT), "--click", "225,150"]
LEFT = {  # command line, with {out} for the output -> what an earlier run left there
    "mask": (["mask", str(CAT), str(CAT), "--click", "225,150", "-o", "{out}"], "results.jsonl"),
    "find": (["find", *SHOWN, str(CAT), "-o", "{out}"], "results.json"),
    "track": (["track", *SHOWN, str(CAT.parent), "-o", "{out}"], "results.json"),
    "export": (["export", "--model", "nano", "-o", "{out}"], "graphs.json"),
    "export, a page": (["export", "--to", "web", "-o", "{out}"], "index.html"),
    "convert": (["convert", "{weights}", "-o", "{out}"], "model.safetensors"),
    "encode": (["encode", str(CAT), "--cache", "{out}/cache", "--decoder", "{out}"], "model.safetensors"),
    "adapt": (["adapt", "--data", "{data}", "-o", "{out}"], "adapter_model.safetensors"),
    "calibrate": (["calibrate", "{data}", "-o", "{out}/nano.json"], "nano.json"),
    "convert-data": (["convert-data", "{data}", "--to", "coco", "-o", "{out}"], "annotations.json"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of four photographs with masks."""
    from tests.training.toys import write_disks

    return write_disks(tmp_path_factory.mktemp("data"), 4)


@pytest.mark.parametrize("case", LEFT)
def test_an_earlier_result_stays(case: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, name = LEFT[case]
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"hours of work")
    weights = Path(__file__).parents[2] / "src/segue/models/nano/weights/nano.safetensors"
    assert main([word.format(out=out, data=data, weights=weights) for word in words]) == 1
    said = capsys.readouterr().err
    assert str(out) in said
    assert "--force" in said or "new folder" in said or "empty" in said
    assert (out / name).read_bytes() == b"hours of work"
    assert [entry.name for entry in out.iterdir() if entry.name != "cache"] == [name]
