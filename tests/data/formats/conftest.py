"""Small data sets for the tests of the exchange formats."""

import numpy as np
import pytest

from segue.data.formats.registry import format_named
from segue.data.io.image import write_image
from segue.data.record import AnnotatedImage, Annotation
from segue.data.rle import Rle


@pytest.fixture
def photo(tmp_path_factory):
    """A function (height, width, name) -> the path of a new image file."""
    folder = tmp_path_factory.mktemp("photos")

    def make(height, width, name="photo.png"):
        path = folder / name
        write_image(path, np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
        return path

    return make


def sheet_of(masks, file, names=None, ignore_mask=None):
    """A sheet of (H, W) masks for an image file."""
    names = names or [("cat", "dog")[k % 2] for k in range(len(masks))]
    entries = tuple(Annotation(n, Rle.from_mask(m), str(k)) for k, (n, m) in enumerate(zip(names, masks, strict=True)))
    size = masks[0].shape if masks else ignore_mask.shape
    return AnnotatedImage(file.name, size, entries, file, None if ignore_mask is None else Rle.from_mask(ignore_mask))


def written(name, folder, sheets, options=None):
    """Write sheets and return the losses."""
    with format_named(name).writer(folder, options) as writer:
        return [loss for sheet in sheets for loss in writer.add(sheet)]


def masks_in(sheet):
    return [entry.rle.mask() for entry in sheet.annotations]
