import json

import numpy as np
import pytest

from segue.cli import main
from segue.core.errors import ConfigError, DataError
from segue.data.formats.registry import format_named
from segue.data.io.image import write_image, write_labels
from segue.data.record import Annotation, Sample
from segue.evaluation import robot
from segue.jobs.evaluate import EvaluateConfig, evaluate
from tests.fakes import ColourModel

CONTRACT = {
    "model",
    "adapter",
    "data",
    "format",
    "objects",
    "max_clicks",
    "noc",
    "nof",
    "rof",
    "noc_boundary",
    "miou_at",
    "mbiou_at",
    "seconds",
    "per_object",
}


def scene(seed):
    """Noisy ground with three squares; the third has two colours, so that it needs two clicks."""
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 30, (60, 90, 3)).astype(np.uint8)
    labels = np.zeros((60, 90), np.uint8)
    for k, (x, colour) in enumerate(((5, 200), (35, 120), (65, 240)), start=1):
        photo[10:40, x : x + 20] = colour
        labels[10:40, x : x + 20] = k
    photo[28:40, 65:85] = 80
    return photo, labels


@pytest.fixture
def data(tmp_path):
    for k in range(4):
        photo, labels = scene(k)
        write_image(tmp_path / "data" / "images" / f"scene{k}.png", photo)
        write_labels(tmp_path / "data" / "masks" / f"scene{k}.png", labels)
    return tmp_path / "data"


def run(data, **options):
    options.setdefault("journal", data.parent / "journal")
    return evaluate(
        EvaluateConfig.from_fields(data=data, model="colour", max_clicks=6, **options), ColourModel(90)
    ).to_json()


def test_the_json_has_every_key_of_the_contract_and_serialises(data):
    found = run(data)
    assert set(found) >= CONTRACT
    assert set(found["seconds"]) >= {"encode_p50", "click_p50", "click_p95", "spc", "pie"}
    assert list(found["noc"]) == list(found["noc_boundary"]) == ["0.80", "0.85", "0.90"]
    assert len(found["miou_at"]) == len(found["mbiou_at"]) == 6
    assert set(found["per_object"][0]) >= {"id", "area", "ious", "clicks"}
    json.dumps(found, allow_nan=False)


def test_figures_are_those_of_the_objects(data):
    found = run(data)
    objects = found["per_object"]
    assert found["objects"] == len(objects) == 12
    assert [o["area"] for o in objects] == [600] * 12
    needed = [next((k for k, v in enumerate(o["ious"], 1) if v >= 0.9), 6) for o in objects]
    assert found["noc"]["0.90"] == pytest.approx(np.mean(needed))
    assert found["nof"]["0.90"] == sum(n == 6 for n in needed)
    assert found["miou_at"][0] == pytest.approx(np.mean([o["ious"][0] for o in objects]), abs=1e-6)
    assert found["miou_at"][-1] == pytest.approx(np.mean([o["ious"][-1] for o in objects]), abs=1e-6)
    assert objects[0]["clicks"][0] == [14, 19, True]
    whole = found["seconds"]["spc"]
    assert found["seconds"]["click_p50"] < whole
    assert found["seconds"]["pie"] == pytest.approx(whole / (60 * 90))


@pytest.mark.parametrize("name", ["crf", "pamr"])
def test_a_refiner_stands_behind_any_model_and_is_named(data, name):
    """Table II of ClickAdapter: the same model and clicks' rule, other masks."""
    plain, refined = run(data, limit=3), run(data, limit=3, refiner=name)
    assert refined["refiner"] == name
    assert plain["refiner"] is None
    assert [o["ious"] for o in refined["per_object"]] != [o["ious"] for o in plain["per_object"]]


def test_limit_counts_objects_and_every_skips_images(data):
    assert [o["id"] for o in run(data, limit=4)["per_object"]] == ["scene0#1", "scene0#2", "scene0#3", "scene1#1"]
    assert {o["image"] for o in run(data, every=3)["per_object"]} == {"scene0", "scene3"}


def test_stopping_at_the_target_leaves_noc_unchanged(data):
    full, short = run(data), run(data, stop_at_target=True)
    assert full["noc"] == short["noc"]
    assert full["noc_boundary"] == short["noc_boundary"]


def test_perturbed_clicks_give_mean_and_spread_over_seeds(data):
    found = run(data, clicks="perturbed", seed=(0, 1, 5), limit=6)
    assert found["objects"] == 6
    assert len(found["per_object"]) == 18
    over = found["noc_over_seeds"]["0.90"]
    assert over["seeds"] == [0, 1, 5]
    assert over["mean"] == pytest.approx(np.mean(over["each"]))
    assert over["mean"] == pytest.approx(found["noc"]["0.90"])
    assert over["spread"] == pytest.approx(np.std(over["each"], ddof=1))
    again = run(data, clicks="perturbed", seed=(5,), limit=2)
    same = [o["clicks"] for o in found["per_object"] if o["seed"] == 5][:2]
    assert [o["clicks"] for o in again["per_object"]] == same, "an object's draw depends on its seed alone"
    centre = run(data, limit=2)["per_object"]
    assert [o["clicks"] for o in centre] != same


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


def counted(monkeypatch, kill_at=None):
    """Count the objects that are played from now on; the ``kill_at``-th ends the process."""
    played = []

    def play(session, target, *rest, **options):
        played.append(target)
        if len(played) == kill_at:
            raise Killed
        return robot.simulate_clicks(session, target, *rest, **options)

    monkeypatch.setattr("segue.evaluation.click_protocol.simulate_clicks", play)
    return played


def test_a_killed_run_goes_on_where_it_stopped(data, monkeypatch):
    whole = run(data)
    counted(monkeypatch, kill_at=8)
    with pytest.raises(Killed):
        run(data)
    journal = data.parent / "journal"
    journal.write_bytes(journal.read_bytes()[:-30])  # the seventh row was only half written
    played = counted(monkeypatch)
    assert run(data)["per_object"] == whole["per_object"]
    assert len(played) == 12 - 6
    assert not journal.exists(), "a finished run leaves no journal"


def test_the_journal_of_another_run_is_not_touched(data, monkeypatch):
    counted(monkeypatch, kill_at=1)
    with pytest.raises(Killed):
        run(data)
    monkeypatch.undo()
    with pytest.raises(DataError, match="rows of another job"):
        evaluate(EvaluateConfig(data=data, max_clicks=3, journal=data.parent / "journal"), ColourModel(90))


def test_a_report_shows_runs_side_by_side_and_the_worst_objects(data, tmp_path):
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(run(data, limit=5)))
    run(data, report=tmp_path / "report", compare=(earlier,))
    page = (tmp_path / "report" / "report.md").read_text()
    assert page.count("| colour") == 2
    for name in ("quality.png", "histogram.png", "area.png", "worst.jpg"):
        assert f"]({name})" in page
        assert (tmp_path / "report" / name).stat().st_size > 1000
    assert "scene2#3" in page


def test_images_without_objects_are_passed_over_and_none_at_all_is_an_error(data):
    write_labels(data / "masks" / "scene1.png", np.zeros((60, 90), np.uint8))
    assert run(data)["objects"] == 9
    for k in range(4):
        write_labels(data / "masks" / f"scene{k}.png", np.zeros((60, 90), np.uint8))
    with pytest.raises(DataError, match="without any object"):
        run(data)


def test_an_object_wholly_in_the_void_is_left_out(data):
    labels = scene(0)[1]
    (data / "README.txt").write_text("255 = void")
    write_labels(data / "masks" / "scene0.png", np.where(labels == 2, 255, labels))
    assert [o["id"] for o in run(data, limit=2)["per_object"]] == ["scene0#1", "scene0#3"]


@pytest.mark.parametrize(
    "options", [{"target": ()}, {"target": (1.2,)}, {"every": 0}, {"limit": 0}, {"clicks": "random"}, {"limt": 3}]
)
def test_mistakes_in_the_configuration_are_named(data, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        run(data, **options)


def test_comparing_with_something_else_is_refused_before_anything_runs(data, monkeypatch):
    counted(monkeypatch, kill_at=1)
    with pytest.raises(DataError, match="JSON that segue evaluate wrote"):
        run(data, compare=(data / "images" / "scene0.png",))


def test_the_command_takes_several_targets_after_one_option(data, tmp_path):
    out = tmp_path / "out.json"
    arguments = ["--data", str(data), "--target", "0.7", "0.75", "--limit", "1", "--max-clicks", "2"]
    model = ["--model", "simpleclick-xtiny", "--weights", "random", "--zoom-size", "64", "--json", str(out)]
    assert main(["evaluate", *arguments, *model]) == 0
    found = json.loads(out.read_text())
    assert list(found["noc"]) == ["0.70", "0.75"]
    assert (found["format"], found["view"], found["objects"]) == ("folder", "simpleclick", 1)


def test_numbers_that_belong_to_no_option_are_a_usage_error(data):
    assert main(["evaluate", "--data", str(data), "0.9"]) == 2


def test_what_the_reader_left_out_is_in_the_result(tmp_path):
    image, mask = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), bool)
    image[8:40, 16:48], mask[8:40, 16:48] = 220, True
    format_named("coco").write(tmp_path, [Sample.from_arrays("a", image, [Annotation.from_mask(mask, "cat")])])
    file = tmp_path / "annotations" / "instances.json"
    content = json.loads(file.read_text())
    content["annotations"].append({"id": 2, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]})
    content["annotations"].append(content["annotations"][0] | {"id": 3, "image_id": 9})
    file.write_text(json.dumps(content))
    result = evaluate(data=tmp_path, max_clicks=1, journal=tmp_path / "journal")
    assert result.losses == {"image id 9 is not listed": 1, "annotation with a box alone": 1}
