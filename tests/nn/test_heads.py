"""Pyramids and heads: strides, widths, and which input reaches which output."""

import pytest
import torch

from segue.models.interformer.encoder import RescalePyramid
from segue.models.simpleclick.network import SimpleClickPyramid
from segue.nn.heads import AllMlpHead, ConvUnit, rescale_path


@pytest.mark.parametrize(("factor", "side"), [(4, 24), (2, 12), (1, 6), (0.5, 3)])
def test_each_path_rescales_by_its_factor(factor, side):
    assert rescale_path(8, 5, factor)(torch.randn(2, 8, 6, 6)).shape == (2, 5, side, side)


def test_both_pyramids_are_the_same_function_under_two_sets_of_names():
    torch.manual_seed(0)
    ours, theirs = SimpleClickPyramid(8, (4, 6, 8, 10)), RescalePyramid(8, (4, 6, 8, 10))
    names = ("down_4", "down_8", "down_16", "down_32")
    state = {f"{name}.{k}": v for i, name in enumerate(names) for k, v in theirs.rescale_ops[i].state_dict().items()}
    ours.load_state_dict(state)
    x = torch.randn(1, 8, 4, 4)
    for a, b in zip(ours([x]), theirs(x), strict=True):
        assert torch.equal(a, b)


def test_every_level_reaches_the_logits():
    torch.manual_seed(0)
    head = AllMlpHead((4, 4, 4, 4), 8).eval()
    maps = [torch.rand(1, 4, 16 // 2**i, 16 // 2**i) for i in range(4)]
    base = head(maps)
    for i in range(4):
        changed = [m + 1.0 if j == i else m for j, m in enumerate(maps)]
        assert not torch.allclose(head(changed), base)


def test_a_unit_with_norm_has_no_bias_and_without_has_one():
    assert ConvUnit(3, 4, norm=True).conv.bias is None
    assert ConvUnit(3, 4).conv.bias is not None
    assert (ConvUnit(3, 4)(torch.randn(1, 3, 5, 5)) >= 0).all()
