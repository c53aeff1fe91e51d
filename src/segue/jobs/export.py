"""``segue export``: a model's tensor graphs for other runtimes, each compared with the model itself, or a page."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from segue.core.errors import ConfigError, SegueError, StorageError
from segue.core.segmenter import Segmenter
from segue.jobs.job import job
from segue.jobs.output import Force, claim_output
from segue.jobs.web_page import PAGE, write_page
from segue.models.entry import Card
from segue.models.onnx_export import OnnxGraph, describe, write_graph
from segue.models.registry import MODELS
from segue.session.config import JobResult, ModelChoice

GRAPHS = "graphs.json"


class ExportConfig(ModelChoice):
    """What ``segue export`` takes."""

    output: Annotated[Path, Field(description="The folder to write.")]
    to: Annotated[
        Literal["onnx", "web"], Field(description="Graphs for other programs, or a page for browsers (nano).")
    ] = "onnx"
    force: Force = False
    checks: Annotated[int, Field(description="Random inputs of growing size to compare each graph on.", ge=1)] = 3
    device: Annotated[str | None, Field(description="Where the model is traced.")] = "cpu"
    runtime: Annotated[
        Path | None, Field(description="The npm package of ONNX Runtime Web, where npm cannot fetch it.")
    ] = None


class ExportResult(JobResult):
    """What ``segue export`` wrote."""

    model: str
    to: str
    folder: Path
    graphs: tuple[OnnxGraph, ...]
    bytes: int


@job(ExportConfig)
def export(config: ExportConfig, model: Segmenter | None = None) -> ExportResult:
    """Write one ONNX file per graph of the model and ``graphs.json``, which names inputs, outputs and free axes; or,
    ``to="web"``, a folder of static files in which nano answers in the browser.

    Nothing is written unless every graph agrees with the model. ``model`` replaces the one that ``config`` names.
    Raises ``MissingExtra`` without onnx and onnxruntime, ``ConfigError`` for a model without graphs,
    ``CheckpointError`` for a graph that differs.

    >>> from segue.models.simpleclick.model import SimpleClick
    >>> from segue.models.simpleclick.registry import TINY
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = export(ExportConfig(output=folder, checks=1), SimpleClick(**TINY).eval())
    ...     sorted(os.listdir(folder))
    ['graphs.json', 'net.onnx']
    >>> max(graph.largest_difference for graph in result.graphs) < 1e-4
    True
    """
    claim_output(config.output, (GRAPHS, PAGE), force=config.force)
    model = model if model is not None else config.load()
    try:
        config.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=config.output) as unfinished:
            work = Path(unfinished)
            written = _write_graphs(config, model, work) if config.to == "onnx" else ()
            size = write_page(model, work, config.runtime) if config.to == "web" else sum(g.bytes for g in written)
            for name in os.listdir(work):
                place = config.output / name
                if place.is_dir():
                    shutil.rmtree(place)
                os.replace(work / name, place)
    except SegueError:
        raise
    except OSError as error:
        raise StorageError(f"{config.output}, which cannot be written ({error})", "a folder with room") from error
    return ExportResult(model=config.model, to=config.to, folder=config.output, graphs=written, bytes=size)


def _write_graphs(config: ExportConfig, model: Segmenter, folder: Path) -> tuple[OnnxGraph, ...]:
    graphs = model.eval().export_graphs()
    if not graphs:
        raise ConfigError(f"the model {config.model}", "one with tensor graphs", "see docs/models.md for those")
    written = tuple(write_graph(name, graph, folder, config.checks) for name, graph in graphs.items())
    facts = _card(config, model)
    facts["graphs"] = {one.name: describe(graphs[one.name], one.file) for one in written}
    (folder / GRAPHS).write_text(json.dumps(facts, indent=1) + "\n")
    return written


def _card(config: ExportConfig, model: Segmenter) -> dict[str, Any]:
    """Name, normalisation and licence, where the registry knows them."""
    card = MODELS[model.name].card if model.name in MODELS else Card("", "")
    return {"model": model.name or config.model, "mean": card.mean, "std": card.std, "licence": card.licence}
