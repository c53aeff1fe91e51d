"""TinyViT: windows, sizes and the order of the attention biases."""

import torch

from segue.models.sam.mobilesam import TinyViT, TinyViTBlock, WindowAttention


def test_sizes_of_mobilesam():
    net = TinyViT()
    assert sum(p.numel() for p in net.parameters()) == 5_743_892  # as in mobile_sam.pt without the classifier
    assert net.eval()(torch.zeros(1, 3, 128, 192)).last_hidden_state.shape == (1, 256, 8, 12)


def test_windows_see_only_themselves():
    block = TinyViTBlock(8, 2, window=4).eval()
    block.local_conv = torch.nn.Identity()
    x = torch.randn(1, 8, 8, 8)
    changed = x.clone()
    changed[..., 4:, 4:] += 1
    moved = (block(changed) - block(x)).abs().amax(1)[0] > 1e-6
    assert moved[4:, 4:].all()
    assert not moved[:4].any()
    assert not moved[:, :4].any()


def test_a_bias_belongs_to_an_offset():
    attention = WindowAttention(4, 1, window=3)
    index = attention.attention_bias_idxs
    assert index[0, 0] == 0  # the cell itself
    assert index[0, 1] == index[4, 5] == index[5, 4] == 1  # one column apart
    assert index[0, 3] == index[3, 0] == 3  # one row apart
    assert index.max() == 8


def test_heights_that_are_no_multiple_of_the_window_keep_their_size():
    assert TinyViTBlock(8, 2, window=4).eval()(torch.zeros(2, 8, 5, 7)).shape == (2, 8, 5, 7)
