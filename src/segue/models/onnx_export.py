"""Tensor graphs as ONNX files, each compared with the module that it was made of."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segue.core.errors import CheckpointError, MissingExtra
from segue.core.segmenter import ExportGraph

OPSET = 18
TOLERANCE = 1e-3  # largest difference from the model, for outputs of a spread of 1


@dataclass(frozen=True)
class OnnxGraph:
    """One written graph: its ``file``, bytes, the largest difference from the module, and median seconds of both."""

    name: str
    file: str
    bytes: int
    largest_difference: float
    model_seconds: float
    onnx_seconds: float


def write_graph(name: str, graph: ExportGraph, folder: Path, checks: int) -> OnnxGraph:
    """Write ``graph`` as ``name``.onnx and compare the two on ``checks`` random inputs of growing size.

    Raises ``CheckpointError`` for a graph that differs, ``MissingExtra`` without onnx and onnxruntime.
    """
    _need("onnx", "onnxruntime")
    path = folder / f"{name}.onnx"
    to_onnx(graph, path)
    session = open_graph(path)
    worst = max(compare(graph, session, sample_inputs(graph, seed, 1 + seed % 2)) for seed in range(checks))
    if not worst <= TOLERANCE:
        raise CheckpointError(
            f"an ONNX graph '{name}' that differs from the model by {worst:.1e}",
            f"at most {TOLERANCE:.0e}",
            "Please report the model and the versions of torch, onnx and onnxruntime",
        )
    inputs = sample_inputs(graph, 0, 1)
    taken = {entry.name for entry in session.get_inputs()}
    feed = {key: value.numpy() for key, value in inputs.items() if key in taken}
    with torch.inference_mode():
        eager = _median_seconds(lambda: graph.module(*inputs.values()))
    return OnnxGraph(
        name=name,
        file=path.name,
        bytes=sum(file.stat().st_size for file in folder.glob(f"{name}.onnx*")),
        largest_difference=worst,
        model_seconds=eager,
        onnx_seconds=_median_seconds(lambda: session.run(None, feed)),
    )


def describe(graph: ExportGraph, file: str) -> dict[str, Any]:
    """The graph's file, inputs with type and shape (names for free axes) and outputs."""
    inputs = {
        name: {"type": str(value.dtype).removeprefix("torch."), "shape": _shape(value, graph, name)}
        for name, value in graph.inputs.items()
    }
    return {"file": file, "inputs": inputs, "outputs": list(graph.outputs)}


def to_onnx(graph: ExportGraph, path: Path) -> None:
    """Write ``graph`` as an ONNX file with its free axes.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(ExportGraph(torch.nn.ReLU(), {"x": torch.ones(1, 2)}, ("y",)), Path(folder, "relu.onnx"))
    ...     os.listdir(folder)
    ['relu.onnx']
    """
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # remarks on sizes that tracing fixes, as meant
        torch.onnx.export(
            graph.module,
            tuple(value.cpu() for value in graph.inputs.values()),
            str(path),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: dict(axes) for name, axes in graph.dynamic.items()},
            opset_version=OPSET,
            dynamo=False,
        )


def open_graph(path: Path) -> Any:
    """An ONNX Runtime session of a file, on the CPU with PyTorch's number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def sample_inputs(graph: ExportGraph, seed: int, grow: int) -> dict[str, Tensor]:
    """Random inputs shaped like the graph's examples, every free axis ``grow`` times as long.

    Vectors and label rows repeat the example, whole numbers stay below twice its largest plus one.

    >>> graph = ExportGraph(torch.nn.ReLU(), {"x": torch.ones(1, 3, 4)}, ("y",), {"x": {2: "length"}})
    >>> sample_inputs(graph, 0, 2)["x"].shape
    torch.Size([1, 3, 8])
    """
    generator = torch.Generator().manual_seed(seed)
    made: dict[str, Tensor] = {}
    for name, example in graph.inputs.items():
        axes = graph.dynamic.get(name, {})
        repeats = [grow if axis in axes else 1 for axis in range(example.ndim)]
        value = example.detach().cpu().repeat(*repeats) if example.ndim else example.detach().cpu()
        if example.ndim >= 3 and example.is_floating_point():
            value = torch.randn(value.shape, generator=generator)
        elif example.ndim >= 3:
            high = 2 * int(example.max()) + 1
            value = torch.randint(0, max(2, high), value.shape, generator=generator, dtype=example.dtype)
        made[name] = value
    return made


def compare(graph: ExportGraph, session: Any, inputs: Mapping[str, Tensor]) -> float:
    """The largest difference between a graph's outputs and the module's, relative to a spread above 1."""
    with torch.inference_mode():
        expected = graph.module(*inputs.values())
    outputs = expected if isinstance(expected, tuple) else (expected,)
    taken = {entry.name for entry in session.get_inputs()}  # an input that changes nothing is not in the graph
    got = session.run(None, {name: value.numpy() for name, value in inputs.items() if name in taken})
    worst = 0.0
    for theirs, ours in zip(got, outputs, strict=True):
        reference = ours.float().numpy()
        if theirs.shape != reference.shape:
            return float("inf")
        scale = max(1.0, float(np.nanstd(reference)))
        worst = max(worst, float(np.abs(theirs - reference).max()) / scale)
    return worst


def _shape(value: Tensor, graph: ExportGraph, name: str) -> list[int | str]:
    axes = graph.dynamic.get(name, {})
    return [axes.get(axis, side) for axis, side in enumerate(value.shape)]


def _median_seconds(run: Callable[[], Any], times: int = 3) -> float:
    run()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def _need(*libraries: str) -> None:
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise MissingExtra.for_library(library)
