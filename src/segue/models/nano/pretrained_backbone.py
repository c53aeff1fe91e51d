"""Where nano's encoder starts from: published arrays, or a backbone that was pretrained here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import CheckpointError, MissingFile
from segue.core.segmenter import load_strict
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.shufflenet import NANODET_MEAN, NANODET_STD, ShuffleNetV2, take_rgb
from segue.models.pretrained import read_state

HALF = 0x01306B47  # ncnn's mark before weights that are stored in half precision; 0 marks single precision
CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")


def start_backbone(backbone: MobileNetV2 | ShuffleNetV2, path: Path) -> None:
    """Give ``backbone`` the weights in ``path``.

    ``.npz`` holds the arrays of a TensorFlow MobileNetV2, ``.param`` (with its ``.bin`` beside it) NanoDet's
    ShuffleNetV2, ``.safetensors`` the state of this very backbone. All
    take pixels in [-1, 1] then. Raises ``CheckpointError`` for weights of another network.
    """
    if path.suffix == ".safetensors":
        load_strict(backbone, read_state(path))
    elif path.suffix == ".npz" and isinstance(backbone, MobileNetV2):
        with np.load(path) as arrays:
            backbone.load_arrays(dict(arrays))
    elif path.suffix == ".param" and isinstance(backbone, ShuffleNetV2):
        backbone.load_layers(read_ncnn(path))
        take_rgb(backbone.stem, NANODET_MEAN, NANODET_STD)
    else:
        raise CheckpointError(
            f"{path} for a {type(backbone).__name__}",
            ".npz for backbone mobilenet, .param for backbone shufflenet, or .safetensors of its own",
            "set backbone: in config: to the network that start: holds",
        )


def read_ncnn(param: Path) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The convolutions of an ncnn network, in order: kernel (out, in / groups, h, w) and bias (out,), 0 where a layer
    has none.

    ``param`` is the text that lists the layers; their weights lie in the ``.bin`` beside it, one after the other.
    Raises ``MissingFile``, and ``CheckpointError`` for a file that is cut short or stored in another way (int8).
    Source: ncnn's documentation, "param and model file spec".

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.param").write_text("7767517\\n1 2\\nConvolution conv 1 1 in out 0=2 1=1 5=1 6=2\\n")
    >>> halves = np.array([3, 4], np.float16).tobytes()
    >>> _ = (folder / "a.bin").write_bytes(np.uint32(HALF).tobytes() + halves + np.ones(2, np.float32).tobytes())
    >>> [array.ravel().tolist() for array in read_ncnn(folder / "a.param")["conv"]]
    [[3.0, 4.0], [1.0, 1.0]]
    """
    weights = param.with_suffix(".bin")
    for path in (param, weights):
        if not path.is_file():
            raise MissingFile(f"no file {path}", "an ncnn network's .param and .bin side by side", "place it there")
    data, at = weights.read_bytes(), 0

    def take(kind: str, count: int) -> NDArray[np.float32]:
        nonlocal at
        size = count * np.dtype(kind).itemsize
        if at + size > len(data):
            raise CheckpointError(f"{weights}, {len(data)} bytes", f"more: {param.name} lists more", "copy it again")
        found = np.frombuffer(data, kind, count, at).astype(np.float32)
        at += -(-size // 4) * 4  # everything begins at a multiple of four
        return found

    found = {}
    for line in param.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind not in CONVOLUTIONS:
            continue
        options = dict(word.split("=", 1) for word in rest if word.count("=") == 1)
        outputs, height, width, count = (int(options.get(k, options["1"])) for k in ("0", "11", "1", "6"))
        mark = np.frombuffer(data, np.uint32, 1, at)[0] if at + 4 <= len(data) else None
        at += 4
        if mark not in (HALF, 0):
            raise CheckpointError(f"{weights} with the mark {mark} before {rest[0]}", "float16 or float32 weights")
        kernel = take("<f2" if mark == HALF else "<f4", count).reshape(outputs, -1, height, width)
        bias = take("<f4", outputs) if options.get("5") == "1" else np.zeros(outputs, np.float32)
        found[rest[0]] = (kernel, bias)
    return found
