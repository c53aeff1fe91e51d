"""Frames from folders and from files."""

import numpy as np
import pytest

from segue.core.errors import DataError, ImageError, MissingFile
from segue.data.io.image import write_image
from segue.data.io.video import Video


def test_a_file_gives_its_frames_in_order(tmp_path):
    av = pytest.importorskip("av", reason="needs the extra 'video'")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(5):
            picture = np.full((48, 64, 3), 40 * i, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    frames = list(Video(tmp_path / "clip.mp4"))
    assert [name for name, _ in frames] == ["00000", "00001", "00002", "00003", "00004"]
    assert all(frame.shape == (48, 64, 3) for _, frame in frames)
    assert np.allclose([frame.mean() for _, frame in frames], [0, 40, 80, 120, 160], atol=4)


def test_a_folder_is_read_by_name(tmp_path):
    for i in (10, 2, 1):
        write_image(tmp_path / f"{i:04d}.png", np.full((4, 5, 3), i, np.uint8))
    assert [int(frame[0, 0, 0]) for _, frame in Video(tmp_path)] == [1, 2, 10]


def test_frames_of_several_sizes_are_refused(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((4, 5, 3), np.uint8))
    write_image(tmp_path / "b.png", np.zeros((5, 4, 3), np.uint8))
    with pytest.raises(DataError, match="frame b"):
        list(Video(tmp_path))


def test_what_is_no_video_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"no\.mp4"):
        Video(tmp_path / "no.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(ImageError, match="cannot be decoded"):
        list(Video(tmp_path / "text.mp4"))
