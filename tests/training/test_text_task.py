"""Training with texts: as published, interrupted and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from segue.adapters.base import attach, detach, disabled
from segue.adapters.registry import ADAPTERS
from segue.core.errors import CheckpointError, DataError
from segue.core.segmenter import Segmenter
from segue.data.formats.registry import open_data
from segue.nn.module import weights_digest
from segue.training import text_task
from segue.training.engine import Engine
from segue.training.text_run import TextSettings, text_run
from segue.training.text_task import TextTask, shuffled_by_image
from tests.training.toys import small, states_equal, text_samples, write_disks

VAL_LOSSES = (2.69668673, 2.69471378, 2.69253035)  # of three epochs, as trained before there was one engine


def clipseg() -> Segmenter:
    return small("clipseg-rd64")


def run_of(
    model: Segmenter, checkpoint: Path, epochs: int, width: int = 8, count: int = 4, lr: float | None = None
) -> Engine:
    torch.manual_seed(1)
    adapter = attach(model, ADAPTERS.load("dense")(model, width=width))
    samples = text_samples(count)
    return text_run(model, adapter, samples, samples, TextSettings(lr, batch=2, epochs=epochs), checkpoint, seed=3)


def losses(engine: Engine) -> list[float]:
    return [row["loss"] for row in engine.rows]


def test_three_epochs_of_a_fixed_seed_lose_what_they_always_did(tmp_path: Path) -> None:
    engine = run_of(clipseg(), tmp_path / "run.pt", 3, count=5)
    engine.run()
    assert [row["val_loss"] for row in engine.rows] == pytest.approx(VAL_LOSSES, rel=1e-5)


def test_a_run_taken_up_again_continues_as_if_never_interrupted(tmp_path: Path) -> None:
    whole = run_of(clipseg(), tmp_path / "whole.pt", 4)
    whole.run()
    run_of(clipseg(), tmp_path / "run.pt", 2).run()
    again = run_of(clipseg(), tmp_path / "run.pt", 4)
    again.resume()
    epochs: list[int] = []
    again.run(lambda row: epochs.append(int(row["epoch"])))
    assert epochs == [2, 3]
    assert losses(again) == losses(whole)
    assert again.best_validation == whole.best_validation
    assert states_equal(dict(again.module.state_dict()), dict(whole.module.state_dict()))


def test_a_run_goes_on_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    whole, half = run_of(clipseg(), tmp_path / "whole.pt", 2), run_of(clipseg(), tmp_path / "run.pt", 2)
    expected = [whole.update().values["loss"] for _ in range(4)]  # type: ignore[union-attr]
    half.update()
    half.save()
    again = run_of(clipseg(), tmp_path / "run.pt", 2)
    again.resume()
    assert [again.update().values["loss"] for _ in range(3)] == expected[1:]  # type: ignore[union-attr]


def test_a_run_that_is_over_only_gives_its_best_epoch(tmp_path: Path) -> None:
    model = clipseg()
    first = run_of(model, tmp_path / "run.pt", 2)
    first.run()
    first.load_best()
    detach(model)
    again = run_of(model, tmp_path / "run.pt", 2)
    again.resume()
    rows: list[object] = []
    again.run(rows.append)
    again.load_best()
    assert rows == []
    assert states_equal(dict(first.module.state_dict()), dict(again.module.state_dict()))


def test_a_checkpoint_of_another_adapter_is_refused(tmp_path: Path) -> None:
    run_of(clipseg(), tmp_path / "run.pt", 1).run()
    with pytest.raises(CheckpointError, match="another run"):
        run_of(clipseg(), tmp_path / "run.pt", 2, width=4).resume()


def test_the_text_towers_gradient_reaches_the_adapter() -> None:
    model = clipseg()
    adapter = attach(model, ADAPTERS.load("dense")(model, variant="vl", width=8))
    task = TextTask(model.text_training_core(), text_samples(3), 3, torch.Generator(), torch.device("cpu"))
    task.step(lambda loss: loss)
    text = {n: p.grad for n, p in adapter.named_parameters() if "text/" in n}
    assert text
    assert all(g is not None and bool(g.any()) for g in text.values())


def test_training_lowers_the_loss_and_leaves_the_base(tmp_path: Path) -> None:
    model = clipseg()
    frozen = weights_digest(model.module)
    engine = run_of(model, tmp_path / "run.pt", 12, lr=1e-2)
    engine.run()
    assert engine.rows[-1]["val_loss"] < engine.rows[0]["val_loss"]
    with disabled(model):
        assert weights_digest(model.module) == frozen


def test_the_rate_falls_and_the_run_ends_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and Dice stand still from the first epoch: a cut to 0.3 after more than five, an end after twenty."""
    engine = run_of(clipseg(), tmp_path / "run.pt", 1000, count=2)
    assert type(engine.optimizer) is torch.optim.AdamW
    assert [g["weight_decay"] for g in engine.optimizer.param_groups] == [1e-3]
    monkeypatch.setattr(TextTask, "validate", lambda self, samples: (1.0, [0.5]))
    assert engine.run() == "no better in 20 validations"
    assert len(engine.rows) == 21
    rates = [engine.rows[i]["lr"] for i in (0, 5, 6, 12, 18)]
    assert rates == pytest.approx([1e-3, 1e-3, 3e-4, 9e-5, 2.7e-5])
    assert engine.best_validation == (0, -0.5)


def test_every_text_of_a_mask_is_drawn_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model, drawn = clipseg(), list[list[str]]()
    core = model.text_training_core()
    decode = core.decode

    def noted(maps: Any, texts: Any, size: Any) -> torch.Tensor:
        drawn.append(list(texts))
        return decode(maps, texts, size)

    monkeypatch.setattr(core, "decode", noted)
    task = TextTask(core, text_samples(3), 3, torch.Generator().manual_seed(0), torch.device("cpu"))
    attach(model, ADAPTERS.load("dense")(model, width=8))
    for _ in range(8):
        task.step(lambda loss: loss)
    assert all(len(texts) == 3 for texts in drawn)
    assert {t for texts in drawn for t in texts} == {"a disk", "one disk"}


def test_masks_of_one_image_stay_together_and_are_all_seen() -> None:
    doubled = [m for m in text_samples(4) for _ in range(2)]
    order = shuffled_by_image(doubled, torch.Generator().manual_seed(0))
    assert sorted(order) == list(range(8))
    assert all(doubled[a].view is doubled[b].view for a, b in zip(order[::2], order[1::2], strict=True))


def test_masks_without_texts_ask_for_a_name(tmp_path: Path) -> None:
    samples = open_data(write_disks(tmp_path, 1)).samples
    with pytest.raises(DataError, match="--name"):
        text_task.text_samples(clipseg(), samples[:1])
