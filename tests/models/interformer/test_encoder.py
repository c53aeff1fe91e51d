"""InterFormer's encoder against transformers' BEiT, an independent implementation of the same attention."""

import re

import pytest
import torch
import torch.nn.functional as F
from transformers import BeitConfig, BeitModel

from segue.models.interformer.encoder import MaePyramidEncoder, relative_positions, resize_bias
from segue.nn.vit import resize_position_embedding, to_map


@pytest.fixture
def pair():
    """Our encoder and a BEiT with its weights (BEiT has no key bias, so ours is zero there)."""
    torch.manual_seed(0)
    ours = MaePyramidEncoder((64, 64), 16, dim=24, depth=3, heads=3, out_dims=(4, 4, 8, 8)).eval()
    config = BeitConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=96,
        image_size=64,
        patch_size=16,
        use_absolute_position_embeddings=True,
        use_relative_position_bias=True,
        layer_scale_init_value=1.0,
        layer_norm_eps=1e-6,
        vocab_size=8,
        use_mask_token=False,
    )
    theirs = BeitModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(0, 0.3)
        for layer in ours.layers:
            layer.attn.qkv.bias[24:48] = 0
        for name, parameter in theirs.named_parameters():
            parameter.copy_(counterpart(ours, name))
    return ours, theirs


def counterpart(ours, name):
    """Our value of one of BEiT's parameters, whatever release of transformers names it."""
    kind = name.rsplit(".", 1)[-1]  # weight, bias or the parameter itself
    if "layer" not in name:
        whole = {"cls_token": ours.cls_token, "position_embeddings": ours.pos_embed}
        return whole[kind] if kind in whole else getattr(ours.patch_embed.projection, kind)
    layer = ours.layers[int(re.search(r"layers?\.(\d+)\.", name).group(1))]
    direct = {
        "lambda_1": layer.gamma_1,
        "lambda_2": layer.gamma_2,
        "relative_position_bias_table": layer.attn.relative_position_bias_table,
    }
    if kind in direct:
        return direct[kind]
    for slot, words in enumerate((("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"))):
        if any(word in name for word in words):
            return getattr(layer.attn.qkv, kind).split(24)[slot]
    modules = {
        "layernorm_before": layer.ln1,
        "layernorm_after": layer.ln2,
        "intermediate.dense": layer.ffn.layers[0][0],
        "mlp.fc1": layer.ffn.layers[0][0],
        "attention.output.dense": layer.attn.proj,
        "attention.o_proj": layer.attn.proj,
        "output.dense": layer.ffn.layers[1],
        "mlp.fc2": layer.ffn.layers[1],
    }
    return getattr(next(module for part, module in modules.items() if part in name), kind)


def test_the_encoder_equals_beit(pair):
    ours, theirs = pair
    image = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = theirs(image).last_hidden_state
        assert (ours.tokens(image) - expected).abs().max() < 1e-4 * expected.std()


def test_other_sizes_read_the_nearest_position(pair):
    ours, _ = pair
    assert ours.tokens(torch.randn(1, 3, 128, 64)).shape == (1, 33, 24)
    big = to_map(resize_position_embedding(ours.pos_embed[:, 1:], (4, 4), (8, 4), "nearest"), (8, 4))
    assert torch.equal(big[:, :, ::2], to_map(ours.pos_embed[:, 1:], (4, 4)))
    assert torch.equal(big[:, :, ::2], big[:, :, 1::2])


def test_bias_resizes_like_three_nearest_interpolations():
    """The published code resizes the four blocks of the table one axis pair at a time."""
    torch.manual_seed(0)
    bias = torch.randn(2, 13, 13)
    got = resize_bias(bias, (3, 4), (5, 6))
    patches = bias[:, 1:, 1:].reshape(2, 12, 3, 4)
    patches = F.interpolate(patches, (5, 6), mode="nearest").flatten(2)
    patches = F.interpolate(patches.transpose(1, 2).reshape(2, 30, 3, 4), (5, 6), mode="nearest").flatten(2)
    assert torch.equal(got[:, 1:, 1:], patches.transpose(1, 2))
    row = F.interpolate(bias[:, :1, 1:].reshape(2, 1, 3, 4), (5, 6), mode="nearest").flatten(2)
    assert torch.equal(got[:, :1, 1:], row)
    column = F.interpolate(bias[:, 1:, :1].reshape(2, 1, 3, 4), (5, 6), mode="nearest").flatten(2)
    assert torch.equal(got[:, 1:, :1], column.transpose(1, 2))
    assert torch.equal(got[:, 0, 0], bias[:, 0, 0])


def test_every_relative_position_has_one_row_and_the_class_token_three():
    index = relative_positions((3, 4))
    assert index.unique().numel() == index.max() + 1 == (2 * 3 - 1) * (2 * 4 - 1) + 3
    assert index[1 + 5, 1 + 6] == index[1 + 0, 1 + 1]  # one step to the right, from anywhere


def test_features_depend_on_no_other_image_of_the_batch(pair):
    ours, _ = pair
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        both, alone = ours(images), ours(images[:1])
    for a, b in zip(both, alone, strict=True):
        assert torch.allclose(a[:1], b, atol=1e-5)
