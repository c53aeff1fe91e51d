"""One-shot layouts and episode lists."""

import json

import numpy as np
import pytest
from scipy.io import savemat

from segue.core.errors import DataError, MissingFile
from segue.data.io.image import write_image, write_labels
from segue.evaluation.one_shot import ClassScores, Episode, make_episodes, open_one_shot, read_episodes, write_episodes

IMAGE = np.zeros((12, 16, 3), np.uint8)
MASK = np.zeros((12, 16), bool)
MASK[2:6, 3:9] = True


@pytest.fixture
def perseg(tmp_path):
    for name in ("dog", "cat"):
        for i in range(3):
            write_image(tmp_path / "Images" / name / f"{i:02d}.png", IMAGE)
            write_labels(tmp_path / "Annotations" / name / f"{i:02d}.png", np.roll(MASK, i, 1))
    return tmp_path


def test_perseg_shows_the_first_and_asks_for_the_others(perseg):
    data = open_one_shot(perseg)
    episodes = make_episodes(data)
    assert [(e.name, e.reference, e.query) for e in episodes[:2]] == [
        ("cat", "cat/00", "cat/01"),
        ("cat", "cat/00", "cat/02"),
    ]
    assert np.array_equal(data.shot("dog", "dog/02")[1], np.roll(MASK, 2, 1))


def test_fss_orders_by_number(tmp_path):
    for name in ("abacus", "zebra"):
        for i in (1, 2, 10):
            write_image(tmp_path / name / f"{i}.jpg", IMAGE)
            write_labels(tmp_path / name / f"{i}.png", MASK)
    data = open_one_shot(tmp_path)
    assert data.classes["abacus"] == ["abacus/1", "abacus/2", "abacus/10"]
    assert np.array_equal(data.shot("zebra", "zebra/10")[1], MASK)


def test_coco_unites_the_instances_of_a_class(tmp_path):
    def square(x, y):
        return [[x, y, x + 3, y, x + 3, y + 3, x, y + 3]]

    annotations = [(1, 1, square(1, 1)), (1, 1, square(8, 8)), (1, 2, square(5, 1)), (2, 1, square(2, 2))]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 16, "height": 12} for i in (1, 2)],
        "categories": [{"id": 1, "name": "mug:handle"}, {"id": 2, "name": "mug:rim"}],
        "annotations": [
            {"id": k, "image_id": i, "category_id": c, "segmentation": s, "iscrowd": 0, "area": 9, "bbox": [0] * 4}
            for k, (i, c, s) in enumerate(annotations, start=1)
        ],
    }
    for i in (1, 2):
        write_image(tmp_path / "images" / f"{i}.png", IMAGE)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "paco.json").write_text(json.dumps(content))
    data = open_one_shot(tmp_path, "coco")
    assert set(data.classes) == {"mug:handle", "mug:rim"}
    mask = data.shot("mug:handle", "1.png")[1]
    assert mask[2, 2]
    assert mask[9, 9]
    assert not mask[2, 6]
    assert make_episodes(data) == [Episode("mug:handle", "1.png", "2.png")]


def test_pascal_part_reads_matlab_files(tmp_path):
    for stem in ("2008_1", "2008_2"):
        write_image(tmp_path / "JPEGImages" / f"{stem}.jpg", IMAGE)
        (tmp_path / "Annotations_Part").mkdir(exist_ok=True)
        part = {"part_name": "head", "mask": MASK.astype(np.uint8)}
        parts = np.array([part, {**part, "part_name": "tail"}], object) if stem == "2008_1" else part
        thing = {"class": "dog", "mask": MASK.astype(np.uint8), "parts": parts}
        savemat(tmp_path / "Annotations_Part" / f"{stem}.mat", {"anno": {"imname": stem, "objects": thing}})
    data = open_one_shot(tmp_path)
    assert {k: list(v) for k, v in data.classes.items()} == {"dog:head": ["2008_1", "2008_2"], "dog:tail": ["2008_1"]}
    assert np.array_equal(data.shot("dog:head", "2008_2")[1], MASK)


def test_episode_lists_survive_a_round_trip(perseg, tmp_path):
    episodes = make_episodes(open_one_shot(perseg), queries=1, seed=3)
    assert len(episodes) == 2
    write_episodes(tmp_path / "list.jsonl", episodes)
    assert read_episodes(tmp_path / "list.jsonl") == episodes


def test_folds_divide_the_classes(perseg):
    data = open_one_shot(perseg)
    names = [{e.name for e in make_episodes(data, fold=i, folds=2)} for i in range(2)]
    assert names == [{"cat"}, {"dog"}]


def test_mistakes_are_named(perseg, tmp_path):
    with pytest.raises(MissingFile):
        read_episodes(tmp_path / "none.jsonl")
    (tmp_path / "bad.jsonl").write_text('{"class": "a"}\n')
    with pytest.raises(DataError, match="line 1"):
        read_episodes(tmp_path / "bad.jsonl")
    with pytest.raises(DataError, match="'cat/77'"):
        open_one_shot(perseg).shot("cat", "cat/77")


def test_sums_are_divided_once_per_class():
    """A large easy image weighs more than a small hard one, unlike in a mean of ratios."""
    big, small = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    big[:30, :30], small[:2, :2] = True, True
    scores = ClassScores()
    for name, mask, target in (("a", big, big), ("a", np.roll(small, 10, 0), small), ("b", small, small)):
        scores.add(name, mask, target)
    counted, means = scores.per_class(), scores.means()
    assert counted["a"].iou == pytest.approx(100 * 900 / 908, abs=0.01)
    assert means["miou"] == pytest.approx((100 * 900 / 908 + 100) / 2, abs=0.01)
    assert counted["a"].accuracy == pytest.approx(100 * 900 / 904, abs=0.01)
    assert counted["b"].boundary_iou == 100
