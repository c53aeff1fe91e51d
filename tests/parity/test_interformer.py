"""InterFormer equals the official code on every fixture of its kinds: neck and head, reference map, regions."""

import json
import re

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from segue.models.interformer.network import InterFormerConfig, InterFormerNet
from segue.models.interformer.reference_map import region_of_interest, unknown_labels, with_answer, with_clicks
from tests.parity.folders import folders_where
from tests.parity.interformer_clicks import click_candidates

STAGE, LOGITS = 2e-5, 1e-4  # the fixtures' suggested tolerances, for values of a spread of 1


def is_network(config):
    return config.get("constructor", {}).get("type") == "ClickSegmentor"


def is_click_map(config):
    return "scripts" in config and "get_roi" in config


def pytest_generate_tests(metafunc):
    kinds = {"network": is_network, "click_map": is_click_map}
    for name, condition in kinds.items():
        if name in metafunc.fixturenames:
            found = folders_where(metafunc.config, condition)
            metafunc.parametrize(name, found, ids=lambda p: p.name, scope="module")


def pair(value):
    return tuple(value) if isinstance(value, list) else (value, value)


def build(constructor, weights, **changes):
    """This implementation with the official constructor's numbers and weights; without an encoder where the
    fixture gives features instead."""
    neck, head, backbone = constructor["neck"], constructor["decode_head"], constructor["backbone"]
    fields = {
        "target_size": pair(neck["target_size"]),
        "dims": neck["in_channels"],
        "neck_heads": neck["num_heads"],
        "depths": neck["depths"],
        "refine_start": neck["refine_start"],
        "neck_mlp_ratio": neck["mlp_ratio"],
        "head_channels": head["channels"],
        "pool_scales": head["pool_scales"],
        "encoder": any(name.startswith("backbone.") for name in weights),
        "img_size": pair(backbone["img_size"]),
        "patch_size": backbone["patch_size"],
        "embed_dim": backbone["embed_dims"],
        "depth": backbone["num_layers"],
        "num_heads": backbone["num_heads"],
        "mlp_ratio": backbone["mlp_ratio"],
    }
    net = InterFormerNet(InterFormerConfig.from_fields(fields | changes)).eval()
    wanted = {name: value for name, value in weights.items() if not name.endswith("relative_position_index")}
    missing, unknown = net.load_state_dict(wanted, strict=False)
    assert not unknown
    assert all(name.startswith("auxiliary_head.") for name in missing), missing
    return net


def compute_stages(net, maps, labels, regions):
    """Every stage that fixtures name, through the per-click path that users run."""
    out, neck = {}, net.neck
    state = net.prepare(maps)
    out["ref_embed"] = neck.embed(state["stride4"], labels)
    for i, stage in enumerate(neck.stages):
        stage.register_forward_hook(lambda _m, _a, result, i=i: out.__setitem__(f"stage{i}_out", result))
        if stage.downsample is not None:
            stage.downsample.register_forward_hook(
                lambda _m, _a, result, i=i: out.__setitem__(f"stage{i}_x_down", result)
            )
        neck.refine_stages[i].register_forward_hook(
            lambda _m, _a, result, i=i: out.__setitem__(f"refine{i}_out", result)
        )
    with torch.inference_mode():
        levels = net.fuse(state, labels, regions)
        out |= {f"imsa{i}": level for i, level in enumerate(levels)}
        out["logits"] = net.decode_head(levels)
    out["full_logits"] = F.interpolate(out["logits"], size=labels.shape[-2:], mode="bilinear", align_corners=False)
    out["label"] = (out["full_logits"][:, 1:] > out["full_logits"][:, :1]).byte()
    return out


def encoded(net, image_u8):
    """The encoder's maps of (b, h, w, 3) uint8 images."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (net.config.mean, net.config.std))
    with torch.inference_mode():
        return net.backbone((image_u8.permute(0, 3, 1, 2).float() - mean) / std)


def test_every_recorded_stage_of_every_run(network):
    config = json.loads((network / "config.json").read_text())
    weights, io = load_file(network / "weights.safetensors"), load_file(network / "io.safetensors")
    runs = sorted({name.split(".")[0] for name in io if "." in name})
    for run in runs:
        source = run if f"{run}.ref_label" in io else runs[0]  # a run may share the first one's inputs
        labels = io[f"{source}.ref_label"]
        note = config.get("runs", {}).get(run, "")
        target = re.search(r"target_size=\((\d+), *(\d+)\)", note)
        changes = {"target_size": tuple(int(side) for side in target.groups())} if target else {}
        net = build(config["constructor"], weights, **changes)
        if f"{source}.image_u8" in io:
            maps = encoded(net, io[f"{source}.image_u8"])
            for i, level in enumerate(maps, start=1):
                if f"{source}.F{i}" in io:
                    spread = max(1.0, level.std().item())
                    assert (level - io[f"{source}.F{i}"]).abs().max() <= STAGE * spread, f"{source}.F{i}"
        if f"{source}.F1" in io:
            maps = [io[f"{source}.F{i}"] for i in (1, 2, 3, 4)]
        roi = io.get(f"{run}.roi")
        regions = None if roi is None else [tuple(row) for row in roi.view(-1, 4).long().tolist()]
        stages = compute_stages(net, maps, labels, regions)
        recorded = {name.split(".", 1)[1] for name in io if name.startswith(f"{run}.")}
        recorded -= {"F1", "F2", "F3", "F4", "ref_label", "roi", "image_u8"}
        assert recorded <= set(stages), f"{run}: {recorded - set(stages)}"
        for name in sorted(recorded):
            expected = io[f"{run}.{name}"].float()
            if name == "label":
                margin = (stages["full_logits"][:, 1:] - stages["full_logits"][:, :1]).abs()
                assert torch.equal(stages[name].float()[margin > LOGITS], expected[margin > LOGITS]), run
                continue
            allowed = (LOGITS if "logits" in name else STAGE) * max(1.0, expected.std().item())
            worst = (stages[name].float() - expected).abs().max().item()
            assert worst <= allowed, f"{run}.{name}: {worst:.2e}"


def test_average_pooling_would_be_noticed(network, monkeypatch):
    """The paper says average, the code takes the maximum; the fixture tells them apart."""
    config = json.loads((network / "config.json").read_text())
    weights, io = load_file(network / "weights.safetensors"), load_file(network / "io.safetensors")
    run = sorted({name.split(".")[0] for name in io if "." in name})[0]
    net = build(config["constructor"], weights)
    monkeypatch.setattr(
        "segue.models.interformer.imsa.adaptive_max_pool", lambda x, size: F.adaptive_avg_pool2d(x, size)
    )
    given = f"{run}.F1" in io
    maps = [io[f"{run}.F{i}"] for i in (1, 2, 3, 4)] if given else encoded(net, io[f"{run}.image_u8"])
    with torch.inference_mode():
        wrong = net.decode(net.prepare(maps), io[f"{run}.ref_label"])
    assert (wrong - io[f"{run}.logits"]).abs().max() > 100 * LOGITS


def test_every_step_of_every_reference_map(click_map):
    config, io = json.loads((click_map / "config.json").read_text()), load_file(click_map / "io.safetensors")
    for script in config["scripts"]:
        expected = io[script["ref_key"]]
        labels = unknown_labels(expected.shape[-2:])
        for t, step in enumerate(script["steps"]):
            assert torch.equal(labels[0, 0], expected[t]), (script["name"], t)
            if step["kind"] == "click":
                points = [(y, x, mode == "positive") for y, x, mode in step["points"]]
                labels = with_clicks(labels, points, script["inner_radius"], script["outer_radius"])
            else:
                labels = with_answer(labels, io[step["key"]] == 1)
        assert torch.equal(labels[0, 0], expected[-1]), script["name"]


def test_every_region(click_map):
    config, io = json.loads((click_map / "config.json").read_text()), load_file(click_map / "io.safetensors")
    for i, case in enumerate(config["get_roi"]):
        points = [(y, x, mode == "positive") for y, x, mode in case["points"]]
        labels = with_clicks(unknown_labels(case["shape"]), points)[0, 0]
        region = region_of_interest(
            labels, io[f"roi{i}.pred"] == 1, case["expand_ratio"], case["min_size"], case["max_stride"]
        )
        assert list(region) == case["roi"] == io[f"roi{i}.roi"].flatten().tolist(), i


def test_every_candidate_click(click_map):
    config, io = json.loads((click_map / "config.json").read_text()), load_file(click_map / "io.safetensors")
    for i, case in enumerate(config["click_sim"]):
        clicked = [(y, x) for y, x, _ in case["points"]]
        where, positive = click_candidates(io[f"sim{i}.pred"] == 1, io[f"sim{i}.gt"] == 1, clicked, case["sfc_inner_k"])
        assert {True: "positive", False: "negative", None: None}[positive] == case["mode"], i
        assert int(where.sum()) == case["n_candidates"], i
        assert torch.equal(where, io[f"sim{i}.candidates"] > 0), i
