"""The video protocol: identities count, and the robot mends the worst frame."""

import numpy as np
import pytest

from segue.data.io.image import write_image, write_labels
from segue.data.video_sets import read_video_set
from segue.evaluation.video_protocol import corrected_mask, measure_sequence, worst_frame
from tests.fakes import ColourModel


@pytest.fixture
def sequence(tmp_path):
    for number in range(6):
        labels = np.zeros((60, 80), np.int32)
        labels[10:30, 5 + number : 30 + number], labels[35:55, 40 - number : 70 - number] = 1, 2
        write_image(tmp_path / "v" / "frames" / f"{number}.png", np.zeros((60, 80, 3), np.uint8))
        write_labels(tmp_path / "v" / "masks" / f"{number}.png", labels)
    return read_video_set(tmp_path)[0]


def test_true_masks_are_perfect_and_swapped_identities_worth_nothing(sequence):
    true = {frame: np.asarray(sequence.labels(frame), np.int32) for frame in range(6)}
    assert [t.jf for t in measure_sequence(sequence, true)] == [100.0, 100.0]
    swapped = {frame: np.array([0, 2, 1], np.int32)[labels] for frame, labels in true.items()}
    assert max(t.j_mean for t in measure_sequence(sequence, swapped)) == 0.0
    assert max(t.jf for t in measure_sequence(sequence, swapped)) < 10


def test_only_the_frames_between_the_first_and_the_last_count(sequence):
    answers = {frame: np.asarray(sequence.labels(frame), np.int32) for frame in range(1, 5)}
    (one, _) = measure_sequence(sequence, answers)
    assert one.frames == (1, 2, 3, 4)


def test_the_worst_frame_is_corrected_until_it_is_right(sequence):
    answers = {frame: np.asarray(sequence.labels(frame), np.int32) for frame in range(6)}
    answers[3] = np.roll(answers[3], 4, axis=1)
    tracks = measure_sequence(sequence, answers)
    assert worst_frame(tracks, []) == 3
    assert worst_frame(tracks, [3]) == 1
    assert worst_frame(tracks, [1, 2, 3, 4]) is None
    image, target = np.full((60, 80, 3), 90, np.uint8), answers[1] == 1
    image[target] = (220, 30, 30)
    mask, clicks = corrected_mask(ColourModel(80), image, np.zeros_like(target), target)
    assert clicks == 1
    assert (mask & target).sum() / (mask | target).sum() >= 0.9
    assert corrected_mask(ColourModel(80), image, target, np.zeros_like(target))[1] == 0
