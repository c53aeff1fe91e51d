"""Clips: any frame in any order is the one that reading from the start gives; damage is named."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, ImageError, InputError, MissingFile
from segue.data.io.clip import is_numbered, open_clip
from segue.data.io.image import open_image, write_image

av = pytest.importorskip("av", reason="needs the extra 'video'")
SIZE = (48, 64)


def picture(number: int) -> np.ndarray:
    """A bar that moves, on a grey that changes."""
    image = np.full((*SIZE, 3), 40 + 4 * number % 160, np.uint8)
    image[:, number % 60 : number % 60 + 4] = 255
    return image


def video(
    path: Path, frames: int = 40, codec: str = "libx264", time: Callable[[int], int] | None = None, **options: str
) -> Path:
    """Write ``frames`` pictures; ``time`` gives each frame's time in hundredths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height = SIZE[1], SIZE[0]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if time is not None:
            stream.codec_context.time_base = Fraction(1, 100)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            if time is not None:
                frame.pts, frame.time_base = time(number), Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def in_order(path: Path) -> list[np.ndarray]:
    with open_image(path) as file:
        return list(file.frames())


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp4", "libx264", {"g": "12", "bf": "2"}), ("a.avi", "mpeg4", {}), ("a.mkv", "libx264", {"g": "300"})],
)
def test_frames_in_any_order_are_those_of_reading_through(tmp_path, name, codec, options):
    path = video(tmp_path / name, codec=codec, **options)
    every = in_order(path)
    with open_clip(path) as clip:
        assert (clip.kind, clip.frames, clip.size, clip.rate) == ("video", len(every), SIZE, 10.0)
        for number in (0, 39, 3, 2, 1, 25, 24, 26, 12, 0, 38):
            assert (clip.read(number) == every[number]).all(), number


def test_a_variable_frame_rate_has_as_many_frames_as_pictures(tmp_path):
    path = video(tmp_path / "a.mkv", frames=12, time=lambda number: number * number + number)
    every = in_order(path)
    with open_clip(path) as clip:
        assert clip.frames == 12
        assert all((clip.read(number) == every[number]).all() for number in (11, 5, 0, 7))


def test_a_rotated_video_is_upright(tmp_path):
    path = video(tmp_path / "a.mp4", frames=6)
    with av.open(str(path)) as source, av.open(str(tmp_path / "turned.mp4"), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    content = bytearray((tmp_path / "turned.mp4").read_bytes())
    at = content.index(b"tkhd") + 44  # its display matrix: 9 numbers of 32 bits
    content[at : at + 36] = np.array([0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    (tmp_path / "turned.mp4").write_bytes(content)
    with open_clip(tmp_path / "turned.mp4") as clip, open_clip(path) as upright:
        assert clip.size == SIZE[::-1]
        assert (np.rot90(clip.read(4), 1) == upright.read(4)).all()


def test_a_broken_frame_is_named_and_the_others_are_read(tmp_path):
    path = video(tmp_path / "a.avi", codec="mjpeg", frames=10)
    content = bytearray(path.read_bytes())
    starts = [at for at in range(len(content) - 3) if content[at : at + 3] == b"\xff\xd8\xff"]
    end = starts[5]
    content[starts[4] : end - 8] = bytes(end - 8 - starts[4])
    path.write_bytes(content)
    with open_clip(path) as clip:
        assert clip.frames == 10
        with pytest.raises(ImageError, match=r"frame 4 of .*a\.avi, which is broken"):
            clip.read(4)
        assert clip.read(5).shape == (*SIZE, 3)
        assert clip.read(3).shape == (*SIZE, 3)


def test_a_video_that_is_cut_off_has_the_frames_before_the_cut(tmp_path):
    path = video(tmp_path / "a.mkv", frames=30, g="5")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with open_clip(path) as clip:
        assert 5 <= clip.frames < 30
        assert clip.read(clip.frames // 2).shape == (*SIZE, 3)


def test_one_frame_is_a_clip(tmp_path):
    with open_clip(video(tmp_path / "a.mp4", frames=1)) as clip:
        assert clip.frames == 1
        assert clip.read(0).shape == (*SIZE, 3)
        with pytest.raises(InputError, match="frame 1 of"):
            clip.read(1)


def test_what_is_no_clip_is_named(tmp_path):
    write_image(tmp_path / "one.tif", picture(0))
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(MissingFile, match=r"none\.mp4"):
        open_clip(tmp_path / "none.mp4")
    with pytest.raises(DataError, match="a single image"):
        open_clip(tmp_path / "one.tif")
    with pytest.raises(ImageError, match="cannot be decoded"):
        open_clip(tmp_path / "text.mp4")


def test_a_folder_is_read_by_number_and_frames_of_another_size_are_named(tmp_path):
    for number in (10, 2, 1):
        write_image(tmp_path / f"f{number}.png", picture(number))
    write_image(tmp_path / "f11.png", np.zeros((5, 4, 3), np.uint8))
    (tmp_path / "f12.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    assert is_numbered(tmp_path)
    with open_clip(tmp_path) as clip:
        assert [clip.name(number) for number in range(5)] == ["f1", "f2", "f10", "f11", "f12"]
        assert (clip.read(2) == picture(10)).all()
        with pytest.raises(ImageError, match=r"frame 3 of .* of 4 x 5 pixels"):
            clip.read(3)
        with pytest.raises(ImageError, match="f12"):
            clip.read(4)
    write_image(tmp_path / "cover.png", picture(0))
    assert not is_numbered(tmp_path)


def test_alpha_lies_over_white(tmp_path):
    import PIL.Image

    for number in range(2):
        PIL.Image.fromarray(np.full((4, 6, 4), (0, 0, 0, 255 * number), np.uint8)).save(tmp_path / f"{number}.png")
    with open_clip(tmp_path) as clip:
        assert (clip.read(0) == 255).all()
        assert (clip.read(1) == 0).all()
