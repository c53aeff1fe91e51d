"""SimpleClick as a user meets it: sizes, ablations, memory, precision, compilation."""

import numpy as np
import pytest
import torch

from segue.core.errors import ConfigError, InputError
from segue.core.frame import Frame
from segue.core.types import Click
from segue.models.simpleclick.model import SimpleClick
from segue.models.simpleclick.network import SimpleClickConfig, SimpleClickNet
from segue.models.simpleclick.registry import TINY
from segue.session.load import build
from segue.session.session import Session

POINTS = torch.tensor([[[20.0, 30.0, 0.0], [-1.0, -1.0, -1.0]]])


def answer(net, size=(64, 64)):
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        return net(torch.rand(1, 3, *size, generator=generator), torch.zeros(1, 1, *size), POINTS)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return SimpleClickNet(SimpleClickConfig.from_fields(TINY)).eval()


@pytest.mark.parametrize("pyramid", ["simple", "single-scale", "parallel", "partial"])
def test_every_pyramid_answers_and_reads_what_it_says(pyramid):
    torch.manual_seed(0)
    net = SimpleClickNet(SimpleClickConfig.from_fields(TINY | {"pyramid": pyramid})).eval()
    before = answer(net)
    assert before.shape[-2:] == ((4, 4) if pyramid == "single-scale" else (16, 16))
    with torch.no_grad():
        for parameter in net.backbone.blocks[-1].parameters():
            parameter.zero_()  # the last block adds nothing
    # the designs differ in which levels notice the last block, and every design has one that does
    assert not torch.allclose(answer(net), before)


def test_parallel_levels_come_from_earlier_blocks():
    torch.manual_seed(0)
    net = SimpleClickNet(SimpleClickConfig.from_fields(TINY | {"pyramid": "parallel"})).eval()
    image = torch.rand(1, 3, 64, 64)
    maps = net.backbone(image, None, net.neck.taps(4))
    assert len(maps) == 4
    with torch.no_grad():
        net.backbone.blocks[2].mlp.fc2.bias.add_(1)
    changed = [not torch.equal(a, b) for a, b in zip(maps, net.backbone(image, None, (1, 2, 3)), strict=True)]
    assert changed == [False, False, True, True]


@pytest.mark.parametrize(("upsample", "side"), [("x1", 16), ("x2", 32), ("x4", 64)])
def test_the_head_answers_finer_when_asked(upsample, side):
    assert answer(SimpleClickNet(SimpleClickConfig.from_fields(TINY | {"upsample": upsample})).eval()).shape[-1] == side


def test_a_frozen_backbone_gets_no_gradient_and_the_rest_does():
    net = SimpleClickNet(SimpleClickConfig.from_fields(TINY | {"frozen_backbone": True}))
    net(torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64), POINTS).sum().backward()
    assert all(p.grad is None for p in net.backbone.parameters())
    assert net.patch_embed_coords.proj.weight.grad.abs().sum() > 0
    assert net.head.conv_seg.weight.grad.abs().sum() > 0


def test_windows_keep_far_tokens_apart_until_a_global_block():
    torch.manual_seed(0)
    net = SimpleClickNet(SimpleClickConfig.from_fields(TINY | {"img_size": (448, 448), "depth": 8})).eval()
    image = torch.rand(1, 3, 448, 448)
    other = image.clone()
    other[..., 300:, 300:] = 0  # in the last window only
    first, second = (net.backbone(i, None, (1, 2)) for i in (image, other))
    assert torch.equal(first[0][..., :14, :14], second[0][..., :14, :14])
    assert not torch.equal(first[1][..., :14, :14], second[1][..., :14, :14])


def test_other_input_sizes_resize_the_position_embedding(net):
    assert answer(net, (96, 128)).shape == (1, 1, 24, 32)
    assert answer(
        SimpleClickNet(SimpleClickConfig.from_fields(TINY | {"patch_size": (14, 14), "img_size": (56, 56)})).eval(),
        (56, 84),
    ).shape == (1, 1, 16, 24)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"depth": 6}, "multiple of 4"),
        ({"num_heads": 3}, "num_heads"),
        ({"img_size": (60, 64)}, "multiple of"),
        ({"input_size": (560, 560)}, "multiple of 224"),
        ({"upsample": "x3"}, "upsample"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_configuration_that_cannot_work_says_why(change, says):
    with pytest.raises(ConfigError, match=says):
        SimpleClick(**TINY | change)


def test_a_view_that_does_not_fit_is_refused():
    model = SimpleClick(**TINY)
    with pytest.raises(InputError, match="patches"):
        model.encode([np.zeros((30, 30, 3), np.uint8)], [Frame.resize((30, 30), (60, 60), align_corners=True)])


def test_the_last_answer_changes_the_next(net):
    model = SimpleClick(**TINY).eval()
    model.net = net
    features = model.encode([np.full((40, 50, 3), 128, np.uint8)])
    clicks = [Click(10, 10)]
    alone = model.decode(features, clicks)
    told = model.decode(features, clicks, model.memory_from_mask(features, np.ones((40, 50), np.float32)))
    repeated = model.decode(features, clicks, alone.memory)
    assert not np.allclose(alone.logits, told.logits)
    assert not np.allclose(alone.logits, repeated.logits)


def test_bfloat16_autocast_stays_close(net):
    exact = answer(net)
    with torch.autocast("cpu", torch.bfloat16):
        rough = answer(net)
    assert (rough.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_channels_last_gives_the_same_numbers(net):
    exact = answer(net)
    assert torch.allclose(answer(net.to(memory_format=torch.channels_last)), exact, atol=1e-5)


def test_the_core_has_one_graph_without_breaks(net):
    exported = torch.export.export(net, (torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64), POINTS))
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 64, 64, generator=generator)
    assert torch.allclose(exported.module()(image, torch.zeros(1, 1, 64, 64), POINTS), answer(net), atol=1e-5)


def test_random_weights_of_every_registered_size_share_one_interface():
    model = build("simpleclick-xtiny", {"img_size": (224, 224)}).eval()
    session = Session(model, np.full((100, 150, 3), 77, np.uint8))
    assert session.add(Click(75, 50)).shape == (100, 150)
    assert session.prediction.logits.shape[-2:] == (56, 56)


@pytest.mark.parametrize(("upsample", "channels"), [("x1", 256), ("x2", 128), ("x4", 64)])
def test_finer_heads_are_as_narrow_as_published(upsample: str, channels: int) -> None:
    with torch.device("meta"):
        head = build("simpleclick-base", {"upsample": upsample, "zoom_in": False}).module.net.head
    assert head.conv_seg.weight.shape[1] == channels
    if upsample != "x1":
        assert sum(p.numel() for p in head.parameters()) / 1e6 == pytest.approx(0.94, abs=0.07)
