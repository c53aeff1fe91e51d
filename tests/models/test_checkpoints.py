"""Published files are recognised, load by their own keys, and can neither run code nor be mistaken."""

import collections
import contextlib
import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from segue.core.errors import CheckpointError, MissingFile
from segue.models.checkpoints import load_mae, looks_like, read_state, unpickle
from segue.models.simpleclick.model import SimpleClick, simpleclick
from segue.models.simpleclick.network import SimpleClickConfig, SimpleClickNet
from segue.models.simpleclick.registry import TINY
from segue.models.simpleclick.weights import simpleclick_config

STATE = {"encoder.weight": torch.ones(2, 3), "head.bias": torch.zeros(4)}
WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "ema", "module", "weights", "something_of_ones_own")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")


def same(state):
    return list(state) == list(STATE) and all(torch.equal(state[key], value) for key, value in STATE.items())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(WRAPPERS), max_size=3),
    st.lists(st.sampled_from(PREFIXES), max_size=3),
    st.dictionaries(
        st.sampled_from(("epoch", "args", "optimizer", "lr")), st.sampled_from((3, "text", {"a": 1}, None))
    ),
)
def test_wrappers_and_prefixes_are_taken_off_in_any_order(tmp_path_factory, wrappers, prefixes, beside):
    content = {"".join(prefixes) + key: value for key, value in STATE.items()}
    for wrapper in wrappers:
        content = {**beside, wrapper: content}
    path = tmp_path_factory.mktemp("weights") / "a.pth"
    torch.save(content, path)
    assert same(read_state(path))


def test_a_compiled_part_is_read_too(tmp_path):
    torch.save({"encoder._orig_mod.weight": torch.ones(2, 3), "head.bias": torch.zeros(4)}, tmp_path / "a.pth")
    assert same(read_state(tmp_path / "a.pth"))


def test_an_optimizer_beside_the_weights_is_left_out(tmp_path):
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    content = {"step": torch.tensor(3), "my_net": net.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(content, tmp_path / "a.pth")
    assert set(read_state(tmp_path / "a.pth")) == {"weight", "bias"}


def test_the_content_tells_safetensors_not_the_suffix(tmp_path):
    save_file(STATE, tmp_path / "a.pth")
    torch.save(STATE, tmp_path / "b.safetensors")
    assert same(read_state(tmp_path / "a.pth"))
    assert same(read_state(tmp_path / "b.safetensors"))


def test_several_state_dicts_are_refused_by_their_names(tmp_path):
    torch.save({"generator": STATE, "discriminator": STATE}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="generator, discriminator"):
        read_state(tmp_path / "a.pth")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_diverged_are_refused(tmp_path, value):
    torch.save(STATE | {"head.bias": torch.tensor([0, value])}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth, whose head\.bias is NaN or infinite"):
        read_state(tmp_path / "a.pth")


INSTEAD = {
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
    "web page": b"\n<!DOCTYPE html><html><title>Virus scan warning</title></html>",
    "web page (HTML)": b"<HTML><body>404</body></HTML>",
    "message of a server": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "JSON": b'{"error": "Repository not found"}',
    "empty": b"",
    "Keras": b"\x89HDF\r\n\x1a\n" + bytes(64),
}


@pytest.mark.parametrize("what", INSTEAD)
@pytest.mark.parametrize("name", ["given.pth", "given.safetensors", "given.bin"])
def test_what_is_no_checkpoint_is_said(tmp_path, what, name):
    (tmp_path / name).write_bytes(INSTEAD[what])
    with pytest.raises(CheckpointError, match=name) as caught:
        read_state(tmp_path / name)
    assert what in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_damaged_files_are_refused_or_read(tmp_path_factory, place, value, short):
    path = tmp_path_factory.mktemp("weights") / "a.pth"
    torch.save({"state_dict": STATE}, path)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content[: place % len(content)] if short else content)
    with contextlib.suppress(CheckpointError):
        assert read_state(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"none\.pth"):
        read_state(tmp_path / "none.pth")


def official_file(path, config, constructor):
    """A file as SimpleClick publishes them: its configuration carries a loss object of its own package."""
    module = types.ModuleType("isegm.model.losses_for_test")
    loss = type("CrossEntropyLoss", (torch.nn.Module,), {"__module__": module.__name__})
    module.CrossEntropyLoss = loss
    parents = ("isegm", "isegm.model")
    sys.modules.update({name: types.ModuleType(name) for name in parents} | {module.__name__: module})
    try:
        net = SimpleClickNet(SimpleClickConfig.from_fields(config))
        constructor["head_params"] = {"align_corners": False, "loss_decode": loss()}
        params = {k: {"type": "builtin", "value": v, "specified": True} for k, v in constructor.items()}
        stored = {"class": "isegm.model.is_plainvit_model.PlainVitModel", "params": params}
        torch.save({"state_dict": net.state_dict(), "config": stored}, path)
    finally:
        for name in (*parents, module.__name__):
            del sys.modules[name]
    return net


def test_a_published_simpleclick_loads_although_it_carries_foreign_objects(tmp_path):
    constructor = {"use_disks": True, "backbone_params": {"img_size": (64, 64), "num_heads": 2}}
    net = official_file(tmp_path / "published.pth", TINY, constructor)
    content = unpickle(tmp_path / "published.pth")
    config = simpleclick_config(content["state_dict"], content["config"])
    assert SimpleClickConfig.from_fields(config) == SimpleClickConfig.from_fields(TINY)
    model = simpleclick(**config)
    model.load_published(read_state(tmp_path / "published.pth"))
    own = model.inner.net.state_dict()
    assert all(torch.equal(own[key], value) for key, value in net.state_dict().items())


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(pickle.UnpicklingError, match="system"):
        unpickle(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_mm_style_files_with_numpy_scalars_load(tmp_path):
    import numpy as np

    meta = {"epoch": np.int64(3), "CLASSES": ("a",)}
    state = collections.OrderedDict(w=torch.ones(2))
    torch.save({"meta": meta, "state_dict": state}, tmp_path / "mm.pth")
    assert torch.equal(unpickle(tmp_path / "mm.pth")["state_dict"]["w"], torch.ones(2))


@pytest.mark.parametrize("upsample", ["x1", "x2", "x4"])
def test_every_size_is_told_from_the_keys_alone(upsample):
    config = TINY | {"upsample": upsample, "patch_size": (14, 14), "img_size": (56, 56), "with_prev_mask": False}
    found = simpleclick_config(SimpleClickNet(SimpleClickConfig.from_fields(config)).state_dict())
    # heads stand in no key; for a width nobody published the guess is one head per 64 channels
    assert SimpleClickConfig.from_fields(found | {"num_heads": 2}) == SimpleClickConfig.from_fields(config)


def test_the_wrong_checkpoint_is_named():
    model = SimpleClick(**TINY)
    base = {
        "patch_embed_coords.proj.weight": torch.zeros(768, 3, 16, 16),
        "backbone.pos_embed": torch.zeros(1, 785, 768),
    }
    with pytest.raises(CheckpointError, match=r"simpleclick-base checkpoint at 448.*width 16 checkpoint at 64"):
        model.load_published(base)
    with pytest.raises(CheckpointError, match="SAM checkpoint in the original layout"):
        model.load_published({"image_encoder.pos_embed": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="something with keys such as b"):
        simpleclick_config({"b": torch.zeros(1)})


def test_mae_initialises_the_backbone_at_another_input_size():
    torch.manual_seed(0)
    mae = SimpleClickNet(SimpleClickConfig.from_fields(TINY | {"img_size": (32, 32)})).backbone
    state = {k: v for k, v in mae.state_dict().items() if not k.startswith(("head.", "fc_norm."))}
    state |= {"norm.weight": torch.ones(16), "decoder_pos_embed": torch.zeros(1, 5, 8)}
    target = SimpleClickNet(SimpleClickConfig.from_fields(TINY)).backbone
    left = load_mae(target, state, target.grid)
    assert sorted(left) == ["fc_norm.bias", "fc_norm.weight", "head.bias", "head.weight"]
    assert torch.equal(target.blocks[3].mlp.fc2.weight, mae.blocks[3].mlp.fc2.weight)
    assert torch.equal(target.pos_embed[:, 0], mae.pos_embed[:, 0])
    # bicubic, corners not aligned: an embedding linear in the column stays so in the middle
    ramp = torch.arange(2.0).repeat(2)[None, :, None].expand(1, 4, 16)
    load_mae(target, state | {"pos_embed": torch.cat([torch.zeros(1, 1, 16), ramp], 1)}, target.grid)
    columns = target.pos_embed[0, 1:, 0].view(4, 4)[1]
    assert torch.allclose(columns + columns.flip(0), torch.ones(4), atol=1e-6)
    assert columns[0] < columns[1] < columns[2] < columns[3]


def test_an_mae_of_another_width_is_refused():
    small = SimpleClickNet(SimpleClickConfig.from_fields(TINY | {"embed_dim": 8})).backbone
    target = SimpleClickNet(SimpleClickConfig.from_fields(TINY)).backbone
    with pytest.raises(CheckpointError, match="same ViT size"):
        load_mae(target, small.state_dict(), target.grid)
    with pytest.raises(CheckpointError, match="MAE encoder"):
        load_mae(target, {"x": torch.zeros(1)}, target.grid)


def test_known_families_are_recognised():
    signs = {
        "vision_encoder.x": "transformers",
        "maps_transform.0.weight": "RITM",
        "clip.x": "CLIPSeg",
        "layers.0.ln1.weight": "mmsegmentation",
        "blocks.0.attn.qkv.weight": "plain ViT",
    }
    for key, word in signs.items():
        assert word in looks_like({key: torch.zeros(1)})
