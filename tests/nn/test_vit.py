"""Windows, position embeddings and attention against slow definitions."""

import math

import pytest
import torch

from segue.models.simpleclick.vit import VisionTransformer
from segue.nn.vit import (
    SelfAttention,
    attend,
    cut_windows,
    join_windows,
    layer_shares,
    resize_position_embedding,
    to_map,
    window_counts,
)


@pytest.mark.parametrize(
    ("grid", "windows"), [((28, 28), (2, 2)), ((6, 8), (3, 2)), ((4, 4), (1, 1)), ((4, 6), (1, 3))]
)
def test_windows_hold_neighbours_and_join_back(grid, windows):
    tokens = torch.arange(2.0 * grid[0] * grid[1]).view(2, -1, 1)
    cut = cut_windows(tokens, grid, windows)
    tall, wide = grid[0] // windows[0], grid[1] // windows[1]
    assert cut.shape == (2 * windows[0] * windows[1], tall * wide, 1)
    expected = tokens[0].view(grid)[:tall, -wide:].flatten()
    assert torch.equal(cut[windows[1] - 1, :, 0], expected)
    assert torch.equal(join_windows(cut, grid, windows), tokens)


def test_window_counts_of_the_published_sizes():
    grids = {(28, 28, 16): (2, 2), (42, 42, 16): (3, 3), (32, 32, 14): (2, 2), (14, 14, 16): (1, 1)}
    for (h, w, patch), expected in grids.items():
        assert window_counts((h, w), (patch, patch)) == expected


def test_the_last_block_of_each_group_is_global():
    assert VisionTransformer((32, 32), (16, 16), 8, 12, 2).group == 6
    assert [VisionTransformer((32, 32), (16, 16), 8, depth, 2).group for depth in (8, 24, 32)] == [2, 6, 8]


def test_attention_is_softmax_of_scaled_products():
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 3, 8), torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    bias = torch.randn(2, 3, 5)
    out = attend(q, k, v, 2, bias)
    for b in range(2):
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            weights = (q[b, :, part] @ k[b, :, part].T / math.sqrt(4) + bias[head]).softmax(-1)
            assert torch.allclose(out[b, :, part], weights @ v[b, :, part], atol=1e-6)


def test_self_attention_reads_query_key_value_in_mae_s_order():
    torch.manual_seed(0)
    layer, x = SelfAttention(8, 2), torch.randn(1, 4, 8)
    q, k, v = (x @ w.T + b for w, b in zip(layer.qkv.weight.split(8), layer.qkv.bias.split(8), strict=True))
    assert torch.allclose(layer(x), layer.proj(attend(q, k, v, 2)), atol=1e-6)


def test_position_embedding_keeps_constants_and_orientation():
    ramp = torch.arange(4.0).repeat_interleave(4)[None, :, None]  # grows with the row
    big = to_map(resize_position_embedding(ramp, (4, 4), (8, 4)), (8, 4))[0, 0]
    assert torch.allclose(big[:, 0], big[:, 3])
    assert (big.diff(dim=0) > 0).all()
    assert resize_position_embedding(ramp, (4, 4), (4, 4)) is ramp


def test_rates_fall_layer_by_layer_as_interformer_configures_them():
    from segue.models.interformer.model import InterFormer
    from segue.models.interformer.registry import TINY

    model = InterFormer(**TINY | {"depth": 3})
    shares = layer_shares(model, 0.65)
    expected = {
        "net.backbone.cls_token": 0.65**4,
        "net.backbone.patch_embed.projection.weight": 0.65**4,
        "net.backbone.layers.0.ln1.weight": 0.65**3,
        "net.backbone.layers.2.ffn.layers.1.bias": 0.65,
        "net.backbone.fpn.rescale_ops.0.0.weight": 1,
        "net.neck.patch_embed": 1,
        "net.decode_head.conv_seg.bias": 1,
    }
    assert {name: shares[name] for name in expected} == pytest.approx(expected)
    assert shares.keys() == dict(model.named_parameters()).keys()
    assert layer_shares(model, 1.0) == {}
    assert layer_shares(torch.nn.Linear(1, 1), 0.5) == {}
