"""Files of weights come out of every wrapper, and what is none is refused by what it is."""

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from segue.core.errors import CheckpointError, MissingFile
from segue.models.weights_file import read_state

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
