"""The table of adapters: one row an adapter. A row earns its contract tests and its heading in docs/adapters.md."""

from __future__ import annotations

from dataclasses import dataclass

from segue.core.registry import Registry, Row


@dataclass(frozen=True)
class AdapterRow(Row):
    """An adapter: ``target`` is a class called with the model and its settings; ``starts_silent`` when a fresh
    one leaves every answer as it was; ``paper`` is where it comes from."""

    paper: str = ""
    starts_silent: bool = True


ADAPTERS: Registry[AdapterRow] = Registry(
    "adapter",
    {
        "detail": AdapterRow(
            "segue.adapters.detail:detail",
            "a detail branch and, beside the head, a token decoder: sharper masks from few clicks",
            paper="ClickAdapter, sections III-B and III-C",
        ),
        "dense": AdapterRow(
            "segue.adapters.bottleneck:Dense",
            "bottlenecks inside the layers of a text-prompted model",
            paper="VLSM-Adapter, MICCAI 2024, figure 1c",
            starts_silent=False,
        ),
        "shallow": AdapterRow(
            "segue.adapters.bottleneck:Shallow",
            "bottlenecks on what a text-prompted model's decoder taps",
            paper="VLSM-Adapter, MICCAI 2024, figure 1b",
            starts_silent=False,
        ),
        "lora": AdapterRow(
            "segue.adapters.lora:LoRA",
            "low-rank updates of the attention projections, or of 1 x 1 convolutions",
            extra="train",
            paper="LoRA, ICLR 2022, through peft",
        ),
        "full": AdapterRow("segue.adapters.baselines:Full", "every weight, trained on a copy"),
        "head": AdapterRow("segue.adapters.baselines:Head", "the decoder or head alone, trained on a copy"),
        "prompt": AdapterRow(
            "segue.adapters.baselines:VisualPrompt",
            "a learned grid added to the patch tokens",
            paper="Visual Prompt Tuning, ECCV 2022, the 'add' location",
        ),
        "side": AdapterRow(
            "segue.adapters.side:SideNetwork",
            "a small network beside a frozen text-prompted model",
            paper="after SAN, CVPR 2023",
            starts_silent=False,
        ),
    },
)
