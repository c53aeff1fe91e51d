"""The picture in the README: one click on each bundled photo, answered by the shipped model."""

from pathlib import Path

import segue
from segue.annotator.config import SAMPLES
from segue.data.io.drawing import contact_sheet, overlay
from segue.data.io.image import read_image, write_image

CLICKS = {"cat": (230, 170), "astronaut": (220, 400), "coffee": (300, 150), "rocket": (320, 200)}


def main(output: Path = Path("docs/images/one-click.jpg")) -> dict[str, float]:
    """Draw the picture; the model's own score for each photo."""
    model, tiles, scores = segue.load("nano"), [], {}
    for name, (x, y) in CLICKS.items():
        session = segue.Session(model, read_image(SAMPLES / f"{name}.jpg"))
        mask = session.add(segue.Click(x, y))
        scores[name] = session.score
        tiles.append(overlay(session.image, mask, session.prompts))
    write_image(output, contact_sheet(tiles, columns=4, side=300), quality=88)
    return scores


if __name__ == "__main__":
    print(main())
