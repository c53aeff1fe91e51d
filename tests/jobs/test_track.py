"""segue track: the object through a video, lost and found again."""

import json

import numpy as np
import pytest

from segue.cli import main
from segue.data.io.image import read_mask, write_image, write_labels
from segue.data.io.video import Video, frame_rate, write_video
from segue.jobs.track import TrackConfig, measured, track
from tests.jobs.scenes import empty, toy

SIZE = (160, 240)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    root = tmp_path_factory.mktemp("film")
    for i in range(6):
        image, mask = toy(SIZE, at=(70 + 3 * i, 60 + 12 * i), scale=0.8)
        write_image(root / "frames" / f"{i:05d}.png", image)
        write_labels(root / "masks" / f"{i:05d}.png", mask)
    return root


@pytest.fixture(scope="module")
def followed(film):
    config = TrackConfig.from_fields(
        reference=film / "frames" / "00000.png",
        mask=film / "masks" / "00000.png",
        frames=film / "frames",
        output=film / "out",
        target=film / "masks",
        overlays=True,
    )
    return track(config)


def test_the_object_is_followed(film, followed):
    assert followed.frames == 6
    assert followed.j > 75
    assert followed.jf > 70
    assert followed.fps > 0
    last = read_mask(film / "out" / "masks" / "00005.png")
    assert (last & read_mask(film / "masks" / "00005.png")).any()


def test_the_first_frame_is_given_and_not_measured(film, followed):
    assert followed.rows[0].given
    assert followed.rows[0].j is None
    assert np.array_equal(read_mask(film / "out" / "masks" / "00000.png"), read_mask(film / "masks" / "00000.png"))


def test_results_and_overlays_are_written(film, followed):
    assert json.loads((film / "out" / "results.json").read_text()) == followed.to_json()
    assert len(list((film / "out" / "overlays").glob("*.jpg"))) == 6


def test_from_a_middle_frame_it_is_followed_both_ways(film, tmp_path):
    files = {"reference": film / "frames" / "00003.png", "mask": film / "masks" / "00003.png"}
    config = TrackConfig.from_fields(**files, frames=film / "frames", target=film / "masks", output=tmp_path)
    result = track(config)
    assert [row.frame for row in result.rows] == [f"{i:05d}" for i in range(6)]
    assert [row.given for row in result.rows] == [i == 3 for i in range(6)]
    assert min(row.j for row in result.rows if not row.given) > 0.5
    assert len(list((tmp_path / "masks").glob("*.png"))) == 6


def test_lost_and_found_again(film, tmp_path):
    places = [(80, 60), (80, 66), None, None, (90, 180), (90, 184)]
    for i, at in enumerate(places):
        image, mask = (empty(SIZE), np.zeros(SIZE, bool)) if at is None else toy(SIZE, at=at, scale=0.8)
        write_image(tmp_path / "frames" / f"{i}.png", image)
        write_labels(tmp_path / "masks" / f"{i}.png", mask)
    result = track(
        TrackConfig.from_fields(
            reference=tmp_path / "frames" / "0.png",
            mask=tmp_path / "masks" / "0.png",
            frames=tmp_path / "frames",
            output=tmp_path / "out",
            target=tmp_path / "masks",
        )
    )
    assert result.rows[2].j == 1.0  # absent, and said so
    assert result.rows[5].j > 0.6


@pytest.mark.parametrize("method", ["flow", "clicks"])
def test_the_other_methods_answer_too(film, tmp_path, method):
    status = main(
        [
            "track",
            str(film / "frames"),
            "--reference",
            str(film / "frames" / "00000.png"),
            "--mask",
            str(film / "masks" / "00000.png"),
            "--target",
            str(film / "masks"),
            "--method",
            method,
            "-o",
            str(tmp_path / "out"),
            "--json",
            str(tmp_path / "r.json"),
        ]
    )
    assert status == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["method"] == method
    assert 0 <= result["jf"] <= 100


def test_a_video_from_a_middle_frame_and_one_with_the_masks_drawn(film, tmp_path):
    pytest.importorskip("av")
    clip, drawn = tmp_path / "clip.mp4", tmp_path / "drawn.mp4"
    write_video(clip, (frame for _, frame in Video(film / "frames")), rate=10)
    assert frame_rate(clip) == 10
    example = ["--reference", str(clip), "--frame", "3", "--mask", str(film / "masks" / "00003.png")]
    words = ["track", str(clip), *example, "-o", str(tmp_path / "out"), "--target", str(film / "masks")]
    assert main([*words, "--video", str(drawn)]) == 0
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert [row["frame"] for row in rows] == [f"{i:05d}" for i in range(6)]
    assert [row["given"] for row in rows] == [i == 3 for i in range(6)]
    assert np.mean([row["j"] for row in rows if not row["given"]]) > 0.7
    before, after = ([frame for _, frame in Video(file)] for file in (clip, drawn))
    changed = np.abs(before[3].astype(int) - after[3]).mean(axis=2)
    inside = read_mask(film / "masks" / "00003.png")
    assert len(after) == 6
    assert changed[inside].mean() > 5 * changed[~inside].mean()
    assert main([*words, "--video", str(drawn), "--force"]) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--frame", "6"], "a number below 6"), (["--video", "x.avi"], "name it .mp4")],
)
def test_a_frame_that_is_not_there_and_another_kind_of_video_are_told(film, tmp_path, capsys, words, told):
    example = ["--reference", str(film / "frames/00003.png"), "--mask", str(film / "masks" / "00003.png")]
    assert main(["track", str(film / "frames"), *example, "-o", str(tmp_path / "out"), *words]) == 1
    assert told in capsys.readouterr().err


def test_swapped_identities_count_as_wrong():
    labels = np.zeros((40, 60), np.int32)
    labels[5:35, 5:25], labels[5:35, 35:55] = 1, 2
    assert measured(labels, labels, [1, 2]) == (1.0, 1.0)
    swapped = np.array([0, 2, 1])[labels]
    assert max(measured(swapped, labels, [1, 2])) < 0.05
    assert measured(swapped, labels, [1]) == (1.0, 1.0)  # one object is all that is not background


def test_a_key_frame_corrects_what_comes_after(film, tmp_path):
    write_labels(tmp_path / "keys" / "00002.png", read_mask(film / "masks" / "00002.png"))
    wrong = np.zeros(SIZE, bool)
    wrong[:30, -50:] = True
    write_labels(tmp_path / "wrong.png", wrong)
    config = TrackConfig.from_fields(
        reference=film / "frames" / "00000.png",
        mask=tmp_path / "wrong.png",
        frames=film / "frames",
        key_frames=tmp_path / "keys",
        target=film / "masks",
        output=tmp_path / "out",
    )
    rows = track(config).rows
    assert [row.given for row in rows] == [True, False, True, False, False, False]
    assert rows[1].j < 0.2
    assert min(row.j for row in rows[3:]) > 0.6
