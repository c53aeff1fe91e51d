import numpy as np
import PIL.Image
import pytest
import tifffile

from segue.core.errors import ImageError, InputError, MissingFile
from segue.data.io.image import open_image
from segue.data.io.tiff import write_mask_tiff
from segue.data.rle import Rle

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (150, 210, 3), np.uint8)


def whole_and_parts(path, expected, page=0):
    with open_image(path) as tiff:
        assert tiff.size(page) == expected.shape[:2]
        np.testing.assert_array_equal(tiff.window(page=page), expected)
        for window in ((0, 0, 1, 1), (37, 11, 180, 149), (209, 149, 210, 150), (64, 64, 128, 128)):
            x0, y0, x1, y1 = window
            np.testing.assert_array_equal(tiff.window(window, page), expected[y0:y1, x0:x1])


@pytest.mark.parametrize(
    "options",
    [
        {"tile": (64, 64)},
        {"tile": (32, 48), "compression": "zlib"},
        {"rowsperstrip": 7},
        {"rowsperstrip": 150},
        {"tile": (64, 64), "bigtiff": True},
        {"tile": (64, 64), "compression": "lzw", "predictor": True},
        {"tile": (64, 64), "planarconfig": "separate"},
    ],
)
def test_windows_are_parts_of_the_whole_in_every_layout(tmp_path, options):
    if options.get("compression") == "lzw":
        pytest.importorskip("imagecodecs", reason="LZW needs imagecodecs (extra 'tiff')")
    pixels = np.moveaxis(RGB, 2, 0) if options.get("planarconfig") == "separate" else RGB
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **options)
    whole_and_parts(tmp_path / "a.tif", RGB)


def test_pages_are_apart(tmp_path):
    pages = np.stack([RGB, 255 - RGB])
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="rgb", tile=(64, 64))
    with open_image(tmp_path / "a.tif") as tiff:
        assert tiff.pages == 2
        with pytest.raises(InputError, match="0 to 1"):
            tiff.window(page=2)
    for page in (0, 1):
        whole_and_parts(tmp_path / "a.tif", pages[page], page)


def test_deep_windows_share_one_stretch(tmp_path):
    y, x = np.mgrid[:600, :700]
    deep = (1000 + 3 * x + 2 * y).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", deep, tile=(128, 128))
    with open_image(tmp_path / "a.tif") as tiff:
        whole, part = tiff.window(), tiff.window((100, 200, 300, 400))
        np.testing.assert_array_equal(part, whole[200:400, 100:300])
        np.testing.assert_array_equal(tiff.values((5, 6, 9, 8)), deep[6:8, 5:9])
    assert whole.min() == 0
    assert whole.max() == 255
    assert len(np.unique(whole)) > 200


def test_photometry_is_honoured(tmp_path):
    grey = RGB[..., 0]
    tifffile.imwrite(tmp_path / "inverted.tif", grey, photometric="miniswhite", tile=(64, 64))
    whole_and_parts(tmp_path / "inverted.tif", np.repeat(255 - grey[..., None], 3, 2))
    palette = RNG.integers(0, 256, (3, 256), np.uint16) * 257
    tifffile.imwrite(tmp_path / "palette.tif", grey, photometric="palette", colormap=palette, tile=(64, 64))
    whole_and_parts(tmp_path / "palette.tif", (palette.T // 257).astype(np.uint8)[grey])
    inks = RNG.integers(0, 256, (150, 210, 4), np.uint8)
    tifffile.imwrite(tmp_path / "inks.tif", inks, photometric="separated", tile=(64, 64))
    whole_and_parts(tmp_path / "inks.tif", np.array(PIL.Image.fromarray(inks, "CMYK").convert("RGB")))


def test_the_overview_uses_a_pyramid_where_there_is_one(tmp_path):
    big = np.kron(RNG.integers(0, 256, (40, 60), np.uint8), np.ones((8, 8), np.uint8))
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(big, tile=(64, 64), subifds=0)
        writer.write(np.full((160, 240), 77, np.uint8), tile=(64, 64), subfiletype=1)
    with open_image(tmp_path / "a.tif") as tiff:
        small, factor = tiff.overview(120)
        assert (small.shape, factor) == ((80, 120, 3), 4.0)
        assert (small == 77).all()
    tifffile.imwrite(tmp_path / "b.tif", big, tile=(64, 64))
    with open_image(tmp_path / "b.tif") as tiff:
        small, factor = tiff.overview(60)
        assert (small.shape, factor) == ((40, 60, 3), 8.0)
        np.testing.assert_array_equal(small[..., 0], big[::8, ::8])


def test_files_that_cannot_be_read_say_why(tmp_path):
    with pytest.raises(MissingFile):
        open_image(tmp_path / "none.tif")
    (tmp_path / "text.tif").write_text("no picture")
    with pytest.raises(ImageError, match=r"text\.tif.* no image"):
        open_image(tmp_path / "text.tif")
    tifffile.imwrite(tmp_path / "torn.tif", RGB, photometric="rgb", tile=(64, 64), compression="zlib")
    content = bytearray((tmp_path / "torn.tif").read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    (tmp_path / "torn.tif").write_bytes(content)
    with open_image(tmp_path / "torn.tif") as tiff, pytest.raises(ImageError, match=r"torn\.tif"):
        tiff.window()


def test_windows_outside_the_page_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb")
    with open_image(tmp_path / "a.tif") as tiff, pytest.raises(InputError, match="window"):
        tiff.window((0, 0, 211, 10))


def test_a_mask_of_any_size_is_written_tile_by_tile(tmp_path):
    mask = np.zeros((1300, 700), bool)
    mask[500:1299, 100:600] = RNG.random((799, 500)) > 0.5
    write_mask_tiff(tmp_path / "m.tif", Rle.from_mask(mask))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "m.tif"), mask * 255)
