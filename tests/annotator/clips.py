"""Small clips whose objects move, for the tests of the annotator."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segue.data.io.image import write_image

SIZE = (120, 160)
LENGTH = 9


def place(number: int) -> tuple[int, int]:
    """The upper left corner (x, y) of the red square of 30 pixels in a frame."""
    return 20 + 6 * number, 30 + 3 * number


def frame(number: int) -> np.ndarray:
    """A red square that moves down to the right, a blue one that stays, on a grey with some texture."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    image = np.repeat((110 + 12 * np.sin(rows / 7) * np.cos(columns / 9))[..., None], 3, 2)
    x, y = place(number)
    image[y : y + 30, x : x + 30] = (220, 60, 40)
    image[80:110, 110:150] = (40, 90, 220)
    return image.round().astype(np.uint8)


def truth(number: int) -> np.ndarray:
    """(H, W) bool of the red square."""
    mask = np.zeros(SIZE, bool)
    x, y = place(number)
    mask[y : y + 30, x : x + 30] = True
    return mask


def folder_clip(home: Path, length: int = LENGTH) -> Path:
    """A folder of numbered frames."""
    for number in range(length):
        write_image(home / f"{number:03d}.png", frame(number))
    return home


def video_clip(path: Path, length: int = LENGTH) -> Path:
    """The same as a video."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "4", "g": "6"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(length):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(number), format="rgb24")))
        container.mux(stream.encode())
    return path
