import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.core.errors import ImageError, InputError, MissingFile
from segue.data.image import as_image, read_image
from segue.data.tiff import TiffWindows

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (70, 90, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (70, 90), dtype=np.uint8)
LAYOUTS = {
    "tiled": {"tile": (16, 32)},
    "tiled, zlib": {"tile": (32, 16), "compression": "zlib", "predictor": True},
    "strips": {"rowsperstrip": 9},
    "one strip": {"rowsperstrip": 70},
    "separate planes": {"planarconfig": "separate", "tile": (16, 16)},
    "BigTIFF": {"bigtiff": True, "tile": (16, 16)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_window_is_that_part_of_the_page(tmp_path, layout):
    options = dict(LAYOUTS[layout])
    big = options.pop("bigtiff", False)
    pixels = RGB.transpose(2, 0, 1) if options.get("planarconfig") else RGB
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=big) as writer:
        writer.write(pixels, photometric="rgb", **options)
    check(tmp_path / "a.tif")


@settings(max_examples=25, deadline=None)
@given(st.data())
def check(path, data):
    x0, y0 = data.draw(st.integers(0, 89)), data.draw(st.integers(0, 69))
    x1, y1 = data.draw(st.integers(x0 + 1, 90)), data.draw(st.integers(y0 + 1, 70))
    step = data.draw(st.integers(1, 7))
    with TiffWindows(path) as page:
        np.testing.assert_array_equal(page.read(x0, y0, x1, y1, step), RGB[y0:y1:step, x0:x1:step])


def test_windows_of_a_deep_page_share_one_brightness(tmp_path):
    ramp = np.tile(np.linspace(100, 4000, 128).astype(np.uint16), (64, 1))
    tifffile.imwrite(tmp_path / "deep.tif", ramp, tile=(16, 16))
    with TiffWindows(tmp_path / "deep.tif") as page:
        whole, part = page.read(0, 0, 128, 64), page.read(64, 10, 96, 20)
    np.testing.assert_array_equal(part, whole[10:20, 64:96])
    assert (whole[0, 0, 0], whole[0, -1, 0]) == (0, 255)


def test_white_is_zero_is_turned_round(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="miniswhite", tile=(16, 16))
    with TiffWindows(tmp_path / "a.tif") as page:
        np.testing.assert_array_equal(page.read(0, 0, 90, 70)[..., 0], 255 - GREY)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_deep_colour_that_pillow_cannot_read_is_read(tmp_path, kind):
    deep = (RGB.astype(np.float64) * 200 + 50).astype(kind)
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    np.testing.assert_allclose(read_image(tmp_path / "deep.tif").astype(int), as_image(deep), atol=2)


def test_orientation_is_applied(tmp_path):
    deep = RGB.astype(np.uint16) * 256
    upright = read(tmp_path, deep, 1)
    np.testing.assert_array_equal(read(tmp_path, deep, 6), np.rot90(upright, -1))
    np.testing.assert_array_equal(read(tmp_path, deep, 3), upright[::-1, ::-1])
    np.testing.assert_array_equal(read(tmp_path, deep, 5), upright.transpose(1, 0, 2))


def read(folder, deep, orientation):
    tifffile.imwrite(folder / "deep.tif", deep, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    return read_image(folder / "deep.tif")


def test_memory_grows_with_the_window_not_with_the_file(tmp_path):
    import tracemalloc

    page = np.zeros((6000, 6000), np.uint8)
    tifffile.imwrite(tmp_path / "big.tif", page, tile=(256, 256))
    tracemalloc.start()
    with TiffWindows(tmp_path / "big.tif") as big:
        big.read(3000, 3000, 3400, 3400)
        big.read(0, 0, 6000, 6000, step=20)
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


def test_what_is_no_page_is_refused(tmp_path):
    with pytest.raises(MissingFile):
        TiffWindows(tmp_path / "none.tif")
    (tmp_path / "text.tif").write_text("hello")
    with pytest.raises(ImageError, match="does not read as TIFF"):
        TiffWindows(tmp_path / "text.tif")
    tifffile.imwrite(tmp_path / "cmyk.tif", np.zeros((8, 8, 4), np.uint8), photometric="separated")
    with pytest.raises(ImageError, match="grey, RGB or RGBA"):
        TiffWindows(tmp_path / "cmyk.tif")
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    with TiffWindows(tmp_path / "a.tif") as page:
        for window in ((-1, 0, 5, 5), (0, 0, 91, 5), (5, 0, 5, 5)):
            with pytest.raises(InputError, match="inside the page of 90 x 70"):
                page.read(*window)


def test_a_file_cut_short_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "deep.tif", RGB.astype(np.uint16) * 256, photometric="rgb", compression="zlib")
    content = (tmp_path / "deep.tif").read_bytes()
    (tmp_path / "deep.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"deep\.tif"):
        read_image(tmp_path / "deep.tif")


def test_the_pixel_limit_holds_for_deep_pages(tmp_path):
    tifffile.imwrite(tmp_path / "deep.tif", RGB.astype(np.uint16), photometric="rgb")
    with pytest.raises(ImageError, match="at most 100 pixels"):
        read_image(tmp_path / "deep.tif", max_pixels=100)
