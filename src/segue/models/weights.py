"""Where weights come from: files in the published formats, the package itself, a folder, the Hugging Face hub."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from segue.core.errors import CheckpointError, DownloadError, MissingFile, StorageError
from segue.core.segmenter import Segmenter
from segue.models.checkpoints import unpickle

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def read_state(path: Path | str) -> dict[str, Tensor]:
    """The state dict in a ``.safetensors`` file or a published ``.pth``: official keys, float tensors as stored.

    Pickled files are read with ``weights_only``: nothing in them is executed. The wrappers that training
    codes put around a state dict (``state_dict``, ``model``, a Lightning ``net.`` prefix) are taken off.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"state_dict": {"w": torch.ones(2)}}, f"{folder}/model.pth")
    ...     read_state(f"{folder}/model.pth")
    {'w': tensor([1., 1.])}
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"no weights file {path}", "a .safetensors or .pth file", "check the path")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else unpickle(path)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path}, which cannot be read as weights ({str(error).splitlines()[0][:120]})",
            "a whole .safetensors file, or a .pth that holds only tensors and plain values",
            "download it again, or convert it where it was made",
        ) from error
    for key in ("state_dict", "model", "module"):
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    state = {k: v for k, v in content.items() if isinstance(v, Tensor)}
    if not state:
        raise CheckpointError(f"{path} without any tensor", "a model's state dict", "this is some other file")
    if all(k.startswith("net.") for k in state):
        state = {k.removeprefix("net."): v for k, v in state.items()}
    return state


def shipped_file(name: str) -> Path:
    """The weights of model ``name`` inside the package."""
    return Path(str(files("segue.models").joinpath("weights", f"{name}.safetensors")))


def sha256(path: Path) -> str:
    """SHA-256 of a file, to compare with the card of hand-placed weights."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_pretrained(model: Segmenter, folder: Path | str, card: str = "") -> Path:
    """Write ``config.json``, ``model.safetensors`` and, with ``card``, ``README.md``: what ``segue.load`` reads.

    Raises ``StorageError`` when the disk is full; a folder already there keeps its old files until the new
    ones are whole.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
        save_file(state, folder / f".{WEIGHTS}", metadata={"format": "pt"})
        os.replace(folder / f".{WEIGHTS}", folder / WEIGHTS)
        config = {"library": "segue", "segue_model": model.name, "config": dict(model.config)}
        (folder / CONFIG).write_text(json.dumps(config, indent=1))
        if card:
            (folder / "README.md").write_text(card)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{folder} could not be written ({error})", "a writable folder with room") from error
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a model folder, segue's own or transformers'."""
    path = folder / CONFIG
    if not path.is_file():
        raise MissingFile(
            f"{folder} without a {CONFIG}", f"a model folder ({CONFIG} and {WEIGHTS})", "check the path"
        )
    try:
        config = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}, which is no JSON ({error})", "a model's configuration") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}, which is no JSON object", "a model's configuration")
    return config


def fetch(repo: str, revision: str | None = None, local_files_only: bool | None = None) -> Path:
    """The local folder of Hugging Face model ``repo``, downloaded unless it is cached or we are offline.

    ``HF_HUB_OFFLINE=1`` and ``local_files_only`` keep off the network. Raises ``DownloadError`` that says which
    files to place where.
    """
    from huggingface_hub import constants, snapshot_download

    try:
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                local_files_only=bool(local_files_only),
                allow_patterns=["*.json", "*.safetensors", "*.txt", "merges.txt"],
            )
        )
    except Exception as error:  # the hub's client raises a dozen unrelated types
        place = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
        raise DownloadError(
            f"no copy of {repo} ({type(error).__name__}: {str(error).splitlines()[0][:160]})",
            f"{CONFIG} and {WEIGHTS} from https://huggingface.co/{repo}, in a folder or under {place}",
            "download them by hand and pass the folder as --model",
        ) from error
