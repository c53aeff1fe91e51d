"""``segue export``: a model's tensor graphs for other runtimes, each compared with the model itself."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from segue.core.errors import CheckpointError, ConfigError, MissingExtra, StorageError
from segue.core.segmenter import ExportGraph, Segmenter
from segue.jobs.job import job
from segue.models.registry import MODELS, Card
from segue.session.config import ModelChoice

OPSET = 18
TOLERANCE = 1e-3  # largest difference from the model, for outputs of a spread of 1
GRAPHS = "graphs.json"


class ExportConfig(ModelChoice):
    """What ``segue export`` takes."""

    output: Annotated[Path, Field(description="The folder to write.")]
    to: Annotated[Literal["onnx"], Field(description="The format.")] = "onnx"
    checks: Annotated[int, Field(description="Random inputs of growing size to compare each graph on.", ge=1)] = 3
    device: Annotated[str | None, Field(description="Where the model is traced.")] = "cpu"


@job(ExportConfig)
def export(config: ExportConfig, model: Segmenter | None = None) -> dict[str, Any]:
    """Write one ONNX file per part of the model and ``graphs.json``, which names inputs, outputs and free axes.

    Returns per part its bytes, the largest difference from the model, and median seconds of both. Nothing is
    written unless every graph agrees with the model. Raises ``MissingExtra`` without onnx and onnxruntime,
    ``ConfigError`` for a model without parts, ``CheckpointError`` for a graph that differs.

    >>> import tempfile
    >>> from segue.models.simpleclick.model import SimpleClick
    >>> from segue.models.simpleclick.registry import TINY
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = export(ExportConfig(output=folder, checks=1), SimpleClick(**TINY).eval())
    ...     sorted(os.listdir(folder))
    ['graphs.json', 'net.onnx']
    >>> max(part["largest_difference"] for part in done["parts"]) < 1e-4
    True
    """
    _need("onnx", "onnxruntime")
    model = model if model is not None else config.load()
    parts = model.eval().export_graphs()
    if not parts:
        raise ConfigError(f"the model {config.model}", "one with tensor graphs", "see docs/models.md for those")
    try:
        config.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=config.output) as unfinished:
            rows = [_export_part(name, part, Path(unfinished), config.checks) for name, part in parts.items()]
            facts = _facts(config, model, parts, rows)
            Path(unfinished, GRAPHS).write_text(json.dumps(facts, indent=1) + "\n")
            for file in os.listdir(unfinished):
                os.replace(Path(unfinished, file), config.output / file)
    except OSError as error:
        raise StorageError(f"{config.output}, which cannot be written ({error})", "a folder with room") from error
    return {"model": config.model, "to": config.to, "folder": str(config.output), "parts": rows}


def _export_part(name: str, part: ExportGraph, folder: Path, checks: int) -> dict[str, Any]:
    path = folder / f"{name}.onnx"
    to_onnx(part, path)
    session = open_graph(path)
    differences = [compare(part, session, sample_inputs(part, seed, 1 + seed % 2)) for seed in range(checks)]
    worst = max(differences)
    if not worst <= TOLERANCE:
        raise CheckpointError(
            f"an ONNX graph '{name}' that differs from the model by {worst:.1e}",
            f"at most {TOLERANCE:.0e}",
            "Please report the model and the versions of torch, onnx and onnxruntime",
        )
    inputs = sample_inputs(part, 0, 1)
    taken = {entry.name for entry in session.get_inputs()}
    feed = {key: value.numpy() for key, value in inputs.items() if key in taken}
    with torch.inference_mode():
        eager = _median_seconds(lambda: part.module(*inputs.values()))
    return {
        "name": name,
        "file": path.name,
        "bytes": sum(file.stat().st_size for file in folder.glob(f"{name}.onnx*")),
        "largest_difference": worst,
        "model_seconds": eager,
        "onnx_seconds": _median_seconds(lambda: session.run(None, feed)),
    }


def to_onnx(part: ExportGraph, path: Path) -> None:
    """Write ``part`` as an ONNX file with its free axes.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(ExportGraph(torch.nn.ReLU(), {"x": torch.ones(1, 2)}, ("y",)), Path(folder, "relu.onnx"))
    ...     os.listdir(folder)
    ['relu.onnx']
    """
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # remarks on sizes that tracing fixes, as meant
        torch.onnx.export(
            part.module,
            tuple(value.cpu() for value in part.inputs.values()),
            str(path),
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            dynamic_axes={name: dict(axes) for name, axes in part.dynamic.items()},
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


def sample_inputs(part: ExportGraph, seed: int, grow: int) -> dict[str, Tensor]:
    """Random inputs shaped like the part's examples, every free axis ``grow`` times as long.

    Vectors and label rows repeat the example, whole numbers stay below twice its largest plus one.

    >>> part = ExportGraph(torch.nn.ReLU(), {"x": torch.ones(1, 3, 4)}, ("y",), {"x": {2: "length"}})
    >>> sample_inputs(part, 0, 2)["x"].shape
    torch.Size([1, 3, 8])
    """
    generator = torch.Generator().manual_seed(seed)
    made: dict[str, Tensor] = {}
    for name, example in part.inputs.items():
        axes = part.dynamic.get(name, {})
        repeats = [grow if axis in axes else 1 for axis in range(example.ndim)]
        value = example.detach().cpu().repeat(*repeats) if example.ndim else example.detach().cpu()
        if example.ndim >= 3 and example.is_floating_point():
            value = torch.randn(value.shape, generator=generator)
        elif example.ndim >= 3:
            high = 2 * int(example.max()) + 1
            value = torch.randint(0, max(2, high), value.shape, generator=generator, dtype=example.dtype)
        made[name] = value
    return made


def compare(part: ExportGraph, session: Any, inputs: Mapping[str, Tensor]) -> float:
    """The largest difference between a graph's outputs and the module's, relative to a spread above 1."""
    with torch.inference_mode():
        expected = part.module(*inputs.values())
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


def _facts(
    config: ExportConfig, model: Segmenter, parts: Mapping[str, ExportGraph], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    card = MODELS[model.name].card if model.name in MODELS else Card("", "")
    return {
        "model": model.name or config.model,
        "mean": card.mean,
        "std": card.std,
        "licence": card.licence,
        "graphs": {
            row["name"]: {
                "file": row["file"],
                "inputs": {
                    key: {"type": str(value.dtype).removeprefix("torch."), "shape": _shape(value, part, key)}
                    for key, value in part.inputs.items()
                },
                "outputs": list(part.outputs),
            }
            for row, part in zip(rows, parts.values(), strict=True)
        },
    }


def _shape(value: Tensor, part: ExportGraph, name: str) -> list[int | str]:
    axes = part.dynamic.get(name, {})
    return [axes.get(axis, side) for axis, side in enumerate(value.shape)]


def _median_seconds(run: Any, times: int = 3) -> float:
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
            raise MissingExtra.for_library(library, "onnx")
