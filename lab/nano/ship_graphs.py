"""Write the two graphs of nano's shipped weights beside them: python lab/nano/ship_graphs.py

Run it whenever ``nano.safetensors`` changes; a graph of other weights is refused. Weights that half precision holds
exactly are stored in it, and ONNX Runtime widens them when it opens the graph.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from segue.core.files import file_digest, write_bytes
from segue.models.nano.engines import GRAPHS, WEIGHTS_DIGEST, TorchEngine, graph_bytes, graph_path
from segue.models.nano.settings import NanoSizes
from segue.models.pretrained import shipped_file


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every weight that survives it in half precision, widened by a Cast."""
    casts, graph = [], model.graph
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 64 or not np.array_equal(values.astype(np.float16), values):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def main() -> None:
    """Write the graphs and say how large they are."""
    weights = shipped_file("nano")
    engine = TorchEngine(NanoSizes())
    engine.module.load_file(weights)
    exported = engine.module.graphs()
    for name in GRAPHS:
        model = halved(onnx.load_model_from_string(graph_bytes(exported[name])))
        helper.set_model_props(model, {WEIGHTS_DIGEST: file_digest(weights)})
        onnx.checker.check_model(model)
        path = graph_path(weights, name)
        write_bytes(path, model.SerializeToString())
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
