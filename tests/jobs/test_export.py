"""``segue export``: the graphs answer as the model does, at sizes they were not exported at."""

import json

import numpy as np
import pytest
import torch

from segue.core.errors import CheckpointError, ConfigError
from segue.core.segmenter import ExportGraph
from segue.jobs.export import ExportConfig, export
from segue.models.interformer.model import InterFormer
from segue.models.interformer.registry import TINY
from segue.models.onnx_export import open_graph, sample_inputs
from segue.models.registry import MODELS
from segue.models.simpleclick.model import SimpleClick
from segue.models.simpleclick.registry import TINY as SIMPLECLICK
from segue.session.load import build, load

onnxruntime = pytest.importorskip("onnxruntime")


def test_interformers_two_graphs_answer_at_any_size(tmp_path):
    torch.manual_seed(0)
    model = InterFormer(**TINY).eval()
    with torch.no_grad():
        for layer in model.net.backbone.layers:
            layer.attn.relative_position_bias_table.normal_()
    done = export(ExportConfig(output=tmp_path, model="interformer-light"), model)
    assert all(graph.largest_difference < 1e-4 for graph in done.graphs)
    encoder, decoder = (open_graph(tmp_path / f"{name}.onnx") for name in ("encoder", "decoder"))
    for size in ((64, 64), (96, 160), (160, 64)):
        image, labels = torch.randn(1, 3, *size), torch.randint(0, 5, (1, 1, *size))
        maps = encoder.run(None, {"image": image.numpy()})
        names = [entry.name for entry in encoder.get_outputs()]
        feed = {"labels": labels.numpy()} | dict(zip(names, maps, strict=True))
        (logit,) = decoder.run(None, feed)
        with torch.inference_mode():
            two = model.net.decode(model.net.encode(image), labels)
        assert np.abs(logit - (two[:, 1:] - two[:, :1]).numpy()).max() < 1e-4


def test_simpleclick_is_one_graph_for_any_number_of_clicks(tmp_path):
    torch.manual_seed(0)
    model = SimpleClick(**SIMPLECLICK).eval()
    export(ExportConfig(output=tmp_path, model="simpleclick-base"), model)
    graph = open_graph(tmp_path / "net.onnx")
    for batch, clicks in ((1, 1), (2, 7)):
        image, previous = torch.rand(batch, 3, 64, 64), torch.rand(batch, 1, 64, 64)
        points = torch.rand(batch, 2 * clicks, 3) * 60
        (logits,) = graph.run(None, {"image": image.numpy(), "previous": previous.numpy(), "points": points.numpy()})
        with torch.inference_mode():
            assert np.abs(logits - model.net(image, previous, points).numpy()).max() < 1e-4


def test_nanos_decoder_is_small_enough_for_a_browser(tmp_path):
    done = export(ExportConfig(output=tmp_path, model="nano"), load("nano", device="cpu"))
    sizes = {graph.name: graph.bytes for graph in done.graphs}
    assert sizes["decoder"] < 6_000_000
    facts = json.loads((tmp_path / "graphs.json").read_text())
    assert facts["graphs"]["decoder"]["inputs"]["clicks"]["shape"] == ["batch", "clicks", 3]
    decoder = open_graph(tmp_path / "decoder.onnx")
    given = {entry.name for entry in decoder.get_inputs()}
    assert "previous" in given, "the caller keeps the last answer"


@pytest.mark.parametrize("name", ["sam-vit-base", "sam2.1-hiera-tiny"])
def test_sam_decoders_keep_their_published_names(name, tmp_path):
    if name not in MODELS:
        pytest.skip(f"no row {name}")
    torch.manual_seed(0)
    model = build(name, MODELS[name].tiny).eval()
    export(ExportConfig(output=tmp_path, model=name, checks=2), model)
    graph = open_graph(tmp_path / "decoder.onnx")
    published = ["image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"]
    assert [entry.name for entry in graph.get_inputs()][:6] == published
    assert [entry.name for entry in graph.get_outputs()] == ["masks", "iou_predictions", "low_res_masks"]


class Fixed(torch.nn.Module):
    """Depends on something that tracing freezes."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


def test_a_graph_that_differs_is_refused_and_nothing_written(tmp_path, monkeypatch):
    model = SimpleClick(**SIMPLECLICK).eval()
    part = ExportGraph(Fixed(), {"x": torch.ones(1, 2, 3)}, ("y",))
    monkeypatch.setattr(model, "export_graphs", lambda: {"net": part})
    with pytest.raises(CheckpointError, match="differs"):
        export(ExportConfig(output=tmp_path / "out"), model)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_without_graphs_says_so(tmp_path, monkeypatch):
    model = SimpleClick(**SIMPLECLICK)
    monkeypatch.setattr(model, "export_graphs", dict)
    with pytest.raises(ConfigError, match="tensor graphs"):
        export(ExportConfig(output=tmp_path), model)


def test_sampled_inputs_grow_only_where_they_may():
    inputs = {"x": torch.zeros(1, 3, 4, 4), "labels": torch.full((1, 1, 4), 2), "flag": torch.ones(1)}
    part = ExportGraph(torch.nn.Identity(), inputs, ("y",), {"x": {2: "height"}, "labels": {2: "length"}})
    made = sample_inputs(part, 0, 3)
    assert [tuple(value.shape) for value in made.values()] == [(1, 3, 12, 4), (1, 1, 12), (1,)]
    assert made["labels"].min() >= 0
    assert made["labels"].max() <= 4
