"""``segue bench``: the figures hang together, models meet the same machine, and the report shows them."""

import contextlib
import json

import pytest
import torch

from segue.core.types import Click
from segue.evaluation.bench_report import noc_points, page
from segue.evaluation.benchmark import Runner, Spent, count_flops, prompts_for, sample_image, sample_mask
from segue.jobs.bench import BenchConfig, bench
from segue.models.interformer.model import InterFormer
from segue.models.interformer.registry import TINY as INTERFORMER
from segue.models.pretrained import save_pretrained
from segue.session.load import build, load


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("models")
    simple = {"img_size": (64, 64), "embed_dim": 16, "depth": 4, "num_heads": 2, "out_dims": (8, 8, 8, 8)}
    save_pretrained(build("interformer-light", INTERFORMER), root / "interformer")
    save_pretrained(build("simpleclick-xtiny", simple), root / "simpleclick")
    return [str(root / "simpleclick"), str(root / "interformer")]


@pytest.fixture(scope="module")
def found(folders, tmp_path_factory):
    report = tmp_path_factory.mktemp("report")
    earlier = report / "earlier.json"
    seconds = dict.fromkeys(("encode_p50", "click_p50", "click_p95", "spc", "pie"), 0.1)
    figures = {name: {"0.90": 5} for name in ("noc", "nof", "rof", "noc_boundary")}
    figures |= {"miou_at": [0.5], "mbiou_at": [0.5], "seconds": seconds, "per_object": []}
    named = {"model": folders[0], "data": "shots", "format": "folder", "objects": 1, "max_clicks": 1}
    earlier.write_text(json.dumps(named | figures))
    config = BenchConfig(
        model=folders, size=(96, 128), clicks=3, rounds=2, noc=[earlier], report=report / "out", device="cpu"
    )
    return bench(config), report / "out"


def test_the_figures_of_a_row_hang_together(found):
    for row in found[0].rows:
        assert row.encode.p50 <= row.encode.p95
        assert row.click.p50 <= row.click.p95
        assert row.spc > row.spc_clicks > 0
        assert row.pie == pytest.approx(row.spc / (row.input[0] * row.input[1]))
        assert row.clicks == 3
        assert row.parameters > 0


def test_work_moves_from_click_to_encode_where_the_model_is_in_two_parts(found):
    simple, inter = found[0].rows
    assert simple.encode.gflops == 0
    assert simple.click.gflops > 0
    assert inter.encode.gflops > 0
    assert inter.click.gflops > 0
    assert simple.times_first.to_json() == {"encode": 1.0, "click": 1.0, "spc": 1.0}
    ratio = inter.click.p50 / simple.click.p50
    assert inter.times_first.click == pytest.approx(ratio, abs=1e-3)


def test_the_report_has_table_json_and_plot(found, folders):
    result, out = found
    assert json.loads((out / "bench.json").read_text()) == result.to_json()
    text = (out / "bench.md").read_text()
    assert all(folder in text for folder in folders)
    assert (out / "noc_against_pie.png").stat().st_size > 1000
    assert noc_points(result.rows, []) == []
    assert "noc_against_pie" not in page(result)


def test_models_run_in_turn(folders, monkeypatch):
    order = []
    monkeypatch.setattr(Runner, "run_dialogue", lambda runner, *_: order.append(runner.name) or _pretend(runner))
    bench(BenchConfig(model=folders, size=(64, 64), clicks=1, rounds=2, device="cpu"))
    assert order == folders * 3


def test_a_busy_process_is_there_in_the_disturbed_dialogues_alone(monkeypatch):
    seen = []

    @contextlib.contextmanager
    def busy():
        seen.append("busy")
        yield
        seen.append("quiet")

    dialogue = Runner.run_dialogue
    monkeypatch.setattr("segue.jobs.bench.busy_process", busy)
    monkeypatch.setattr(Runner, "run_dialogue", lambda runner, *a: seen.append(runner.name) or dialogue(runner, *a))
    (row,) = bench(BenchConfig(size=(64, 64), clicks=1, rounds=1, disturbed=True, device="cpu")).rows
    assert seen == ["nano", "busy", "nano", "quiet"] * 2
    assert row.disturbed.encode > 0
    assert row.disturbed.click > 0


def _pretend(runner):
    runner.encode.append(Spent(0.1, 0.1))
    runner.click.append(Spent(0.1, 0.1))


def test_operations_are_those_of_the_published_table():
    """Attention counts whichever kernel runs it: SimpleClick xTiny takes what the official code takes at 448."""
    model = build("simpleclick-xtiny", {"zoom_in": False}).eval()
    encode, click, frame = count_flops(model, sample_image((448, 448)), [Click(200, 200)])
    assert encode == 0
    assert frame.grid == (448, 448)
    assert click / 1e9 == pytest.approx(9.929228288, rel=1e-6)


def test_what_runs_in_onnx_runtime_is_counted_too():
    model = load("nano", device="cpu")
    encode, click, _ = count_flops(model, sample_image((96, 128)), [Click(50, 50)])
    assert min(encode, click) > 1e6
    assert model.engine == "auto"


def test_prompts_suit_the_model():
    image = sample_image((40, 60))
    model = InterFormer(**INTERFORMER).eval()
    dialogue = prompts_for(model, image, 4)
    assert [type(p) for p in dialogue] == [Click] * 4
    inside = sample_mask((40, 60))
    assert [p.positive for p in dialogue] == [bool(inside[int(p.y), int(p.x)]) for p in dialogue]
    assert dialogue[0].positive


@pytest.mark.parametrize("kind", ["detail", "lora", "head", "full"])
def test_a_fresh_adapter_of_any_kind_is_measured_on_any_model(kind, folders):
    given = {"model": folders, "size": (64, 64), "clicks": 1, "rounds": 1, "device": "cpu"}
    bare, worn = bench(**given).rows, bench(**given, adapter=kind).rows
    for before, after in zip(bare, worn, strict=True):
        assert after.parameters > before.parameters, "head and full hold copies of what they change"
        assert after.click.gflops >= before.click.gflops
