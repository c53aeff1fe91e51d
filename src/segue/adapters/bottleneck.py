"""VLSM-Adapter: bottlenecks in the towers of a text-prompted model (Dhakal et al., MICCAI 2024)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from segue.adapters.base import Adapter, site_path, sites_like
from segue.adapters.links import After, Beside, width_of
from segue.core.errors import CheckpointError, ConfigError
from segue.core.segmenter import Segmenter

Variant = Literal["v", "vl", "vlc"]
VARIANTS = ("v", "vl", "vlc")
CONDITION_WIDTH = 256  # the published code's, whatever the other adapters' width


class Bottleneck(nn.Module):
    """``x + relu(W2 relu(W1 x))`` over the last axis: equation 1, with both non-linearities.

    >>> import torch
    >>> Bottleneck(8, 2)(torch.zeros(1, 3, 8)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, width)
        self.fc2 = nn.Linear(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.fc2(F.relu(self.fc1(x))))


class _TextPrompted(Adapter, ABC):
    def __init__(self, model: Segmenter, variant: Variant, width: int) -> None:
        if variant not in VARIANTS:
            raise ConfigError(
                f"the variant {variant!r}", f"one of: {', '.join(VARIANTS)}", "v is vision, l language, c condition"
            )
        super().__init__(variant=variant, width=width)
        self._build(model, variant, width)
        if "c" in variant:
            channels = width_of(model.module.get_submodule(site_path(model, "condition")))
            self.place(model, "condition", After, Bottleneck(channels, CONDITION_WIDTH))

    @abstractmethod
    def _build(self, model: Segmenter, variant: Variant, width: int) -> None:
        """Place the bottlenecks of the two towers."""

    def _add(self, model: Segmenter, site: str, width: int) -> None:
        channels = width_of(model.module.get_submodule(site_path(model, site)))
        self.place(model, site, After, Bottleneck(channels, width))


class Dense(_TextPrompted):
    """Bottlenecks on attention and perceptron outputs, before each residual addition (figure 1c).

    They stand in every vision layer beneath the one that the deepest tap reads, and in as many text layers;
    ``variant`` v, vl or vlc adds text layers and the condition. 2,974,464 parameters for vl on rd64.
    """

    kind = "dense"

    def __init__(self, model: Segmenter, variant: Variant = "vl", width: int = 64) -> None:
        super().__init__(model, variant, width)

    def _build(self, model: Segmenter, variant: Variant, width: int) -> None:
        vision = [s for s in sites_like(model, "vision.", needed_by="dense") if s.endswith((".attention", ".mlp"))]
        used = vision[:-2]
        towers = {"v": used, "l": [s.replace("vision.", "text.", 1) for s in used]}
        for letter in variant.replace("c", ""):
            for site in towers[letter]:
                if site in model.sites():
                    self._add(model, site, width)


class Shallow(_TextPrompted):
    """Bottlenecks on the tapped vision states, and beside the text tower: its end-of-text states at the same
    depths, adapted, are added to the condition (figure 1b). 4,201,984 parameters for vlc on rd64.
    """

    kind = "shallow"

    def __init__(self, model: Segmenter, variant: Variant = "vlc", width: int = 512) -> None:
        super().__init__(model, variant, width)

    def _build(self, model: Segmenter, variant: Variant, width: int) -> None:
        for site in sites_like(model, "vision.tap.", needed_by="shallow"):
            self._add(model, site, width)
        if "l" not in variant:
            return
        for site in sites_like(model, "text.tap.", needed_by="shallow"):
            branch = model.module.get_submodule(site_path(model, site))
            channels, outputs = width_of(branch), int(getattr(branch, "outputs", 0))
            if channels != outputs:
                raise ConfigError(
                    f"text states of {channels} channels for a condition of {outputs}",
                    "equal widths (as in CLIP ViT-B), since the states are added to the condition",
                    "use the variant 'v' or the dense adapter",
                )
            self.place(model, site, Beside, Bottleneck(channels, width))


def official_adapter(state: Mapping[str, Tensor], adapter: _TextPrompted) -> dict[str, Tensor]:
    """The tensors of VLSM-Adapter's published checkpoints under this adapter's keys, those it uses.

    ``adapter`` gives the variant and kind; keys of the base model in ``state`` are passed over. Raises
    ``CheckpointError`` when one is missing.
    """
    names = {"v": "vision", "l": "text"}
    tensors: dict[str, Tensor] = {}
    for key in adapter.state_dict():
        site, layer, name = key.removeprefix("layers.").rsplit(".", 2)
        parts = site.split("/")
        if parts == ["condition"]:
            official = "cond_adapter"
        elif parts[1] == "tap":
            official = f"{parts[0]}_extract_adapters.{parts[2]}"
        else:
            tower = next(letter for letter, word in names.items() if word == parts[0])
            official = f"{tower}_{'attn' if parts[2] == 'attention' else 'out'}_adapters.{parts[1]}"
        full = f"{official}.{layer}.{name}"
        if full not in state:
            raise CheckpointError(f"a checkpoint without {full}", f"one of a {adapter.kind} VLSM-Adapter")
        tensors[key] = state[full]
    return tensors
