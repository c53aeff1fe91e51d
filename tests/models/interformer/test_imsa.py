"""The decoder neck: what is computed once, what a region touches, and how big the pooled grids are."""

import pytest
import torch
import torch.nn.functional as F

from segue.models.interformer.imsa import (
    ClickFusion,
    Imsa,
    ImsaMerging,
    PoolingAttention,
    drop_path,
    pooled_size,
)


def neck(depths=(2, 1, 2, 1)):
    torch.manual_seed(0)
    dims, heads, ones = (8, 8, 16, 16), (1, 2, 2, 2), (1,) * 4
    return Imsa((64, 64), dims, heads=heads, depths=depths, refine_start=ones, mlp_ratio=(2,) * 4).eval()


def pyramid(size=(64, 96), batch=1):
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(batch, dim, size[0] // s, size[1] // s, generator=generator)
        for dim, s in zip((8, 8, 16, 16), (4, 8, 16, 32), strict=True)
    ]


def labels(size=(64, 96), batch=1):
    return torch.randint(0, 5, (batch, 1, *size), generator=torch.Generator().manual_seed(2))


def test_what_is_computed_once_gives_the_same_answer():
    net, maps = neck(), pyramid()
    with torch.inference_mode():
        contexts = net.context(maps)
        for seed in (2, 3):
            clicked = torch.randint(0, 5, (1, 1, 64, 96), generator=torch.Generator().manual_seed(seed))
            for a, b in zip(net.decode(maps[0], contexts, clicked), net(maps, clicked), strict=True):
                assert torch.equal(a, b)


def test_embedding_labels_equals_embedding_every_pixel_then_resizing():
    net, maps = neck(), pyramid()
    hot = F.one_hot(labels().long()[:, 0], 5).float()
    expected = maps[0] + F.interpolate((hot @ net.patch_embed).permute(0, 3, 1, 2), (16, 24), mode="bilinear")
    assert torch.allclose(net.embed(maps[0], labels()), expected, atol=1e-6)


def test_a_region_changes_only_what_lies_inside_it():
    net, maps = neck(), pyramid()
    with torch.inference_mode():
        whole = net(maps, labels())
        coarse = neck(depths=(1,) * 4)
        coarse.load_state_dict(net.state_dict(), strict=False)
        unrefined = net.refine_stages[0](maps[0], [(0, 0, 8, 8)])
        full = net.refine_stages[0](maps[0], [(0, 0, 24, 16)])
    outside = torch.ones(16, 24, dtype=torch.bool)
    outside[:8, :8] = False
    assert torch.equal(unrefined[..., outside], maps[0][..., outside])
    assert not torch.equal(unrefined[..., ~outside], maps[0][..., ~outside])
    with torch.inference_mode():
        assert torch.allclose(full, net.refine_stages[0](maps[0]), atol=1e-6)
        for a, b in zip(net(maps, labels(), [(0, 0, 96, 64)]), whole, strict=True):
            assert torch.allclose(a, b, atol=1e-5)


def test_merging_reads_features_from_before_the_refine_blocks():
    net, maps = neck(), pyramid()
    with torch.inference_mode():
        before = net(maps, labels())
        for parameter in net.refine_stages[0].parameters():
            parameter.mul_(2)
        after = net(maps, labels())
    assert not torch.equal(before[0], after[0])
    for a, b in zip(before[1:], after[1:], strict=True):
        assert torch.equal(a, b)


def test_equal_regions_in_a_batch_are_answered_like_single_images():
    net, maps = neck(), pyramid(batch=2)
    region = (32, 0, 96, 32)
    with torch.inference_mode():
        both = net(maps, labels(batch=2), [region, region])
        alone = net([m[1:] for m in maps], labels(batch=2)[1:], [region])
    for a, b in zip(both, alone, strict=True):
        assert torch.allclose(a[1:], b, atol=1e-5)


def test_the_largest_region_of_a_mixed_batch_is_answered_like_a_single_image():
    net, maps = neck(), pyramid(batch=2)
    large, small = (0, 0, 64, 64), (32, 32, 96, 64)
    with torch.inference_mode():
        both = net(maps, labels(batch=2), [large, small])
        alone = net([m[:1] for m in maps], labels(batch=2)[:1], [large])
    for a, b in zip(both, alone, strict=True):
        assert torch.allclose(a[:1], b, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "target", "ratio", "expected"),
    [
        ((128, 128), (128, 128), 12, (11, 11)),
        ((128, 128), (128, 128), 24, (5, 5)),
        ((32, 32), (128, 128), 12, (11, 11)),
        ((16, 24), (128, 128), 16, (8, 8)),
        ((2, 3), (16, 16), 4, (2, 3)),
        ((300, 400), (128, 128), 12, (11, 11)),
    ],
)
def test_pooled_grids_stay_near_the_target_whatever_the_input(size, target, ratio, expected):
    assert pooled_size(size, target, ratio) == expected


def test_keys_are_few_whatever_the_image():
    layer = PoolingAttention((128, 128), 8, heads=1, ratios=(12, 16, 20, 24))
    counts = [layer.keys_and_values(torch.randn(1, 8, s, s))[0].shape[1] for s in (128, 256)]
    assert counts == [246, 246]


def test_merging_is_a_strided_convolution_of_normalised_patches():
    torch.manual_seed(0)
    layer, x = ImsaMerging(3, 5), torch.randn(2, 3, 6, 8)
    padded = F.pad(x, (1, 1, 1, 1))
    patch = padded[0, :, 2:5, 4:7].flatten()  # output cell (1, 2)
    assert torch.allclose(layer(x)[0, :, 1, 2], layer.reduction(layer.norm(patch)), atol=1e-6)
    assert layer(x).shape == (2, 5, 3, 4)


def test_drop_path_keeps_the_mean_and_is_off_in_evaluation():
    torch.manual_seed(0)
    branch = torch.ones(4000, 1)
    dropped = drop_path(branch, 0.25, training=True)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert drop_path(branch, 0.25, training=False) is branch


def test_the_baseline_adds_labels_to_every_level():
    fusion, maps = ClickFusion((8, 8, 16, 16)), pyramid()
    one, other = (fusion(maps, torch.full((1, 1, 64, 96), label)) for label in (0, 4))
    for a, b in zip(one, other, strict=True):
        assert not torch.equal(a, b)
        assert torch.allclose((a - b).std((-2, -1)), torch.zeros(1), atol=1e-6)  # the same everywhere
