import json

import pytest

from segue.cli import main
from segue.core.errors import UnknownName
from segue.jobs.studies import clicks
from segue.jobs.study import study
from tests.jobs.studies.test_clicks import write_scene

MAIN = {"paper": "simpleclick", "table": "main", "only": ["no row is called so"], "model": ["nano"]}


@pytest.fixture
def count(monkeypatch):
    """How often the robot was sent out."""
    runs = []
    evaluate = clicks.evaluate
    monkeypatch.setattr(clicks, "evaluate", lambda config: (runs.append(config.data), evaluate(config))[1])
    return runs


def test_a_study_measures_what_it_can_and_names_what_it_lacks(tmp_path, count):
    write_scene(tmp_path / "data" / "grabcut")
    first = study(**MAIN, data=[str(tmp_path / "data")], rows=tmp_path / "rows.jsonl")
    cells = {cell.column: cell for cell in first.rows[0].cells}
    assert cells["GrabCut NoC90"].ours == 1.0
    assert cells["DAVIS NoC85"].missing == "no data DAVIS"
    assert cells["DAVIS NoC85"].ours is None
    assert len(count) == 1

    write_scene(tmp_path / "data" / "Pascal-VOC")
    later = study(**MAIN, data=[str(tmp_path / "data")], rows=tmp_path / "rows.jsonl")
    assert [path.name for path in count] == ["grabcut", "Pascal-VOC"], "only what came later is measured"
    assert {cell.column for cell in later.rows[0].cells if cell.ours} == {
        f"{name} NoC{target}" for name in ("GrabCut", "Pascal VOC") for target in (85, 90)
    }
    study(**MAIN, data=[str(tmp_path / "data")], rows=tmp_path / "rows.jsonl", force=True)
    assert len(count) == 4


def test_rows_of_the_paper_keep_their_values_and_name_the_weights_they_lack(tmp_path):
    write_scene(tmp_path / "data" / "SBD")
    result = study(paper="interformer", table="3", data=[str(tmp_path / "data")], rows=tmp_path / "rows.jsonl")
    assert [row.cells[1].published for row in result.rows] == [10.70, 8.27, 8.34, 7.71]
    assert {row.cells[0].missing for row in result.rows} == {
        f"no weights {name}.safetensors"
        for name in ("vit-b-fpn-ritm", "vit-b-light-ritm", "vit-b-light-simple", "vit-l-light-simple")
    }


def test_what_fails_is_named_and_the_rest_is_measured(tmp_path, capsys):
    (tmp_path / "data" / "DAVIS").mkdir(parents=True)
    write_scene(tmp_path / "data" / "SBD")
    words = ["simpleclick", "main", "--only", "nothing", "--model", "nano", "--data", str(tmp_path / "data")]
    assert main(["study", *words, "--rows", str(tmp_path / "rows.jsonl"), "--json", str(tmp_path / "out.json")]) == 1
    written = json.loads((tmp_path / "out.json").read_text())
    assert "nano on DAVIS" in written["failed"][0]
    shown = capsys.readouterr().out
    assert "no data GrabCut" in shown
    assert "nano on DAVIS" in shown
    assert {c["column"]: c["ours"] for c in written["rows"][0]["cells"]}["SBD NoC85"] == 1.0


def test_an_unknown_table_names_those_there_are():
    with pytest.raises(UnknownName, match="simpleclick main"):
        study(paper="simpleclick", table="mains")
