"""The table of adapters: one row an adapter. A row earns its contract tests and its heading in docs/adapters.md."""

from __future__ import annotations

from dataclasses import dataclass

from segue.core.registry import Registry, RegistryEntry


@dataclass(frozen=True)
class AdapterEntry(RegistryEntry):
    """An adapter: ``target`` is a class called with the model and its settings; ``identity_at_init`` when a fresh
    one leaves every answer as it was."""

    identity_at_init: bool = True


ADAPTERS: Registry[AdapterEntry] = Registry(
    "adapter",
    {
        "detail": AdapterEntry(
            "segue.adapters.detail:detail",
            "a detail branch and, beside the head, a token decoder: sharper masks from few clicks",
        ),
        "dense": AdapterEntry(
            "segue.adapters.bottleneck:Dense",
            "bottlenecks inside the layers of a text-prompted model",
            identity_at_init=False,
        ),
        "shallow": AdapterEntry(
            "segue.adapters.bottleneck:Shallow",
            "bottlenecks on what a text-prompted model's decoder taps",
            identity_at_init=False,
        ),
        "lora": AdapterEntry(
            "segue.adapters.lora:LoRA",
            "low-rank updates of the attention projections, or of 1 x 1 convolutions",
        ),
        "full": AdapterEntry("segue.adapters.baselines:Full", "every weight, trained on a copy"),
        "head": AdapterEntry("segue.adapters.baselines:Head", "the decoder or head alone, trained on a copy"),
        "prompt": AdapterEntry(
            "segue.adapters.baselines:VisualPrompt",
            "a learned grid added to the patch tokens",
        ),
        "side": AdapterEntry(
            "segue.adapters.side:SideNetwork",
            "a small network beside a frozen text-prompted model",
            identity_at_init=False,
        ),
    },
)
