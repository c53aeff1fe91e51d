"""Attaching, stacking and storing adapters: what goes wrong is said, and nothing is left half done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from segue.adapters.base import attach, attached, base_digest, detach, disabled, load_adapter, save_adapter, training
from segue.adapters.baselines import Full, Head, VisualPrompt, bake
from segue.adapters.bottleneck import Dense, Shallow
from segue.adapters.links import After, Instead, width_of
from segue.adapters.lora import LoRA
from segue.adapters.registry import ADAPTERS
from segue.core.errors import CheckpointError, ConfigError, InputError, MissingFile, StorageError
from segue.core.segmenter import Segmenter
from segue.models.registry import MODELS
from segue.nn.module import weights_digest
from segue.session.load import build

ROOT = Path(__file__).resolve().parents[2]


def tiny(name: str = "clipseg-rd64", seed: int = 0) -> Segmenter:
    torch.manual_seed(seed)
    return build(name, MODELS[name].tiny).eval()


def test_an_adapter_for_another_kind_of_model_says_which_sites_it_needs() -> None:
    with pytest.raises(ConfigError, match=r"vision\."):
        Dense(tiny("simpleclick-xtiny"))
    with pytest.raises(ConfigError, match="features"):
        ADAPTERS.load("detail")(tiny("clipseg-rd64"))


def test_shallow_refuses_towers_whose_states_cannot_be_added() -> None:
    config = {**MODELS["clipseg-rd64"].tiny, "projection_dim": 24}
    torch.manual_seed(0)
    model = build("clipseg-rd64", config).eval()
    with pytest.raises(ConfigError, match="equal widths"):
        Shallow(model, "vl")
    Shallow(model, "v")


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ConfigError, match="v, vl, vlc"):
        Dense(tiny(), variant="lv")  # type: ignore[arg-type]


def test_lora_names_the_layers_it_could_target() -> None:
    with pytest.raises(ConfigError, match="q_proj"):
        LoRA(tiny(), targets=["nothing"])
    assert LoRA(tiny(), rank=2, targets=["fc1"]).trainable > 0


def test_making_an_adapter_does_not_touch_the_model() -> None:
    for name in ("dense", "shallow", "lora", "full", "head", "prompt", "side"):
        model = tiny()
        before, trained = weights_digest(model), [p.requires_grad for p in model.parameters()]
        ADAPTERS.load(name)(model, **({"heads": 2, "width": 16} if name == "side" else {}))
        assert weights_digest(model) == before
        assert [p.requires_grad for p in model.parameters()] == trained


def test_the_same_adapter_cannot_be_attached_twice_nor_detached_from_elsewhere() -> None:
    model = tiny()
    adapter = attach(model, Dense(model))
    with pytest.raises(ConfigError, match="attached already"):
        attach(model, adapter)
    with pytest.raises(ConfigError, match="not on this model"):
        detach(tiny(), adapter)
    assert attached(model) == (adapter,)


def test_the_lower_of_two_can_be_detached_and_the_upper_stays() -> None:
    model = tiny()
    lower, upper = attach(model, Dense(model, width=4)), attach(model, VisualPrompt(model, cells=2))
    assert detach(model, lower) is lower
    assert attached(model) == (upper,)
    alone = tiny()
    attach(alone, upper)
    assert weights_digest(model) == weights_digest(alone)


def test_off_within_off_and_an_error_inside_put_everything_back() -> None:
    model = tiny()
    bare = weights_digest(model)
    lower, _ = attach(model, Dense(model, width=4)), attach(model, VisualPrompt(model, cells=2))
    both = weights_digest(model)
    with disabled(model, lower):
        with disabled(model):
            assert weights_digest(model) == bare
        assert weights_digest(model) not in (bare, both)
    assert weights_digest(model) == both
    with pytest.raises(ZeroDivisionError), disabled(model):
        raise ZeroDivisionError
    assert weights_digest(model) == both


def test_only_the_newest_adapter_is_trained_and_the_base_gets_its_flags_back() -> None:
    model = tiny()
    first = next(model.parameters()).requires_grad_(False)
    lower, upper = attach(model, Dense(model, width=4)), attach(model, VisualPrompt(model, cells=2))
    learned = {id(p) for p in model.parameters() if p.requires_grad}
    assert learned == {id(p) for p in upper.parameters()}
    detach(model, upper)
    detach(model, lower)
    assert not first.requires_grad
    assert sum(not p.requires_grad for p in model.parameters()) == 1


def test_training_mode_is_the_adapters_alone() -> None:
    model = tiny()
    adapter = attach(model, Dense(model, width=4))
    with training(model, adapter):
        assert adapter.training
        assert not model.core.decoder.training  # type: ignore[union-attr]
    assert not model.training


def test_a_baked_copy_becomes_the_base() -> None:
    model = tiny()
    adapter = attach(model, Full(model))
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(1.0)
    wanted = {k: v.clone() for k, v in adapter.layers["core"].state_dict().items()}
    bake(model, adapter)
    assert attached(model) == ()
    assert all(torch.equal(v, wanted[k]) for k, v in model.core.state_dict().items())  # type: ignore[union-attr]


def test_a_folder_without_adapter_and_a_damaged_one_are_told_apart(tmp_path: Path) -> None:
    model = tiny()
    with pytest.raises(MissingFile, match=r"adapter_config\.json"):
        load_adapter(model, tmp_path)
    save_adapter(model, attach(model, Dense(model, width=4)), tmp_path)
    detach(model)
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"SHA-256 .* damaged"):
        load_adapter(model, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    del config["sha256"]  # as folders of earlier versions are
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="damaged"):
        load_adapter(model, tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(CheckpointError, match="no segue adapter"):
        load_adapter(model, tmp_path)
    assert attached(model) == ()


def test_the_upper_adapter_is_refused_without_the_lower(tmp_path: Path) -> None:
    model = tiny()
    attach(model, Dense(model, width=4))
    save_adapter(model, attach(model, VisualPrompt(model, cells=2)), tmp_path)
    with pytest.raises(CheckpointError, match="the very model"):
        load_adapter(tiny(), tmp_path)


def test_the_stored_config_says_what_it_is(tmp_path: Path) -> None:
    model = tiny()
    adapter = attach(model, Dense(model, width=4))
    save_adapter(model, adapter, tmp_path, card="# mine\n")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["segue_adapter"] == "dense"
    assert config["settings"] == {"variant": "vl", "width": 4}
    assert config["base"] == {"model": "clipseg-rd64", "class": "CLIPSeg", "digest": base_digest(tiny())}
    assert config["parameters"] == adapter.trainable
    assert (tmp_path / "README.md").read_text() == "# mine\n"


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model = tiny()
    with pytest.raises(StorageError, match="could not be written"):
        save_adapter(model, attach(model, Head(model)), tmp_path / "file")


def test_links_show_the_attributes_of_what_they_stand_for() -> None:
    base, layer = nn.Linear(2, 3), nn.Linear(3, 5)
    assert After(base, layer).out_features == 3
    assert Instead(base, layer).out_features == 5
    with pytest.raises(AttributeError):
        _ = After(base, layer).no_such_thing


def test_a_module_without_width_is_refused() -> None:
    with pytest.raises(InputError, match="width"):
        width_of(nn.ReLU())


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_is_documented(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "adapters.md").read_text()
