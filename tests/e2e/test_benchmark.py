"""The shipped model on the GrabCut benchmark, as a user measures it."""

import json

import pytest

from segue.cli import main

GRAPH_CUT_NOC90, GRAPH_CUT_MIOU_AT_1 = 5.26, 0.687  # OpenCV's GrabCut under the same protocol on the same images


@pytest.mark.slow
@pytest.mark.timeout(900)  # half a minute on an idle core
def test_nano_needs_fewer_clicks_than_graph_cut(shared, tmp_path):
    data, out = shared / "data" / "evaluate" / "GrabCut", tmp_path / "grabcut.json"
    journal = ["--journal", str(tmp_path / "journal")]
    assert main(["evaluate", "--data", str(data), "--stop-at-target", *journal, "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["objects"] == 50
    assert found["noc"]["0.90"] < GRAPH_CUT_NOC90
    assert found["noc"]["0.80"] <= found["noc"]["0.85"] <= found["noc"]["0.90"] <= found["noc_boundary"]["0.90"]
    assert found["miou_at"][4] > found["miou_at"][0] > GRAPH_CUT_MIOU_AT_1
