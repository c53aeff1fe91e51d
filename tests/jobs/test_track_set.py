"""segue track --data: a set of videos measured object by object, with the curve of corrections."""

import json

import numpy as np
import pytest

from segue.cli import main
from segue.data.io.image import write_image, write_labels
from segue.jobs.track_set import track_set
from tests.jobs.scenes import toy

SIZE = (96, 128)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for i in range(4):
        image, mask = toy(SIZE, at=(48, 40 + 8 * i), scale=0.6)
        write_image(root / "toy" / "frames" / f"{i:05d}.png", image)
        write_labels(root / "toy" / "masks" / f"{i:05d}.png", mask)
    return root


def test_the_set_is_measured_and_corrections_do_not_harm(videos, tmp_path):
    file = tmp_path / "result.json"
    assert main(["track", "--data", str(videos), "--corrections", "1", "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert (result["sequences"], result["objects"]) == (1, 1)
    assert result["j_mean"] > 70
    assert [point["key_frames"] for point in result["curve"]] == [0, 1]
    assert result["curve"][0]["jf"] == result["jf"]
    assert result["curve"][1]["jf"] >= result["jf"] - 1


def test_a_finished_video_is_not_followed_again(videos, tmp_path, monkeypatch):
    journal = tmp_path / "rows.jsonl"
    monkeypatch.setattr("segue.data.io.resume_log.ResumeLog.remove", lambda self: None)
    first = track_set(data=videos, journal=journal, method="flow")
    monkeypatch.setattr("segue.jobs.track_set.followed", None)
    assert track_set(data=videos, journal=journal, method="flow") == first


def test_a_damaged_video_is_named_and_mistakes_are_one_line(videos, tmp_path, capsys):
    write_image(tmp_path / "set" / "a" / "frames" / "0.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "set" / "a" / "masks").mkdir()
    assert main(["track", "--data", str(tmp_path / "set")]) == 1
    assert "which holds no image" in capsys.readouterr().err
    assert main(["track", "--data", str(videos), "--video", "x.mp4"]) == 1
    assert "--video beside --data" in capsys.readouterr().err
    assert main(["track", str(videos), "-o", str(tmp_path / "o"), "--corrections", "2"]) == 1
    assert "--data" in capsys.readouterr().err
