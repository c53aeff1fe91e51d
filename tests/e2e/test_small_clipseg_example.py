"""The example that trains CLIPSeg from nothing, and the one that compares ways to adapt what comes out."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from segue.core.types import Text
from segue.data.io.image import write_image, write_labels
from segue.data.sample import Instance, Sample, Target
from segue.session.load import load
from segue.training.adapt_text import Said
from tests.examples import example_module

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return example_module("small_clipseg")


@pytest.fixture(scope="module")
def base(example: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained small CLIPSeg, saved as the example saves it."""
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    ids = example.learn_words(["one small polyp", "a foot ulcer"] * 5, folder / "words")
    model = example.small_clipseg(folder / "words", ids, 32).eval()
    example.calm(model, 32)
    example.save(model, folder / "words", folder / "base")
    return folder / "base"


def test_the_saved_base_opens_like_a_published_checkpoint(base: Path) -> None:
    model = load(base, device="cpu")
    tokens, _ = model.tokens(["a polyp"])
    assert tokens.shape[1] == 4  # begin, two whole words, end
    with torch.inference_mode():
        logits = model.decode(model.encode([np.zeros((40, 50, 3), np.uint8)]), [Text("a polyp")]).logits
    assert logits.shape == (1, 1, 32, 32)
    assert logits.abs().max() < 20


def test_classes_are_joined_and_specks_left_out(example: ModuleType) -> None:
    large, speck = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    large[:20], speck[30, 30] = True, True
    target = Target((Instance("a", large, "Cat"), Instance("b", ~large, "Cat"), Instance("c", speck, "dog")))
    joined = example.named_classes(Sample("x", lambda: np.zeros((40, 40, 3), np.uint8), lambda: target)).load_truth()
    assert [(i.name, i.mask.all()) for i in joined.instances] == [("cat", True)]
    assert joined.instances[0].texts == ("cat",)


def test_masks_of_one_view_are_cropped_alike_and_described_anew(example: ModuleType) -> None:
    view, mask = torch.zeros(3, 64, 64, dtype=torch.uint8), torch.zeros(64, 64, dtype=torch.bool)
    mask[10:50, 10:50] = True
    view[:, mask] = 200
    for seed in range(5):
        one, other = example.vary(
            [Said("a", view, mask, ("cup", "old")), Said("b", view, ~mask, ("table", "old"))],
            48,
            torch.Generator().manual_seed(seed),
        )
        assert one.view is other.view
        assert one.view.shape == (3, 48, 48)
        assert torch.equal(one.target, ~other.target) or (one.target ^ other.target).float().mean() > 0.9
        bright = one.view.float().mean(0)
        assert bright[one.target].mean() > bright[~one.target].mean() + 50
        assert one.texts[:2] == ("cup", "one cup")


def test_the_table_has_a_column_for_each_way_and_keeps_what_is_measured(base: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(8):
        mask = np.zeros((32, 40), bool)
        mask[8 : 20 + i, 10:30] = True
        write_image(tmp_path / "disks" / "images" / f"{i}.png", rng.integers(0, 255, (32, 40, 3), np.uint8))
        write_labels(tmp_path / "disks" / "masks" / f"{i}.png", mask)
    line = [
        "--model",
        str(base),
        "--data",
        str(tmp_path / "disks"),
        "--name",
        "polyp",
        "--out",
        str(tmp_path / "out"),
    ]
    line += ["--minutes", "0.0001", "--ways", "dense-vl", "side", "--seeds", "2", "--other-seeds", "1"]
    line += ["--set", "side.width=16", "side.layers=4", "side.heads=2"]
    table1 = example_module("table1")
    table1.main(line)
    head, _, sizes, seeds, *measures = (tmp_path / "out" / "table1.md").read_text().splitlines()
    assert head == "| data set | measure | frozen | SAN-style | DA, VL |"
    assert sizes.startswith("|  | learned numbers | 0 | 0.")
    assert seeds == "|  | seeds | 2 | 1 | 2 |"
    assert [m.split(" | ")[1] for m in measures] == ["DSC (%)", "IoU (%)", "HD95"]
    report = tmp_path / "out" / "side" / "report.json"
    written = report.stat().st_mtime_ns
    table1.main(line)
    assert report.stat().st_mtime_ns == written
