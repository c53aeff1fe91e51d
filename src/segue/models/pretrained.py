"""Models saved as the hub's libraries lay them out, and opened by name, folder or hub id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, cast

from safetensors import SafetensorError

from segue.core.errors import CheckpointError, ConfigError, DataError, MissingFile, StorageError
from segue.core.files import cache_folder, file_digest, read_json, replacing
from segue.core.segmenter import Segmenter
from segue.data.io.hub import check_sha256, fetch, hub_card, is_hub_id
from segue.models.registry import FOLDERS, MODELS, ModelEntry

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")


def shipped_file(name: str) -> Path:
    """The weights of model ``name`` inside the package."""
    return Path(str(files("segue.models.nano").joinpath("weights", f"{name}.safetensors")))


def placed_file(row: ModelEntry) -> Path:
    """Where the published file of ``row`` is looked for: ``segue get`` and people place it there.

    >>> placed_file(MODELS["sam-vit-base"]).name
    'sam_vit_b_01ec64.pth'
    """
    return cache_folder("weights") / row.card.file


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


RANDOM = "random"


class Pretrained(Segmenter):
    """A model that is saved and opened as the hub's libraries do it."""

    def save_pretrained(self, folder: str | Path, figures: Mapping[str, float | str] | None = None) -> Path:
        """Write ``config.json``, ``model.safetensors`` and a model card with ``figures``, as the hub lays them out.

        Raises ``StorageError`` when the disk is full and ``ConfigError`` while an adapter is on the model.
        """
        return save_pretrained(self, folder, figures=figures)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **options: Any) -> Self:
        """``open_model`` by the name that the hub's libraries use; ``ConfigError`` for another model than this.

        >>> from segue.models.nano.model import Nano
        >>> Nano.from_pretrained("nano").name
        'nano'
        """
        model = open_model(name_or_path, **options)
        if not isinstance(model, cls):
            arrived = f"{name_or_path}, which holds a {type(model).__name__}"
            raise ConfigError(arrived, f"a {cls.__name__}", "open it with segue.load")
        return model


def open_model(
    name_or_path: str | Path,
    *,
    weights: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    revision: str | None = None,
    local_files_only: bool | None = None,
) -> Segmenter:
    """The model ``segue.load`` would load, without adapter, in evaluation mode on the CPU."""
    name = str(name_or_path)
    if name in MODELS:
        model = _from_row(name, weights, config, revision, local_files_only)
    elif Path(name).is_dir():
        model = _from_folder(Path(name), weights, config)
    elif is_hub_id(name):
        model = _from_folder(fetch(name, revision, local_files_only), weights, config)
    else:
        MODELS[name]  # raises, naming the nearest row
        raise AssertionError
    return model.eval()


def build(name: str, config: Mapping[str, Any] | None = None, shipped: Path | None = None) -> Segmenter:
    """Row ``name`` with ``config`` over the row's own and random weights, or those of the ``shipped`` file."""
    row = MODELS[name]
    keywords = {**row.config, **(config or {})}
    make = row.load() if shipped is None else partial(row.load().from_shipped, shipped)
    try:
        model = cast(Segmenter, make(**keywords))
    except TypeError as error:
        raise ConfigError(
            f"the configuration {keywords} for {name}", "its constructor's keywords", str(error)
        ) from error
    model.name, model.config = name, MappingProxyType(keywords)
    return model


def _from_row(
    name: str,
    weights: str | Path | None,
    config: Mapping[str, Any] | None,
    revision: str | None,
    local_files_only: bool | None,
) -> Segmenter:
    row = MODELS[name]
    if weights is None and config is None and row.placed and placed_file(row).is_file():
        weights = placed_file(row)
    if weights is None and not row.shipped and row.hub:
        files = (CONFIG, WEIGHTS, *row.beside)
        model = _from_folder(fetch(row.hub, revision, local_files_only, files=files), None, config)
        model.name = name
        return model
    if config is None and weights is not None and Path(weights).name == row.card.file and Path(weights).is_file():
        check_sha256(Path(weights), row.card.sha256)  # of the published sizes; other sizes are other files
    if weights is None and row.shipped:
        return build(name, config, shipped_file(name))
    model = build(name, config)
    if weights is None:
        raise MissingFile(
            _no_weights(name, row),
            f"the file {row.card.file or 'of its publisher'} from {row.card.source}",
            f"{_where(name, row)} pass it as --weights FILE, or --weights random to try without training",
        )
    if str(weights) != RANDOM:
        model.load_published(_state(weights))
    return model


def _where(name: str, row: ModelEntry) -> str:
    if row.card.url:
        return f"run: segue get {name}, or"
    return "" if row.card.backbone else f"place it as {placed_file(row)}, or"


def _no_weights(name: str, row: ModelEntry) -> str:
    return f"no weights for {name} (they are not shipped; licence {row.card.licence})"


def _from_folder(folder: Path, weights: str | Path | None, config: Mapping[str, Any] | None) -> Segmenter:
    stored = read_config(folder)
    if stored.get("library") == "segue":
        model = build(str(stored.get("segue_model")), {**stored.get("config", {}), **(config or {})})
        if weights is None and (folder / WEIGHTS).is_file():
            check_sha256(folder / WEIGHTS, str(stored.get("sha256", "")))
        own = weights is None
        model.load_published(_state(weights or folder / WEIGHTS, unwrap=not own))
        if hasattr(model, "tokenizer") and any((folder / name).is_file() for name in TOKENIZER):
            setattr(model, "tokenizer", str(folder))  # noqa: B010 - only text models have one
        return model
    kind = stored.get("model_type")
    if not isinstance(kind, str) or kind not in FOLDERS:
        raise CheckpointError(
            f"a model of type {kind!r} in {folder}", f"one of: {', '.join(FOLDERS)}, or a segue folder"
        )
    model = cast(Segmenter, FOLDERS.load(kind)(folder))
    if weights is not None:
        model.load_published(_state(weights))
    return model


def _state(path: Path | str, **options: bool) -> Mapping[str, Any]:
    from segue.models.checkpoints import read_state  # PyTorch is loaded only for weights that are its tensors

    return read_state(path, **options)
