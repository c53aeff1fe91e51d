"""The dialogue of `segue adapt` keeps the reference map that answering keeps."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from segue.models.interformer.model import InterFormer
from segue.models.interformer.reference_map import unknown_labels, with_answer, with_clicks
from segue.models.interformer.registry import TINY


def test_a_dialogue_keeps_the_reference_map_of_answering(monkeypatch) -> None:
    core = InterFormer(**TINY).eval().training_core()
    shown = []
    monkeypatch.setattr(core.net, "decode", lambda maps, labels: (shown.append(labels), torch.zeros(1, 2, 16, 16))[1])
    generator = torch.Generator().manual_seed(0)
    clicks, carried = torch.tensor([[[20.0, 30.0, 1.0]]]), torch.zeros(1, 1, 16, 16)
    expected = with_clicks(unknown_labels((64, 64)), [(30, 20, True)], 5.0, 0.0)
    for turn in range(4):
        core.decode({}, clicks, torch.zeros(1, 4), carried)
        assert torch.equal(shown[-1], expected), f"round {turn}"
        answer = (torch.rand(1, 1, 16, 16, generator=generator) > 0.5).float()
        carried = core.carried(carried, answer)
        x, y, label = 10 + 12 * turn, 50 - 9 * turn, turn % 2
        clicks = torch.cat([clicks, torch.tensor([[[x, y, label]]]).float()], 1)
        expected = with_answer(expected, F.interpolate(answer, scale_factor=4) > 0.5)
        expected = with_clicks(expected, [(y, x, bool(label))], 5.0, 0.0)
    assert (shown[-1] == 2).any(), "contradicted labels are unknown again"


def test_a_mask_from_elsewhere_begins_a_map() -> None:
    core = InterFormer(**TINY).eval().training_core()
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:8, 4:8] = 0.9
    labels = core.carried(mask, mask)[:, 1:]
    assert set(labels.unique().tolist()) == {1.0, 3.0}
    assert torch.equal(labels == 3, mask > 0.5)
