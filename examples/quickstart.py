"""Click on a photograph from Python: the whole interface in ten lines."""

from pathlib import Path

import segue
from segue.data.io.image import read_image, write_labels

SAMPLES = Path(segue.__file__).parent / "samples"


def main(output: Path = Path("mask.png")) -> float:
    """Segment the cat: one click to find it, one to correct, and one step back."""
    session = segue.Session(segue.load("nano"), read_image(SAMPLES / "cat.jpg"))
    session.add(segue.Click(230, 130))
    session.add(segue.Click(20, 280, positive=False))
    session.undo()
    write_labels(output, session.mask)
    return session.score


if __name__ == "__main__":
    print(f"score {main():.2f}")
