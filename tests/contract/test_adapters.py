"""What every row of the adapter registry owes its users, on every model that it suits, at tiny sizes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from segue.adapters.base import Adapter, attach, attached, detach, disabled, load_adapter, save_adapter, training
from segue.adapters.registry import ADAPTERS
from segue.core.errors import CheckpointError, ConfigError, MissingExtra
from segue.core.segmenter import Segmenter
from segue.core.types import Box, Click, Image, Prompt, Reference, Text
from segue.models.registry import MODELS
from segue.models.wrappers import unwrapped
from segue.session.load import build

IMAGE: Image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
SMALL: dict[str, dict[str, Any]] = {"side": {"width": 16, "layers": 3, "heads": 2}, "prompt": {"cells": 4}}


def tiny(name: str) -> Segmenter:
    torch.manual_seed(0)
    return build(name, MODELS[name].tiny).eval()


@cache
def bare(name: str) -> Segmenter:
    return tiny(name)


@cache
def suits(adapter: str, model: str) -> bool:
    try:
        ADAPTERS.load(adapter)(bare(model), **SMALL.get(adapter, {}))
    except (ConfigError, MissingExtra):
        return False
    return True


FAMILIES = list({row.target: name for name, row in reversed(list(MODELS.items()))}.values())[::-1]
CASES = [(adapter, model) for adapter in ADAPTERS for model in FAMILIES if suits(adapter, model)]


def fresh(adapter: str, model: Segmenter) -> Adapter:
    torch.manual_seed(1)
    made: Adapter = ADAPTERS.load(adapter)(model, **SMALL.get(adapter, {}))
    return made


def stir(adapter: Adapter) -> None:
    """Move every learned number, as training would, so that none is still at a silent start."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


def prompts(model: Segmenter) -> list[Prompt]:
    mask = np.zeros(IMAGE.shape[:2], bool)
    mask[10:40, 20:50] = True
    if Click in model.accepts:
        return [Click(30, 20), Click(70, 50, positive=False)]
    by_kind: dict[type, Prompt] = {Text: Text("a cup"), Box: Box(10, 10, 40, 40), Reference: Reference(IMAGE, mask)}
    return [next(p for kind, p in by_kind.items() if kind in model.accepts)]


def say(model: Segmenter) -> NDArray[np.float32]:
    """Logits of the second turn, where previous masks take part."""
    features = model.encode([IMAGE])
    memory = model.decode(features, prompts(model)[:1]).memory
    return model.decode(features, prompts(model), memory).logits


def differentiable(model: Segmenter) -> torch.Tensor:
    """What the model's graphs say one after the other, with gradients: images in, logits and scores out."""
    core = unwrapped(model)
    values = dict(GIVEN)
    for graph in getattr(core, "sam", core).export_graphs().values():
        inputs = [values[n] if n in values else lively(n, example) for n, example in graph.inputs.items()]
        outputs = graph.module(*inputs)
        values |= dict(zip(graph.outputs, outputs if isinstance(outputs, tuple) else (outputs,), strict=True))
    return torch.cat([values[name].flatten() for name in graph.outputs])


GIVEN = {
    "clicks": torch.tensor([[[40.0, 30.0, 1.0], [90.0, 70.0, 0.0]]]),
    "points": torch.tensor([[[30.0, 20.0, 0.0], [-1.0, -1.0, -1.0], [50.0, 40.0, 1.0], [-1.0, -1.0, -1.0]]]),
    "has_mask_input": torch.ones(1),
}


def lively(name: str, example: torch.Tensor) -> torch.Tensor:
    """An example input with something in it, where it is an image or a mask."""
    generator = torch.Generator().manual_seed(0)
    if name in ("image", "pixels", "previous", "mask_input"):
        return torch.rand(example.shape, generator=generator)
    return torch.randint(0, 5, example.shape, generator=generator, dtype=example.dtype) if name == "labels" else example


def same(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Equal up to the order of sums, which differs between two copies of a model and between runtimes."""
    return np.allclose(a, b, rtol=1e-5, atol=2e-3 * float(np.abs(b).max()))


def test_every_adapter_suits_some_model() -> None:
    assert {adapter for adapter, _ in CASES} == set(ADAPTERS)


@pytest.mark.parametrize(("name", "base"), CASES)
def test_a_fresh_adapter_starts_as_its_paper_starts_it(name: str, base: str) -> None:
    model = tiny(base)
    before = say(model)
    attach(model, fresh(name, model))
    assert same(say(model), before) == ADAPTERS[name].identity_at_init


@pytest.mark.parametrize(("name", "base"), CASES)
def test_gradients_reach_every_adapter_parameter_and_nothing_else(name: str, base: str) -> None:
    model = tiny(base)
    frozen = list(model.module.parameters())
    adapter = fresh(name, model)
    stir(adapter)
    attach(model, adapter)
    with training(model, adapter):
        differentiable(model).square().mean().backward()
    silent = [n for n, p in adapter.named_parameters() if p.grad is None or not p.grad.any()]
    unused = unused_by_the_base(base) if name in ("full", "head", "lora") else []
    sites = model.sites()
    assert {n for n in silent if not any(path.endswith(base_name(n, sites)) for path in unused)} == set()
    assert [p for p in frozen if p.grad is not None] == []


def unused_by_the_base(base: str) -> list[str]:
    """Parameters that take no part in this answer of the model itself, such as a classifier's head."""
    model = tiny(base)
    model.module.requires_grad_(True)
    differentiable(model).square().mean().backward()
    return [n for n, p in model.module.named_parameters() if p.grad is None or not p.grad.any()]


def base_name(learned: str, sites: Mapping[str, str]) -> str:
    """The name, or its end, of the base's parameter that a learned one belongs to."""
    layer, _, rest = learned.removeprefix("layers.").partition(".")
    site = layer.replace("/", ".")
    path, lora, _ = f"{sites.get(site, site)}.{rest}".partition(".lora_")
    return f"{path}.weight" if lora else path


@pytest.mark.parametrize(("name", "base"), CASES)
def test_off_gives_the_base_back_bit_for_bit(name: str, base: str) -> None:
    model = tiny(base)
    before, identity = say(model), model.fingerprint()
    adapter = fresh(name, model)
    stir(adapter)
    attach(model, adapter)
    adapted, other = say(model), model.fingerprint()
    assert not np.array_equal(adapted, before)
    assert other != identity
    with disabled(model):
        assert np.array_equal(say(model), before)
        assert model.fingerprint() == identity
    assert np.array_equal(say(model), adapted)
    assert detach(model) is adapter
    assert np.array_equal(say(model), before)
    assert model.fingerprint() == identity
    assert all(p.requires_grad for p in model.module.parameters()) == all(
        p.requires_grad for p in tiny(base).module.parameters()
    )


@pytest.mark.parametrize(("name", "base"), CASES)
def test_saved_and_loaded_it_answers_the_same(name: str, base: str, tmp_path: Path) -> None:
    model = tiny(base)
    adapter = fresh(name, model)
    stir(adapter)
    attach(model, adapter)
    folder = adapter.save_pretrained(model, tmp_path / "adapter", licence="MIT", figures={"clicks saved": 1.25})
    files = {p.name for p in folder.iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    other = tiny(base)
    loaded = Adapter.from_pretrained(other, folder)
    assert attached(other) == (loaded,)
    assert same(say(other), say(model))
    head, _, words = (folder / "README.md").read_text().removeprefix("---\n").partition("---\n")
    assert yaml.safe_load(head)["license"] == "mit"
    assert f"# {name} adapter for {base}" in words
    assert "| clicks saved | 1.25 |" in words


@pytest.mark.parametrize(("name", "base"), CASES)
def test_another_base_is_refused(name: str, base: str, tmp_path: Path) -> None:
    model = tiny(base)
    adapter = attach(model, fresh(name, model))
    save_adapter(model, adapter, tmp_path / "adapter")
    other = tiny(base)
    with torch.no_grad():
        next(other.module.parameters()).view(-1)[0] += 1
    with pytest.raises(CheckpointError, match="the very model that it was trained on"):
        load_adapter(other, tmp_path / "adapter")
    assert attached(other) == ()


@pytest.mark.parametrize(("name", "base"), CASES)
def test_it_stacks_on_lora(name: str, base: str, tmp_path: Path) -> None:
    """The lower adapter can be switched off beneath the upper one, and each is saved alone."""
    if name == "lora" or not suits("lora", base):
        pytest.skip("lora is what the others are stacked upon here")
    model = tiny(base)
    before = say(model)
    lower = attach(model, fresh("lora", model))
    stir(lower)
    with_lower = say(model)
    upper = attach(model, fresh(name, model))
    stir(upper)
    both = say(model)
    with disabled(model, upper):
        assert np.array_equal(say(model), with_lower)
    with disabled(model):
        assert np.array_equal(say(model), before)
    assert np.array_equal(say(model), both)
    save_adapter(model, lower, tmp_path / "lower")
    save_adapter(model, upper, tmp_path / "upper")
    other = tiny(base)
    load_adapter(other, tmp_path / "lower")
    load_adapter(other, tmp_path / "upper")
    assert same(say(other), both)
    detach(model, upper)
    assert np.array_equal(say(model), with_lower)
