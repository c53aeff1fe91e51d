"""The two engines of nano: ONNX Runtime, about twice as fast on a CPU and without PyTorch, and PyTorch itself.

Both take and give arrays; the numbers are the same to within rounding. The graphs of the shipped weights ship beside
them and say which weights they were made of; for other weights they are made when they are first needed.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import secrets
import sys
import warnings
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from segue.core.arrays import Array, sigmoid
from segue.core.errors import CheckpointError, MissingExtra
from segue.core.files import cache_folder, file_digest
from segue.core.segmenter import ExportGraph
from segue.core.types import Maps
from segue.models.nano.settings import MAPS, TAPS, NanoSizes

if TYPE_CHECKING:  # PyTorch is loaded only where a network is wanted
    from segue.models.nano.network import NanoModule

GRAPHS = ("encoder", "decoder")
OPSET = 18
WEIGHTS_DIGEST = "weights_sha256"  # in the metadata of a shipped graph


class NanoEngine(Protocol):
    """What runs nano's network on arrays."""

    def encode(self, pixels: Array) -> Maps:
        """(b, 3, H, W) in [-1, 1] -> ``MAPS`` and ``TAPS``, first axis b."""

    def decode(self, maps: Maps, clicks: Array, box: Array, previous: Array) -> tuple[Array, float]:
        """Maps of one image, clicks (1, n, 3), box (1, 4), previous (h, w) -> logits (h, w) and the estimated IoU."""

    def decode_each(self, maps: Maps, clicks: Array, box: Array) -> tuple[Array, Array]:
        """Maps of one image, b first prompts: clicks (b, n, 3), box (b, 4) -> logits (b, h, w), estimated IoU (b,)."""


class OnnxEngine:
    """nano's two graphs, each a file or its content, in ONNX Runtime on the CPU."""

    def __init__(self, encoder: Path | bytes, decoder: Path | bytes) -> None:
        self.graphs = {"encoder": encoder, "decoder": decoder}

    @cached_property
    def _sessions(self) -> dict[str, Any]:
        return {name: open_graph(graph) for name, graph in self.graphs.items()}

    def encode(self, pixels: Array) -> Maps:
        return dict(zip((*MAPS, *TAPS), self._sessions["encoder"].run(None, {"pixels": pixels}), strict=True))

    def decode(self, maps: Maps, clicks: Array, box: Array, previous: Array) -> tuple[Array, float]:
        feed = {name: maps[name] for name in MAPS} | {"clicks": clicks, "box": box, "previous": previous[None, None]}
        logits, score = self._sessions["decoder"].run(None, feed)
        return logits[0, 0], estimated_iou(score)

    def decode_each(self, maps: Maps, clicks: Array, box: Array) -> tuple[Array, Array]:
        feed = {name: np.repeat(maps[name], len(clicks), axis=0) for name in MAPS}
        feed |= {"clicks": clicks, "box": box, "previous": no_previous(maps, len(clicks))}
        logits, score = self._sessions["decoder"].run(None, feed)
        return logits[:, 0], sigmoid(score[:, 0])

    def __getstate__(self) -> dict[str, Any]:
        """Sessions stay behind: a copy opens its own."""
        return {"graphs": self.graphs}


class TorchEngine:
    """nano's network in PyTorch, wherever it lives."""

    def __init__(self, sizes: NanoSizes) -> None:
        from segue.models.nano.network import NanoModule

        self.module: NanoModule = NanoModule(sizes)
        self._built_of = sum(1 for _ in self.module.modules())

    @property
    def altered(self) -> bool:
        """Whether an adapter has exchanged modules."""
        return sum(1 for _ in self.module.modules()) != self._built_of

    def encode(self, pixels: Array) -> Maps:
        return self.module.encode(pixels)

    def decode(self, maps: Maps, clicks: Array, box: Array, previous: Array) -> tuple[Array, float]:
        logits, score = self.module.decode(maps, clicks, box, previous)
        return logits, estimated_iou(score)

    def decode_each(self, maps: Maps, clicks: Array, box: Array) -> tuple[Array, Array]:
        logits, score = self.module.decode_each(maps, clicks, box, no_previous(maps, len(clicks)))
        return logits[:, 0], sigmoid(score[:, 0])


class Engines:
    """A nano's engines: the shipped graphs as long as they say what the weights say, else PyTorch, or graphs that
    were made of its weights.

    Without ``weights``, the file of the shipped ones, the network is built at once, with random weights.
    """

    def __init__(self, sizes: NanoSizes, weights: Path | None = None) -> None:
        self.sizes, self.weights = sizes, weights
        self.graphs: tuple[object, OnnxEngine] | None = None  # of which state of the network
        self.torch: TorchEngine | None = None
        self.shipped = None if weights is None else shipped_engine(weights)
        if self.shipped is None:
            self.network()

    def network(self) -> TorchEngine:
        """The network, built when it is first asked for."""
        if self.torch is None:
            self.torch = TorchEngine(self.sizes)
            if self.weights is not None:
                self.torch.module.load_file(self.weights)
            if self.shipped is not None:
                self.graphs = (self.torch.module.version(), self.shipped)
        return self.torch

    def choose(self, wanted: str) -> NanoEngine:
        """The engine that answers: ``wanted`` "torch", "onnx", or "auto" for the faster one that there is."""
        if self.torch is None and wanted != "torch" and self.shipped is not None:
            return self.shipped
        network = self.network()
        module = network.module
        if wanted == "torch" or module.device.type != "cpu" or module.training or network.altered:
            return network
        if wanted == "auto" and not (find_spec("onnxruntime") and find_spec("onnx")):
            return network
        version = module.version()
        if self.graphs is None or self.graphs[0] != version:
            exported = module.graphs()
            self.graphs = version, OnnxEngine(*(graph_bytes(exported[name]) for name in GRAPHS))
        return self.graphs[1]


def shipped_engine(weights: Path) -> OnnxEngine | None:
    """The graphs beside ``weights``; None where ONNX Runtime is not installed. Raises ``CheckpointError`` where they
    were made of other weights."""
    if find_spec("onnxruntime") is None:
        if find_spec("torch") is None:
            raise MissingExtra.for_library("onnxruntime", "onnx")
        return None
    paths = [graph_path(weights, name) for name in GRAPHS]
    digest = file_digest(weights).encode()
    for path in paths:
        if not path.is_file() or digest not in _end_of(path):
            raise CheckpointError(
                f"the graph {path}, which was not made of {weights.name}",
                "the graphs of the weights beside them",
                "install segue again, or answer with PyTorch: engine=torch",
            )
    return OnnxEngine(*paths)


def graph_path(weights: Path, name: str) -> Path:
    """The file of the graph ``name`` that was made of the file ``weights``."""
    return weights.with_name(f"{weights.stem}-{name}.onnx")


def _end_of(path: Path, length: int = 4096) -> bytes:
    """The last bytes of a file: where a graph's metadata stand."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - length))
        return file.read()


def graph_bytes(graph: ExportGraph) -> bytes:
    """``graph`` as the content of an ONNX file."""
    import torch  # only for weights that are not the shipped ones

    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's remarks on shapes that tracing fixes, as it should
        torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            buffer,  # type: ignore[arg-type]  # its annotation knows only paths
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: dict(axes) for name, axes in graph.dynamic.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def open_graph(graph: Path | bytes) -> Any:
    """An ONNX Runtime session of a graph. Of a file the optimised form is kept in the cache folder, for this version
    and processor, and taken from there while its digest is that in its name."""
    import onnxruntime  # half of what starting costs: not before an image comes

    options, providers = _options(), ["CPUExecutionProvider"]
    if isinstance(graph, bytes):
        return onnxruntime.InferenceSession(graph, options, providers=providers)
    folder = cache_folder("graphs")
    causes = (file_digest(graph), onnxruntime.__version__, platform.machine(), cv2.getCPUFeaturesLine())
    stem = f"{graph.stem}-{hashlib.sha256(' '.join(causes).encode()).hexdigest()[:16]}"
    for kept in folder.glob(f"{stem}-*.onnx"):
        if kept.stem.endswith(f"-{file_digest(kept)}"):
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it is done
            return onnxruntime.InferenceSession(str(kept), options, providers=providers)
        kept.unlink(missing_ok=True)
    beside = folder / f".{secrets.token_hex(6)}.part"
    options.optimized_model_filepath = str(beside)
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
        os.replace(beside, folder / f"{stem}-{file_digest(beside)}.onnx")
    except Exception:  # its own kinds, where the disk takes nothing: then each start optimises anew
        beside.unlink(missing_ok=True)
        session = onnxruntime.InferenceSession(str(graph), _options(), providers=providers)
    return session


def _options() -> Any:
    import onnxruntime  # as above

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.log_severity_level = 3
    # see segue.core.threads: beside another program a pool that spins takes the time of the thread it waits for
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def thread_count() -> int:
    """As many threads as PyTorch is told to use where it is loaded, else as ``OMP_NUM_THREADS`` or the cores say."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(told)) if told.isdigit() else cores


def no_previous(maps: Maps, count: int) -> Array:
    """(count, 1, h, w): that there is no mask yet, at half the grid of ``maps``."""
    height, width = maps["stride4"].shape[-2:]
    return np.zeros((count, 1, 2 * height, 2 * width), np.float32)


def estimated_iou(score: NDArray[Any]) -> float:
    """The IoU of a mask from the network's logit of it."""
    return float(1 / (1 + np.exp(-float(score.reshape(-1)[0]))))
