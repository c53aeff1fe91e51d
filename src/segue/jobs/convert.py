"""Published checkpoints into segue's own folders: recognised by their keys, or named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from segue.core.errors import CheckpointError
from segue.core.files import file_digest
from segue.core.segmenter import Segmenter
from segue.jobs.job import job
from segue.models.checkpoints import (
    SIMPLECLICK_NAMES,
    interformer_config,
    looks_like,
    simpleclick_config,
    unpickle,
)
from segue.models.pretrained import WEIGHTS, model_card, read_state, save_pretrained
from segue.models.registry import MODELS
from segue.models.wrappers import unwrapped
from segue.session.config import CommandLine, JobConfig
from segue.session.load import build


class ConvertConfig(JobConfig):
    """What ``segue convert`` takes; an MAE encoder needs the name of the model that shall start from it."""

    checkpoint: Annotated[
        Path, Field(description="A published .pth or .safetensors file."), CommandLine(positional=True)
    ]
    output: Annotated[Path, Field(description="The folder to write.")]
    model: Annotated[str | None, Field(description="The model it belongs to, where its keys do not tell.")] = None


@job(ConvertConfig)
def convert(config: ConvertConfig) -> dict[str, Any]:
    """Write ``config.json``, ``model.safetensors`` and a model card that ``segue.load`` reads.

    SimpleClick and InterFormer files are recognised, sizes included. Given an MAE encoder and a model's name,
    the model starts from it, its other weights fresh. Raises ``CheckpointError`` for anything else, and writes
    nothing then.

    >>> import tempfile, torch
    >>> from segue.models.simpleclick.model import TINY, SimpleClick
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"state_dict": SimpleClick(**TINY).net.state_dict()}, f"{folder}/a.pth")
    ...     convert(ConvertConfig(checkpoint=f"{folder}/a.pth", output=f"{folder}/a"))["model"]
    'simpleclick-base'
    """
    state = read_state(config.checkpoint)
    mae = "blocks.0.attn.qkv.weight" in state
    name, keywords = (config.model, {}) if mae else _recognise(config, state)
    if name is None:
        raise CheckpointError(looks_like(state), "the model that it belongs to", "Add --model NAME")
    model = build(name, keywords)
    fresh = _start_from(model, state) if mae else _load(model, state)
    digest = file_digest(config.checkpoint)
    save_pretrained(model, config.output, model_card(name, notes=_notes(name, config.checkpoint, digest)))
    return {
        "model": name,
        "found": looks_like(state),
        "folder": str(config.output),
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": (config.output / WEIGHTS).stat().st_size,
        "fresh": fresh,
        "sha256": digest,
    }


def _recognise(config: ConvertConfig, state: dict[str, Tensor]) -> tuple[str | None, dict[str, Any]]:
    """The registry's name and the keywords of the model whose keys these are."""
    if "patch_embed_coords.proj.weight" in state:
        stored = {} if config.checkpoint.suffix == ".safetensors" else unpickle(config.checkpoint).get("config", {})
        keywords = simpleclick_config(state, stored)
        known = SIMPLECLICK_NAMES.get(keywords["embed_dim"], "base")
        return config.model or f"simpleclick-{known}", keywords
    if "neck.patch_embed" in state:
        tiny = any(key.startswith("neck.refine_stages.0.") for key in state)
        return config.model or f"interformer-{'tiny' if tiny else 'light'}", interformer_config(state)
    return config.model, {}


def _load(model: Segmenter, state: dict[str, Tensor]) -> list[str]:
    model.load_published(state)
    return []


def _start_from(model: Segmenter, state: dict[str, Tensor]) -> list[str]:
    """Start a model's ViT from an MAE encoder; the keys left fresh."""
    core = unwrapped(model)
    start = getattr(core, "start_from_mae", None)
    if start is None:
        raise CheckpointError(looks_like(state), "a model on a plain ViT", "Choose a simpleclick or an interformer")
    return list(start(state))


def _notes(name: str, source: Path, digest: str) -> str:
    card = MODELS[name].card
    return (
        f"Converted from `{source.name}` (SHA-256 `{digest}`). Pixels are normalised with mean {card.mean} "
        f"and standard deviation {card.std} of values in 0..1."
    )
