"""Published checkpoints into segue's own folders: recognised by their keys, or named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from segue.core.errors import CheckpointError
from segue.core.files import file_digest
from segue.jobs.job import job
from segue.jobs.output import Force, claim_output
from segue.models.checkpoints import is_safetensors, layout_of, looks_like, read_state, unpickle
from segue.models.pretrained import CONFIG, WEIGHTS, model_card, save_pretrained
from segue.models.registry import MODELS
from segue.session.config import CommandLine, JobConfig, JobResult
from segue.session.load import build


class ConvertConfig(JobConfig):
    """What ``segue convert`` takes; an MAE encoder needs the name of the model that shall start from it."""

    checkpoint: Annotated[
        Path, Field(description="A published .pth or .safetensors file."), CommandLine(positional=True)
    ]
    output: Annotated[Path, Field(description="The folder to write.")]
    force: Force = False
    model: Annotated[str | None, Field(description="The model it belongs to, where its keys do not tell.")] = None


class ConvertResult(JobResult):
    """What ``segue convert`` wrote: the ``model``'s name, the layout that was ``found``, parameters that started
    ``fresh``, and the published file's digest."""

    model: str
    found: str
    folder: Path
    parameters: int
    bytes: int
    fresh: tuple[str, ...]
    sha256: str


@job(ConvertConfig)
def convert(config: ConvertConfig) -> ConvertResult:
    """Write ``config.json``, ``model.safetensors`` and a model card that ``segue.load`` reads.

    SimpleClick and InterFormer files are recognised, sizes included. Given an encoder (an MAE's, a Mix Transformer's)
    and a model's name, the model starts from it, its other weights fresh. Raises ``CheckpointError`` for anything
    else, and writes nothing then.

    >>> import tempfile, torch
    >>> from segue.models.simpleclick.model import SimpleClick
    >>> from segue.models.simpleclick.registry import TINY
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"state_dict": SimpleClick(**TINY).net.state_dict()}, f"{folder}/a.pth")
    ...     convert(checkpoint=f"{folder}/a.pth", output=f"{folder}/a").model
    'simpleclick-base'
    """
    claim_output(config.output, (CONFIG, WEIGHTS), force=config.force)
    state = read_state(config.checkpoint)
    name, keywords, backbone = _recognise(config, state)
    if name is None:
        raise CheckpointError(looks_like(state), "the model that it belongs to", "Add --model NAME")
    model = build(name, keywords)
    fresh: list[str] = []
    if backbone:
        fresh = model.load_backbone(state)
    else:
        model.load_published(state)
    digest = file_digest(config.checkpoint)
    save_pretrained(model, config.output, model_card(name, notes=_notes(name, config.checkpoint, digest)))
    return ConvertResult(
        model=name,
        found=looks_like(state),
        folder=config.output,
        parameters=sum(p.numel() for p in model.module.parameters()),
        bytes=(config.output / WEIGHTS).stat().st_size,
        fresh=tuple(fresh),
        sha256=digest,
    )


def _recognise(config: ConvertConfig, state: dict[str, Tensor]) -> tuple[str | None, dict[str, Any], bool]:
    """The registry's name and the keywords of the model whose keys these are, and whether they are only the backbone
    that it starts from."""
    layout = layout_of(state)
    if layout is None or not layout.target:
        return config.model, {}, layout is not None and layout.backbone
    stored = {} if is_safetensors(config.checkpoint) else unpickle(config.checkpoint).get("config", {})
    name, keywords = layout.load()(state, stored)
    return config.model or name, keywords, False


def _notes(name: str, source: Path, digest: str) -> str:
    card = MODELS[name].card
    return (
        f"Converted from `{source.name}` (SHA-256 `{digest}`). Pixels are normalised with mean {card.mean} "
        f"and standard deviation {card.std} of values in 0..1."
    )
