"""Parameters and FLOPs of the published architectures, part by part, as counted on the official code."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from segue.models.interformer.network import InterFormerConfig, InterFormerNet
from segue.models.registry import MODELS
from segue.models.simpleclick.network import SimpleClickConfig, SimpleClickNet
from tests.parity.imsa_official import decode_official, head_official


@pytest.fixture(scope="module")
def tables(parity_dir):
    path = parity_dir / "tables.json"
    if not path.is_file():
        pytest.skip("no tables.json")
    return json.loads(path.read_text())


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def flops(module, *inputs):
    """GMACs as the table counts them: multiplications and additions of convolutions and matmuls, halved."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize("side", [224, 448])
@pytest.mark.parametrize(("size", "name"), [("xTiny", "xtiny"), ("B", "base"), ("L", "large"), ("H", "huge")])
def test_simpleclick(tables, size, name, side):
    expected = tables["simpleclick"][f"{size}@{side}"]
    with torch.device("meta"):
        config = MODELS[f"simpleclick-{name}"].config
        net = SimpleClickNet(SimpleClickConfig.from_fields({**config, "img_size": (side, side)})).eval()
        image, previous, points = torch.zeros(1, 3, side, side), torch.zeros(1, 1, side, side), torch.zeros(1, 2, 3)
    vit = net.backbone
    unused = vit.cls_token.numel() + vit.pos_embed[:, 0].numel() + parameters(vit.fc_norm) + parameters(vit.head)
    assert parameters(net) == expected["total_params"]
    assert parameters(net.patch_embed_coords) == expected["coords_embed"]
    assert parameters(vit) == expected["backbone"]
    assert unused == expected["backbone_unused_in_forward"]
    assert parameters(net.neck) == expected["neck"]
    assert parameters(net.head) == expected["head"]
    assert flops(net, image, previous, points) == pytest.approx(expected["GMACs"], rel=1e-9)
    with torch.device("meta"):
        maps = vit(image)
        levels = net.neck(maps)
    assert flops(net.neck, maps) == pytest.approx(expected["GMACs_neck"], rel=1e-9)
    assert flops(net.head, levels) == pytest.approx(expected["GMACs_head"], rel=1e-9)
    embeds = flops(vit.patch_embed, image) + flops(net.patch_embed_coords, torch.cat([previous, image[:, :2]], 1))
    assert embeds == pytest.approx(expected["GMACs_patch_embeds"], rel=1e-9)
    blocks = flops(net, image, previous, points) - embeds - expected["GMACs_neck"] - expected["GMACs_head"]
    assert blocks == pytest.approx(expected["GMACs_blocks"], rel=1e-6)


@pytest.mark.parametrize("name", ["light", "tiny"])
def test_interformer(tables, name):
    expected = tables["interformer"][name]
    with torch.device("meta"):
        net = InterFormerNet(InterFormerConfig.from_fields(MODELS[f"interformer-{name}"].config)).eval()
        image, labels = torch.zeros(1, 3, 512, 512), torch.zeros(1, 1, 512, 512, dtype=torch.uint8)
    for part in ("backbone", "neck", "decode_head", "auxiliary_head"):
        assert parameters(getattr(net, part)) == expected["params"][part]
    assert parameters(net.backbone.fpn) == expected["params"]["backbone_fpn"]
    assert parameters(net.backbone) - parameters(net.backbone.fpn) == expected["params"]["backbone_vit"]
    tables_of_positions = sum(layer.attn.relative_position_bias_table.numel() for layer in net.backbone.layers)
    assert tables_of_positions == expected["rel_pos_tables"]
    assert parameters(net) == expected["total"]
    assert parameters(net.neck) + parameters(net.decode_head) == expected["decode_params"]
    with torch.device("meta"):
        maps = net.backbone(image)
        levels = net.neck(maps, labels)
    assert flops(net.backbone, image) == pytest.approx(expected["GMACs_encode"], rel=1e-9)
    # ours multiplies less: five resized label maps instead of a product at image size, coarse levels convolved
    # before they grow; the published order of operators counts as published
    neck = flops(Official(decode_official, net.neck), maps, labels)
    assert neck == pytest.approx(expected["GMACs_ref_embed"] + expected["GMACs_neck"], rel=1e-9)
    assert flops(Official(head_official, net.decode_head), levels) == pytest.approx(expected["GMACs_head"], rel=1e-9)
    state = net.prepare(maps)
    assert flops(Decode(net), state, labels) < 0.92 * expected["GMACs_decode"]


class Official(torch.nn.Module):
    def __init__(self, order, part):
        super().__init__()
        self.order, self.part = order, part

    def forward(self, *inputs):
        return self.order(self.part, *inputs)


class Decode(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, state, labels):
        return self.net.decode(state, labels)
