"""nano's two graphs in ONNX Runtime: about twice as fast on a CPU as PyTorch, and the same numbers.

The graphs are exported from the live weights the first time they are needed (about a second), in memory; when the
weights change they are made anew. Where ``onnxruntime`` or ``onnx`` is not installed PyTorch answers.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from segue.core.segmenter import ExportGraph

OPSET = 18


def available() -> bool:
    """Whether ONNX Runtime can be used here.

    >>> isinstance(available(), bool)
    True
    """
    return find_spec("onnxruntime") is not None and find_spec("onnx") is not None


class Graphs:
    """ONNX Runtime sessions of a model's parts, kept as long as the weights are the same objects and values.

    >>> part = ExportGraph(torch.nn.ReLU(), {"x": torch.zeros(1, 2)}, ("y",))
    >>> Graphs().run("relu", part, [torch.tensor([[-1.0, 2.0]])]) if available() else [torch.tensor([[0.0, 2.0]])]
    [tensor([[0., 2.]])]
    """

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[tuple[tuple[int, int], ...], Any]] = {}
        self._threads = 0

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Meanwhile PyTorch resamples on one thread. Its pool would go on spinning and keep cores from the graphs,
        whose own pool spins from node to node: with both a first click takes half as long again.

        >>> with Graphs().alone():
        ...     torch.get_num_threads()
        1
        """
        before = torch.get_num_threads()
        self._threads = max(self._threads, before)  # a thread that begins while another is here is given one
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def run(self, name: str, part: ExportGraph, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs of ``part`` for CPU tensors given in the order of its inputs."""
        state = tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in part.module.parameters())
        kept = self._sessions.get(name)
        if kept is None or kept[0] != state:
            kept = (state, build(part, self._threads or torch.get_num_threads()))
            self._sessions[name] = kept
        feed = {k: v.contiguous().numpy() for k, v in zip(part.inputs, inputs, strict=True)}
        return [torch.from_numpy(array) for array in kept[1].run(None, feed)]

    def __deepcopy__(self, memo: Mapping[int, object]) -> Graphs:
        """Sessions stay behind: a copied model builds its own."""
        return Graphs()

    def __getstate__(self) -> dict[str, Any]:
        return {"_sessions": {}, "_threads": 0}


def build(part: ExportGraph, threads: int) -> Any:
    """An ONNX Runtime session of ``part``."""
    import onnxruntime

    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's remarks on shapes that tracing fixes, as it should
        torch.onnx.export(
            part.module,
            tuple(part.inputs.values()),
            buffer,  # type: ignore[arg-type]  # its annotation knows only paths
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            dynamic_axes={k: dict(v) for k, v in part.dynamic.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # when a graph is done
    return onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
