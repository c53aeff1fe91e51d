"""Layouts of video sets: who begins where, what counts, and what is damaged."""

import json

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.data.io.image import write_image, write_labels
from segue.data.video_sets import read_video_set


def video(images, masks, labels, frames=5, every=1):
    for number in range(frames):
        write_image(images / f"{number:05d}.png", np.zeros((8, 12, 3), np.uint8))
        if number % every == 0:
            write_labels(masks / f"{number:05d}.png", labels if number else np.where(labels == 3, 0, labels))


@pytest.fixture
def labels():
    labels = np.zeros((8, 12), np.int32)
    labels[:4, :4], labels[4:, 6:] = 1, 2
    return labels


def davis(root, labels):
    video(root / "JPEGImages" / "480p" / "bear", root / "Annotations" / "480p" / "bear", labels)
    return root


def test_davis_2017_keeps_identities_and_leaves_out_the_first_and_the_last_frame(tmp_path, labels):
    (davis(tmp_path, labels) / "ImageSets" / "2017").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("bear\n")
    (bear,) = read_video_set(tmp_path)
    assert (bear.name, dict(bear.objects), bear.merged) == ("bear", {1: 0, 2: 0}, False)
    assert bear.counted(1) == [1, 2, 3]


def test_davis_2016_is_one_object(tmp_path, labels):
    (davis(tmp_path, labels) / "ImageSets" / "480p").mkdir(parents=True)
    lines = [f"/JPEGImages/480p/bear/{i:05d}.jpg /Annotations/480p/bear/{i:05d}.png" for i in range(5)]
    (tmp_path / "ImageSets" / "480p" / "val.txt").write_text("\n".join(lines))
    (bear,) = read_video_set(tmp_path)
    assert dict(bear.objects) == {1: 0}
    assert int(bear.labels(0).max()) == 1


def test_youtube_vos_objects_begin_where_they_appear_and_the_last_frame_counts(tmp_path, labels):
    labels[0, 11] = 3
    video(tmp_path / "JPEGImages" / "v", tmp_path / "Annotations" / "v", labels, frames=6, every=5)
    objects = {"1": {"frames": ["00000", "00005"]}, "3": {"frames": ["00000"]}}
    (tmp_path / "meta.json").write_text(json.dumps({"videos": {"v": {"objects": objects}}}))
    (v,) = read_video_set(tmp_path)
    assert dict(v.objects) == {1: 0, 3: 0}
    assert v.counted(1) == [5]
    objects["3"]["frames"] = ["00003"]
    (tmp_path / "meta.json").write_text(json.dumps({"videos": {"v": {"objects": objects}}}))
    with pytest.raises(DataError, match="00003"):
        read_video_set(tmp_path)


def test_plain_folders_of_binary_masks(tmp_path, labels):
    video(tmp_path / "dog" / "frames", tmp_path / "dog" / "masks", np.where(labels > 0, 255, 0))
    (dog,) = read_video_set(tmp_path)
    assert dict(dog.objects) == {1: 0}


def test_other_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="without a video"):
        read_video_set(tmp_path)
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(DataError, match="does not read"):
        read_video_set(tmp_path)
