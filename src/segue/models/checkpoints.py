"""Published checkpoints: read without running anything in them, recognise them, load them by their own keys."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from segue.core.errors import CheckpointError, MissingFile
from segue.core.registry import RegistryEntry
from segue.models.entry import CheckpointEntry
from segue.models.registry import CHECKPOINTS
from segue.nn.module import load_strict
from segue.nn.vit import resize_position_embedding

# libraries whose objects published checkpoints carry beside their tensors (losses, configurations)
CARRIED = ("isegm.", "mmcv.", "mmengine.", "mmseg.", "easydict.", "numpy.", "argparse.", "pathlib.", "omegaconf.")
# what training codes call the state dict in their files, the first of several that are there
_STATES = (
    *("state_dict", "model_state_dict", "model_state", "model", "module", "network", "net", "ema", "model_ema"),
    *("ema_state_dict", "params_ema", "params", "weights", "student", "teacher"),
)
_PREFIXES = ("module.", "model.", "net.", "_forward_module.", "ema_model.", "student.")
_COMPILED = "_orig_mod."  # torch.compile puts it before every module it holds, however deep


def read_state(path: Path | str, *, unwrap: bool = True) -> dict[str, Tensor]:
    """The state dict in a safetensors file or a published ``.pth``: official keys, float tensors as stored.

    Pickled files are read with ``weights_only``: nothing in them is executed. The wrappers that training codes put
    around a state dict (``state_dict``, ``model``, ``ema`` ...) are taken off, and with ``unwrap`` those before its
    keys (``module.``, ``model.``, ``net.``). Raises ``CheckpointError`` for what is no checkpoint, by what it is
    instead, and for weights that are NaN or infinite.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"epoch": 3, "model": {"module.w": torch.ones(2)}}, f"{folder}/model.pth")
    ...     read_state(f"{folder}/model.pth")
    {'w': tensor([1., 1.])}
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"no weights file {path}", "a .safetensors or .pth file", "check the path")
    with path.open("rb") as file:
        head = file.read(1024)
    if instead := _instead(head):
        raise CheckpointError(f"{path}, which is {instead[0]}", "the weights themselves", instead[1])
    try:
        content = load_file(path) if is_safetensors(path) else unpickle(path)
    except Exception as error:  # a file that is no checkpoint can break the unpickler anywhere
        raise CheckpointError(
            f"{path}, which cannot be read as weights ({(str(error) or type(error).__name__).splitlines()[0][:120]})",
            "a whole .safetensors file, or a .pth that holds only tensors and plain values",
            "download it again, or convert it where it was made",
        ) from error
    state = _unwrapped(content, path, _PREFIXES if unwrap else ())
    if not state:
        raise CheckpointError(f"{path} without any tensor", "a model's state dict", "this is some other file")
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                f"{path}, whose {key} is NaN or infinite", "finite weights", "take a checkpoint from before it diverged"
            )
    return state


def unpickle(path: Path | str) -> dict[str, Any]:
    """What a ``.pth`` holds, read with ``weights_only``: no code in it runs.

    SimpleClick's files carry a loss object and mmsegmentation's carry configurations; such objects of known
    training libraries become inert placeholders. Anything else that is not a tensor or a plain value raises
    ``pickle.UnpicklingError``.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".pth") as file:
    ...     torch.save({"state_dict": {"w": torch.ones(1)}}, file.name)
    ...     unpickle(file.name)
    {'state_dict': {'w': tensor([1.])}}
    """
    # files older than PyTorch 1.6 are no zip archives; for them weights_only alone decides
    unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipfile.is_zipfile(path) else []
    refused = [name for name in unsafe if not name.startswith(CARRIED)]
    if refused:
        raise pickle.UnpicklingError(f"it would run {', '.join(sorted(refused)[:3])}")
    # one class a name: torch keys its allow list by the class as well as by the name
    stand_ins: list[Any] = [(type("_Inert", (_Inert,), {}), name) for name in unsafe]
    with torch.serialization.safe_globals(stand_ins), Path(path).open("rb") as file:  # a path's suffix would decide
        content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        raise pickle.UnpicklingError(f"it holds a {type(content).__name__}, not a dictionary")
    return dict(content)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do, whatever its suffix: the length of a JSON header, then the header."""
    with path.open("rb") as file:
        length, first = int.from_bytes(file.read(8), "little"), file.read(1)
    return first == b"{" and 2 <= length <= path.stat().st_size - 8


class _Inert:
    """Stands in for an object of a library that is not installed: accepts any state, keeps none, runs nothing."""

    def __new__(cls, *_: object, **__: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def _instead(head: bytes) -> tuple[str, str] | None:
    """What a file is that is no checkpoint, by its first bytes, and what to do; None for what may be one."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    again = "download it again, from a link to the file itself"
    if not head:
        return "empty (0 bytes)", "download it again"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer", "run: git lfs pull, where the repository was cloned"
    if text.startswith((b"<!doctype html", b"<html")) or b"<html" in text:
        return "a web page (HTML)", again
    if text.startswith((b"<?xml", b"<error")):
        return "an XML message of a server", again
    if text.startswith((b"{", b"[")):
        return "JSON text", again
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file (Keras)", "export it from there as safetensors"
    if head.startswith(b"\x1f\x8b"):
        return "a gzip archive", "unpack it"
    return None


def _unwrapped(content: Mapping[str, Any], path: Path, prefixes: Sequence[str]) -> dict[str, Tensor]:
    """The state dict in what a file holds, without its wrappers and the prefixes that every key has."""
    for _ in range(4):  # wrappers in wrappers
        found = {key: value for key, value in content.items() if isinstance(value, Mapping) and _has_tensors(value)}
        if not found or sum(isinstance(value, Tensor) for value in content.values()) > 1:
            break
        name = next((name for name in _STATES if name in found), None)
        if name is None and len(found) > 1:
            raise CheckpointError(
                f"{path} with several state dicts ({', '.join(map(str, found))})",
                "one, or one named state_dict",
                "save the one that is meant in a file of its own",
            )
        content = found[name if name is not None else next(iter(found))]
    state = {str(key).replace(_COMPILED, ""): value for key, value in content.items() if isinstance(value, Tensor)}
    while prefix := next((p for p in prefixes if state and all(key.startswith(p) for key in state)), ""):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _has_tensors(content: Mapping[Any, Any], depth: int = 3) -> bool:
    """Whether a mapping of names, or one inside it, has a tensor; an optimizer's, by numbers, has none."""
    named = [value for key, value in content.items() if isinstance(key, str)]
    inner = (_has_tensors(value, depth - 1) for value in named if isinstance(value, Mapping) and depth)
    return any(isinstance(value, Tensor) for value in named) or any(inner)


def layout_of(state: Mapping[str, Tensor]) -> CheckpointEntry | None:
    """The row of ``CHECKPOINTS`` whose key ``state`` has; None for what no row knows."""
    return next((row for _, row in CHECKPOINTS.items() if any(key.startswith(row.key) for key in state)), None)


def looks_like(state: Mapping[str, Tensor]) -> str:
    """What the keys of ``state`` say it is, in words for a message.

    >>> looks_like({"image_encoder.neck.0.weight": torch.zeros(1)})
    'a SAM checkpoint in the original layout'
    """
    layout = layout_of(state)
    if layout is None:
        return f"something with keys such as {', '.join(sorted(state)[:3])}"
    return str(RegistryEntry(layout.describe, "").load()(state)) if layout.describe else layout.summary


def load_official(module: nn.Module, state: Mapping[str, Tensor], label: Callable[[dict[str, Tensor]], str]) -> None:
    """Load ``state`` into ``module`` by its own keys, all of them; a leading ``net.`` is taken off.

    Raises ``CheckpointError`` that says what the state looks like, and in ``label``'s words what was expected.

    >>> load_official(nn.Linear(1, 1), {"image_encoder.x": torch.zeros(1)}, lambda own: "a linear layer")
    Traceback (most recent call last):
    segue.core.errors.CheckpointError: got a SAM checkpoint in the original layout; expected a linear layer. \
Choose the model it belongs to, or run: segue convert.
    """
    plain = {key.removeprefix("net."): value for key, value in state.items()}
    expected = label(module.state_dict())
    described = looks_like(plain)
    try:
        load_strict(module, plain)
    except CheckpointError as error:
        if described == expected:
            raise
        raise CheckpointError(described, expected, "Choose the model it belongs to, or run: segue convert") from error


def load_mae(backbone: nn.Module, state: Mapping[str, Tensor], grid: tuple[int, int]) -> list[str]:
    """Start ``backbone`` from a published MAE encoder; returns the backbone's keys it had nothing for.

    ``state`` has MAE's own keys; the decoder and the last norm are left out, the position embedding is resized
    bicubically to ``grid`` (h, w) patches. Raises ``CheckpointError`` for other keys or another width.
    Source: He et al. 2022; SimpleClick's and InterFormer's initialisation.
    """
    if "pos_embed" not in state or "blocks.0.attn.qkv.weight" not in state:
        raise CheckpointError(looks_like(state), "an MAE encoder (blocks.*, pos_embed)", "Pass MAE's encoder file")
    taken = dict(state)
    position = taken["pos_embed"]
    side = round((position.shape[1] - 1) ** 0.5)
    patches = resize_position_embedding(position[:, 1:], (side, side), grid)
    taken["pos_embed"] = torch.cat([position[:, :1], patches], dim=1)
    own = backbone.state_dict()
    fitting = {key: value for key, value in taken.items() if key in own}
    wrong = [key for key, value in fitting.items() if value.shape != own[key].shape and not key.startswith("head.")]
    if wrong:
        raise CheckpointError(
            f"an MAE encoder whose {wrong[0]} is {tuple(fitting[wrong[0]].shape)}",
            f"{tuple(own[wrong[0]].shape)}, this model's",
            "Choose the MAE of the same ViT size",
        )
    fitting = {key: value for key, value in fitting.items() if value.shape == own[key].shape}
    backbone.load_state_dict(fitting, strict=False)
    return [key for key in own if key not in fitting]
