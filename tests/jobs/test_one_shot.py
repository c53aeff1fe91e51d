"""One-shot evaluation: counted as PerSeg's official script counts."""

import json

import numpy as np
import pytest

from segue.cli import main
from segue.data.io.image import write_image, write_labels
from segue.jobs.one_shot import OneShotConfig, one_shot, rough_prompts
from tests.jobs.scenes import toy


@pytest.fixture(scope="module")
def perseg(tmp_path_factory):
    root = tmp_path_factory.mktemp("perseg")
    for i, at in enumerate([(80, 100), (120, 200), (150, 90)]):
        image, mask = toy(at=at, seed=i)
        write_image(root / "Images" / "disc" / f"{i:02d}.png", image)
        write_labels(root / "Annotations" / "disc" / f"{i:02d}.png", mask)
    return root


def test_the_reference_is_no_query(perseg, tmp_path):
    result = one_shot(OneShotConfig.from_fields(data=perseg, output=tmp_path, masks=tmp_path / "masks"))
    assert [r.query for r in result.per_query] == ["disc/01", "disc/02"]
    assert result.miou > 60
    assert json.loads((tmp_path / "results.json").read_text()) == result.to_json()
    assert len((tmp_path / "episodes.jsonl").read_text().splitlines()) == 2
    assert len(list((tmp_path / "masks").rglob("*.png"))) == 2


@pytest.mark.parametrize(
    "extra", [["--reference-prompt", "box"], ["--reference-prompt", "click"], ["--method", "clicks"]]
)
def test_rough_references_and_the_baseline(perseg, tmp_path, extra):
    assert main(["one-shot", "--data", str(perseg), *extra, "--limit", "1", "--json", str(tmp_path / "r.json")]) == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["episodes"] == 1
    assert 0 <= result["miou"] <= 100


def test_an_episode_list_is_followed(perseg, tmp_path):
    (tmp_path / "list.jsonl").write_text('{"class": "disc", "reference": "disc/02", "query": "disc/00"}\n')
    result = one_shot(OneShotConfig.from_fields(data=perseg, episodes=tmp_path / "list.jsonl"))
    assert [(r.reference, r.query) for r in result.per_query] == [("disc/02", "disc/00")]


def test_rough_prompts_stay_inside_the_object():
    mask = np.zeros((20, 30), bool)
    mask[4:14, 6:26] = True
    click = rough_prompts(mask, "click")[0]
    assert mask[int(click.y), int(click.x)]
    box = rough_prompts(mask, "box")[0]
    assert (box.x0, box.y0, box.x1, box.y1) == (6, 4, 26, 14)
