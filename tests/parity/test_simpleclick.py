"""SimpleClick equals the official code on every fixture of its kind, stage by stage."""

import json

import pytest
import torch
from safetensors.torch import load_file

from segue.models.simpleclick.network import SimpleClickConfig, SimpleClickNet
from segue.models.simpleclick.weights import simpleclick_config
from segue.nn.vit import cut_windows, resize_position_embedding, window_counts
from tests.parity.folders import folders_where

STAGE, LOGITS = 2e-5, 1e-4  # the fixtures' suggested tolerances, for values of a spread of 1


def pytest_generate_tests(metafunc):
    if "folder" in metafunc.fixturenames:
        found = folders_where(metafunc.config, lambda c: "backbone_params" in c.get("constructor", {}))
        metafunc.parametrize("folder", found, ids=lambda p: p.name, scope="module")


@pytest.fixture(scope="module")
def case(folder):
    constructor = json.loads((folder / "config.json").read_text())["constructor"]
    weights, io = load_file(folder / "weights.safetensors"), load_file(folder / "io.safetensors")
    stored = {"params": {name: {"value": value} for name, value in constructor.items()}}
    net = SimpleClickNet(SimpleClickConfig.from_fields(simpleclick_config(weights, stored))).eval()
    net.load_state_dict(weights, strict=True)
    return net, io


@pytest.fixture(scope="module")
def stages(case):
    """Every stage that the fixtures name, computed by this implementation."""
    net, io = case
    with torch.inference_mode():
        return compute_stages(net, io)


def compute_stages(net, io):
    image = io["image_u8"].permute(0, 3, 1, 2).float() / 255
    previous = io["prev_mask_u8"][:, None].float() / 255
    vit, out = net.backbone, {}
    clicks = net.click_maps(previous, io["points"])
    out["coord_disks_u8"] = clicks[:, -2:]
    out["coord_tokens"] = net.patch_embed_coords(clicks)
    normalised = (image - net.mean) / net.std
    out["patch_tokens"] = vit.patch_embed(normalised)
    grid = tuple(s // p for s, p in zip(image.shape[-2:], vit.patch, strict=True))
    position = resize_position_embedding(vit.pos_embed[:, 1:], vit.grid, grid)
    out["tokens_in"] = out["patch_tokens"] + out["coord_tokens"] + position
    windows = window_counts(grid, vit.patch)
    out["window_tokens_after_block1"] = vit.blocks[0](cut_windows(out["tokens_in"], grid, windows))
    depth = len(vit.blocks)
    counts = range(vit.group, depth + 1, vit.group)
    for count, tokens in zip(counts, vit(normalised, out["coord_tokens"], counts), strict=True):
        out[f"tokens_after_block{count}"] = tokens.flatten(2).transpose(1, 2)
    maps = net.neck([tokens])
    out |= {f"pyramid{i}": level for i, level in enumerate(maps)}
    out["head_fused"] = net.head.fuse(maps)
    out["head_logits"] = net(image, previous, io["points"])
    out["instances"] = torch.nn.functional.interpolate(
        out["head_logits"], size=image.shape[-2:], mode="bilinear", align_corners=True
    )
    return out


def test_every_recorded_stage(case, stages):
    _, io = case
    recorded = set(io) - {"image_u8", "prev_mask_u8", "points"}
    assert recorded <= set(stages), "the fixture names a stage that this test does not compute"
    for name in sorted(recorded):
        tolerance = LOGITS if name in ("head_logits", "instances") else STAGE
        expected = io[name].float()
        # tokens deep in the ViT spread over 5 to 10, and float32 rounding grows with them
        allowed = 0 if name.endswith("_u8") else tolerance * max(1.0, expected.std().item())
        worst = (stages[name].float() - expected).abs().max().item()
        assert worst <= allowed, f"{name}: {worst:.2e}"


def test_attention_scale_and_norm_epsilon_would_be_noticed(case, stages):
    """The tolerance is tight enough to see the smallest known slip, LayerNorm's default epsilon."""
    net, io = case
    norms = [m for m in net.modules() if isinstance(m, torch.nn.LayerNorm)]
    try:
        for norm in norms:
            norm.eps = 1e-3
        with torch.inference_mode():
            wrong = compute_stages(net, io)["head_logits"]
    finally:
        for norm in norms:
            norm.eps = 1e-6
    assert (wrong - io["head_logits"]).abs().max() > LOGITS
