"""Opening a model by name, folder or hub id, with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, cast

from segue.core.errors import CheckpointError, ConfigError, MissingFile
from segue.core.segmenter import Segmenter
from segue.data.hub import check_sha256, fetch, is_hub_id
from segue.models.pretrained import CONFIG, TOKENIZER, WEIGHTS, read_config, save_pretrained, shipped_file
from segue.models.registry import FOLDERS, MODELS, ModelEntry

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
            "pass it as --weights FILE, or --weights random to try without training",
        )
    if str(weights) != RANDOM:
        model.load_published(_state(weights))
    return model


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
