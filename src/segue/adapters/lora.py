"""LoRA through peft's layers, at the sites of this house."""

from __future__ import annotations

from typing import Any

from torch import nn

from segue.adapters.base import Adapter, describe_model
from segue.adapters.links import Link
from segue.core.errors import ConfigError, naming_extras
from segue.core.segmenter import Segmenter

ATTENTION = ("qkv", "q_proj", "v_proj", "query", "value", "key_value", "to_q", "to_v", "q_lin", "v_lin")
NAME = "segue"


class LoraLink(Link):
    """peft's layer around the base; its low-rank matrices are the adapter."""

    def __init__(self, base: nn.Module, adapter: nn.Module, layer: nn.Module) -> None:
        super().__init__(base, adapter)
        layer.base_layer = base
        self.__dict__["layer"] = layer  # unregistered: its parts are registered as base and adapter

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["layer"](*args, **kwargs)


class LoRA(Adapter):
    """Low-rank updates (Hu et al., ICLR 2022) of rank ``rank`` scaled by ``alpha / rank``.

    They go to the layers whose last name is in ``targets``: by default the query, value or joint projections
    of every attention; in models with fewer than two of those, to all 1 x 1 convolutions. A fresh one is silent.
    """

    kind = "lora"

    def __init__(self, model: Segmenter, rank: int = 8, alpha: float = 16.0, targets: list[str] | None = None) -> None:
        super().__init__(rank=rank, alpha=alpha, targets=targets)
        paths = _targets(model, targets)
        for path in paths:
            layer = _peft_layer(model.module.get_submodule(path), rank, alpha)
            parts = {n: getattr(layer, n) for n in ("lora_A", "lora_B")}
            matrices = nn.ModuleDict(parts)
            self.layers[path.replace(".", "/")] = matrices
            self.links[path] = lambda base, matrices=matrices, layer=layer: LoraLink(base, matrices, layer)  # type: ignore[misc]


def _targets(model: Segmenter, targets: list[str] | None) -> list[str]:
    linear = {p: m for p, m in model.module.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    names = tuple(targets or ATTENTION)
    layers = [p for p in linear if p.rpartition(".")[2] in names]
    if targets is None and len(layers) < 2:
        pointwise = {p: m for p, m in linear.items() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)}
        layers = [p for p, m in pointwise.items() if m.groups == 1]
    if not layers:
        raise ConfigError(
            f"{describe_model(model)} without layers named {', '.join(names)}",
            "at least one linear layer or convolution of those names",
            f"targets may name: {', '.join(sorted({p.rpartition('.')[2] for p in linear})[:12])}",
        )
    return layers


def _peft_layer(base: nn.Module, rank: int, alpha: float) -> nn.Module:
    with naming_extras():
        from peft import LoraConfig, inject_adapter_in_model
    trained = {p: p.requires_grad for p in base.parameters()}
    holder = nn.ModuleDict({"base": base})
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=["base"])
    layer: nn.Module = inject_adapter_in_model(config, holder, adapter_name=NAME)["base"]
    for parameter, flag in trained.items():  # peft freezes the base; attach() decides that here
        parameter.requires_grad_(flag)
    return layer
