"""Where weights come from: files in the published formats, the package itself, a folder, the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from segue.core.errors import CheckpointError, ConfigError, DataError, MissingFile, StorageError
from segue.core.files import file_digest, read_json, replacing
from segue.core.segmenter import Segmenter
from segue.data.hub import hub_card

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")


def shipped_file(name: str) -> Path:
    """The weights of model ``name`` inside the package."""
    return Path(str(files("segue.models.nano").joinpath("weights", f"{name}.safetensors")))


def save_pretrained(
    model: Segmenter, folder: Path | str, card: str = "", figures: Mapping[str, float | str] | None = None
) -> Path:
    """Write ``config.json``, ``model.safetensors`` and ``README.md``: what ``segue.load`` and the hub read.

    ``config.json`` keeps the weights' SHA-256, which ``segue.load`` compares. Without ``card`` the model card is
    made from the registry's row, with ``figures`` that were measured.
    Raises ``ConfigError`` while an adapter is on the model (it is saved alone), and ``StorageError`` when the disk
    is full; a folder already there keeps its old files until the new ones are whole.
    """
    if getattr(model.__dict__.get("_adapters"), "replaced", None):
        raise ConfigError(
            "a model with an adapter on it",
            "the bare model",
            "save the adapter with its own save_pretrained, or detach it first",
        )
    from safetensors.torch import save_file  # as in read_state

    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state = {k: v.detach().cpu().contiguous() for k, v in model.module.state_dict().items()}
        with replacing(folder / WEIGHTS) as beside:
            save_file(state, beside, metadata={"format": "pt"})
        for file in _tokenizer_files(model):
            (folder / file.name).write_bytes(file.read_bytes())
        config = {
            "library": "segue",
            "segue_model": model.name or _row_of(model),
            "config": dict(model.config),
            "sha256": file_digest(folder / WEIGHTS),
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=1))
        (folder / "README.md").write_text(card or model_card(model.name, figures))
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{folder} could not be written ({error})", "a writable folder with room") from error
    return folder


def _row_of(model: Segmenter) -> str:
    """A row that builds models of this class: one that was opened from transformers' layout has no name."""
    from segue.models.registry import MODELS

    return next((n for n, row in MODELS.items() if row.target.endswith(f":{type(model).__name__}")), "")


def _tokenizer_files(model: Segmenter) -> list[Path]:
    folder = getattr(model, "tokenizer", None)
    return [] if folder is None else [Path(folder) / name for name in TOKENIZER if (Path(folder) / name).is_file()]


def model_card(name: str, figures: Mapping[str, float | str] | None = None, notes: str = "") -> str:
    """The model card of registry row ``name``, with ``figures`` that were measured and ``notes`` on this copy;
    names that are not in the registry get one without source and licence.

    >>> "license: apache-2.0" in model_card("nano", {"GrabCut NoC90": 3.1})
    True
    """
    from segue.models.registry import MODELS

    use = 'import segue\n\nmodel = segue.load("FOLDER or hub id")'
    more = f"\n\n{notes}" if notes else ""
    if name not in MODELS:
        about = f"A promptable segmentation model.{more}"
        return hub_card(name or "model", "unknown", about, figures=figures, use=use)
    row = MODELS[name]
    return hub_card(
        name,
        row.card.licence,
        f"{row.summary}.{more}",
        source=row.card.source,
        base_model=row.hub,
        tags=("interactive-segmentation",),
        figures=figures,
        use=use,
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a model folder, segue's own or transformers'."""
    path = folder / CONFIG
    if not path.is_file():
        raise MissingFile(f"{folder} without a {CONFIG}", f"a model folder ({CONFIG} and {WEIGHTS})", "check the path")
    try:
        config = read_json(path)
    except DataError as error:
        raise CheckpointError(error.arrived, "a model's configuration") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}, which is no JSON object", "a model's configuration")
    return config
