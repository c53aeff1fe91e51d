"""Opening a model by name, folder or hub id, with its weights and adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.core.errors import MissingFile
from segue.core.segmenter import Segmenter
from segue.data.io.hub import is_hub_id
from segue.models.pretrained import RANDOM, build, open_model
from segue.nn.device import choose_device

__all__ = ["build", "load"]


def load(
    name_or_path: str | Path = "nano",
    *,
    weights: str | Path | None = None,
    adapter: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    device: Any = None,
    revision: str | None = None,
    local_files_only: bool | None = None,
) -> Segmenter:
    """A model ready to answer, in evaluation mode.

    ``name_or_path`` is a registry name (``segue models``), a local folder, or a Hugging Face id. ``weights`` is a
    file in the published format, or ``"random"`` for weights that nobody trained (benchmarks). ``adapter`` is an
    adapter's folder or Hugging Face id, ``config`` changes constructor keywords, ``device`` defaults to the GPU where
    there is one. ``revision`` and ``local_files_only`` are those of the hub's libraries.

    Raises ``UnknownName``, ``MissingFile``, ``CheckpointError``, ``ConfigError`` or ``DownloadError``.

    >>> import segue
    >>> sorted(kind.__name__ for kind in segue.load("nano").accepts)
    ['Box', 'Click']
    """
    if weights not in (None, RANDOM) and not Path(str(weights)).is_file():  # before any library that reads them
        raise MissingFile(f"no weights file {weights}", "a .safetensors or .pth file", "check the path")
    if adapter is not None and not Path(adapter).is_dir() and not is_hub_id(str(adapter)):
        raise MissingFile(f"the adapter {adapter}", "a folder that segue adapt wrote, or a Hugging Face id", "check it")
    where = choose_device(device)
    model = open_model(
        name_or_path, weights=weights, config=config, revision=revision, local_files_only=local_files_only
    )
    if adapter is not None:
        from segue.adapters.base import load_adapter

        load_adapter(model, adapter, local_files_only=local_files_only)
    return model.to(where)
