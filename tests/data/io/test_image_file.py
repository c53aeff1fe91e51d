"""One door for every file of pictures: header, whole and windows agree, whatever the container, mode and turn."""

import io
import struct
import warnings
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import features

from segue.core.errors import ImageError, InputError, MissingExtra, MissingFile
from segue.data.io.image import find_images, open_image, read_image, read_labels, sort_out, write_image

UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
PILLOW = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "RGB;16", "RGBA;16"),
    "WEBP": ("RGB", "RGBA"),
    "AVIF": ("RGB", "RGBA"),
}
TIFF_TYPES = ("bool", "u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8")
KINDS = [(kind, mode) for kind, modes in PILLOW.items() for mode in modes]
RNG = np.random.default_rng(0)
if not features.check("avif"):
    KINDS = [pair for pair in KINDS if pair[0] != "AVIF"]


def png_of_16_bits(pixels):
    return cv2.imencode(".png", pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])[1].tobytes()


def with_exif(content, exif):
    """A PNG with its metadata behind its pixels, where they may stand as well."""

    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    end = content.rindex(b"IEND") - 4
    return (
        content[:end] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[end:]
    )


def encoded(kind, mode, size, orientation):
    """A picture of noise as bytes."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    bands = {"1": 1, "L": 1, "LA": 2, "P": 1, "RGB": 3, "RGBA": 4, "CMYK": 4, "I;16": 1}
    if mode.endswith(";16") and mode != "I;16":
        noise = np.random.default_rng(1).integers(0, 4096, (*size, len(mode) - 3), np.uint16)
        return with_exif(png_of_16_bits(noise), exif)
    noise = np.random.default_rng(1).integers(0, 256, (*size, bands[mode]), np.uint8)
    if mode == "I;16":
        image = PIL.Image.fromarray(noise[..., 0].astype(np.uint16) * 16)
    elif mode == "1":
        image = PIL.Image.fromarray(noise[..., 0] > 127)
    elif mode == "P":
        image = PIL.Image.fromarray(noise[..., 0]).convert("P")
        image.putpalette(np.random.default_rng(2).integers(0, 256, 768).tolist())
    else:
        image = PIL.Image.fromarray(noise.squeeze(-1) if bands[mode] == 1 else noise, mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()


def agree(path, orientation, upright):
    """Header, whole and windows of ``path`` are those of ``upright`` turned."""
    expected = UPRIGHT[orientation](upright)
    with open_image(path) as file:
        height, width = file.size()
        assert (height, width) == expected.shape[:2]
        for window in ((0, 0, 1, 1), (width // 2, height // 3, width, height), (0, height - 1, width, height)):
            x0, y0, x1, y1 = window
            np.testing.assert_array_equal(file.window(window), expected[y0:y1, x0:x1])
        np.testing.assert_array_equal(file.window(), expected)
        small, factor = file.overview(4)
        assert max(small.shape[:2]) <= max(4, min(height, width))
        assert factor >= 1
    np.testing.assert_array_equal(read_image(path), expected)


SIZES = st.tuples(st.integers(1, 24), st.integers(1, 24))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(KINDS), SIZES, st.integers(2, 8), st.sampled_from([".jpg", ".tif", ".dcm", ""]))
def test_every_turn_mode_and_container_reads_upright_under_any_suffix(
    tmp_path_factory, kind, size, orientation, suffix
):
    folder = tmp_path_factory.mktemp("turned")
    (folder / f"plain{suffix}").write_bytes(encoded(*kind, size, 1))
    (folder / f"turned{suffix}").write_bytes(encoded(*kind, size, orientation))
    agree(folder / f"turned{suffix}", orientation, read_image(folder / f"plain{suffix}"))


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(TIFF_TYPES),
    st.sampled_from([1, 2, 3, 4, 5]),
    st.sampled_from(["contig", "separate"]),
    st.sampled_from([{}, {"tile": (16, 16)}, {"rowsperstrip": 3}, {"compression": "zlib"}, {"compression": "lzw"}]),
    st.sampled_from(["<", ">"]),
    SIZES,
    st.integers(1, 8),
)
@example("u2", 1, "contig", {}, "<", (9, 5), 6)
def test_every_tiff_reads_upright(tmp_path_factory, kind, samples, planes, layout, order, size, orientation):
    if layout.get("compression") == "lzw":
        pytest.importorskip("imagecodecs")
    folder = tmp_path_factory.mktemp("tiff")
    values = np.random.default_rng(3).integers(0, 200, (*size, samples)).astype(kind)
    stored = np.moveaxis(values, 2, 0) if planes == "separate" else values
    assume(kind != "bool" or samples == 1)
    photometric = "rgb" if samples in (3, 4) else "minisblack"
    options = {
        "photometric": photometric,
        "planarconfig": planes if samples > 1 else None,
        "byteorder": order,
        **layout,
    }
    stored = stored.squeeze(0 if planes == "separate" else 2) if samples == 1 else stored
    for name, turn in (("plain.tif", 1), ("turned.tif", orientation)):
        tifffile.imwrite(folder / name, stored, extratags=[(274, 3, 1, turn, True)], **options)
    upright = read_image(folder / "plain.tif")
    agree(folder / "turned.tif", orientation, upright)
    if kind in ("u1", "u2", "i4") and samples == 1:
        np.testing.assert_array_equal(read_labels(folder / "turned.tif"), UPRIGHT[orientation](values[..., 0]))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("white", [False, True])
def test_packed_grey_fills_the_range(tmp_path, bits, white):
    pytest.importorskip("imagecodecs")
    values = np.arange(2**bits, dtype=np.uint8).reshape(1, -1)
    photometric = "miniswhite" if white else "minisblack"
    stored = values.astype(bool) if bits == 1 else values
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, bitspersample=bits)
    expected = values * (255 // (2**bits - 1))
    assert read_image(tmp_path / "a.tif")[..., 0].tolist() == (255 - expected if white else expected).tolist()


def test_a_tiff_whose_compression_needs_a_library_is_read_without_it(tmp_path, monkeypatch):
    image = PIL.Image.fromarray(RNG.integers(0, 60000, (30, 41), np.uint16))
    image.save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={274: 6})
    upright = read_image(tmp_path / "a.tif")
    monkeypatch.setattr("tifffile.TiffPage.decode", property(lambda page: 1 / 0))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), upright)
    assert upright.shape == (41, 30, 3)


def test_cielab_and_premultiplied_colours_are_shown_as_they_look(tmp_path):
    lab = np.zeros((8, 8, 3), np.uint8)
    lab[..., 0], lab[..., 1] = 140, 60  # a strong red
    tifffile.imwrite(tmp_path / "lab.tif", lab, photometric="cielab")
    red, green, blue = read_image(tmp_path / "lab.tif")[4, 4].tolist()
    assert red > 180 > 120 > green
    assert red > blue
    half = np.full((8, 8, 4), 100, np.uint8)
    half[..., 3] = 128
    tifffile.imwrite(tmp_path / "a.tif", half, photometric="rgb", extrasamples=["assocalpha"])
    assert read_image(tmp_path / "a.tif")[0, 0].tolist() == pytest.approx([227] * 3, abs=1)
    tifffile.imwrite(tmp_path / "b.tif", half, photometric="rgb", extrasamples=["unspecified"])
    assert read_image(tmp_path / "b.tif")[0, 0].tolist() == [100] * 3


def test_a_camera_s_raw_file_is_not_taken_for_its_preview(tmp_path):
    tifffile.imwrite(
        tmp_path / "raw.nef", np.zeros((8, 8), np.uint16), photometric="cfa", extratags=[(33421, 3, 2, (2, 2))]
    )
    with pytest.raises(ImageError, match=r"raw\.nef, a camera's raw file"):
        open_image(tmp_path / "raw.nef")


JPEG = encoded("JPEG", "RGB", (96, 128), 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60))
def test_a_jpeg_without_its_last_bytes_is_read_with_a_warning(tmp_path_factory, missing):
    path = tmp_path_factory.mktemp("cut") / "cut.jpg"
    path.write_bytes(JPEG)
    whole = read_image(path)
    path.write_bytes(JPEG[:-missing])
    with pytest.warns(UserWarning, match=r"cut\.jpg is cut short"):
        got = read_image(path)
    assert got.shape == whole.shape
    assert (got != whole).any(-1).mean() < 1 / 16


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*KINDS, ("TIFF", "L")]), st.integers(0, 5000), st.integers(0, 255), st.booleans())
def test_damaged_files_are_read_or_refused_by_name(tmp_path_factory, kind, place, value, short):
    path = tmp_path_factory.mktemp("damaged") / "a.img"
    if kind[0] == "TIFF":
        tifffile.imwrite(path, RNG.integers(0, 256, (20, 30), np.uint8), compression="zlib")
    else:
        path.write_bytes(encoded(*kind, (20, 30), 6))
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place] = value
    path.write_bytes(content[:place] if short else content)
    for read in (read_image, read_labels):
        with warnings.catch_warnings(action="ignore"):
            try:
                assert read(path).size
            except ImageError as error:
                assert "a.img" in str(error) or "size" in str(error)  # noqa: PT017 - both are right


def test_windows_and_pages_that_are_not_there_are_refused(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((4, 6, 3), np.uint8))
    with open_image(tmp_path / "a.png") as file:
        for window in ((0, 0, 7, 1), (3, 3, 3, 4), (-1, 0, 2, 2)):
            with pytest.raises(InputError, match="window"):
                file.window(window)
        with pytest.raises(InputError, match="page 1"):
            file.window(page=1)


def test_animations_and_stacks_have_pages(tmp_path):
    pages = [PIL.Image.new("L", (5, 4), value) for value in (10, 200, 90)]
    for name in ("a.gif", "a.png", "a.tif", "a.webp"):
        options = {"lossless": True} if name == "a.webp" else {}
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:], duration=40, **options)
        with open_image(tmp_path / name) as file:
            assert [int(frame[0, 0, 0]) for frame in file.frames()] == [10, 200, 90], name
            assert file.media_type == ""


def test_a_browser_gets_the_file_only_where_it_shows_what_we_see(tmp_path):
    for kind, mode, turn, shown in (
        ("JPEG", "RGB", 6, "image/jpeg"),
        ("JPEG", "CMYK", 1, ""),
        ("PNG", "RGB", 1, "image/png"),
        ("PNG", "RGB", 6, ""),
        ("PNG", "RGBA", 1, ""),
        ("PNG", "I;16", 1, ""),
        ("PNG", "RGB;16", 1, ""),
        ("WEBP", "RGB", 1, "image/webp"),
    ):
        (tmp_path / "a").write_bytes(encoded(kind, mode, (9, 7), turn))
        with open_image(tmp_path / "a") as file:
            assert file.media_type == shown, (kind, mode, turn)


def test_colour_of_16_bits_is_not_darkened(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("PNG", "RGB;16", (40, 40), 1))
    assert read_image(tmp_path / "a.png").mean() > 100, "twelve of sixteen bits are in use"


def test_names_of_any_bytes_and_length_are_read_or_refused(tmp_path):
    content = encoded("PNG", "RGB", (3, 4), 1)
    for name in (b"\xff\xfe.png", "写真.png".encode(), b"a" * 251 + b".png", b"a b%20#?&.png"):
        path = tmp_path / name.decode("utf-8", "surrogateescape")
        path.write_bytes(content)
        assert read_image(path).shape == (3, 4, 3)
    with pytest.raises(MissingFile):
        open_image(tmp_path / ("a" * 300))
    with pytest.raises(MissingFile):
        open_image(tmp_path / "a\0b.png")


def test_folders_and_devices_are_no_images(tmp_path):
    for path in (tmp_path, "/dev/null"):
        with pytest.raises(ImageError, match="an image file"):
            open_image(path)


def test_a_folder_names_what_it_leaves_out(tmp_path):
    jpeg = encoded("JPEG", "RGB", (8, 8), 1)
    for name in ("10.jpg", "9.jfif", "11", "._9.jpg"):
        (tmp_path / name).write_bytes(jpeg)
    (tmp_path / "b.jpg.bak").write_bytes(jpeg)
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "c.jxl").write_bytes(b"\xff\x0a" + bytes(30))
    (tmp_path / "d.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(30))
    (tmp_path / "e.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(30))
    with pytest.warns(UserWarning, match=r"skipped: .*b\.jpg\.bak.*c\.jxl.*"):
        images = find_images([tmp_path])
    assert [path.name for path in images if path.name != "d.heic"] == ["9.jfif", "10.jpg", "11"]
    skipped = sort_out(tmp_path.iterdir())[1]
    assert {"b.jpg.bak", "c.jxl", "e.mp4"} <= {path.name for path in skipped}
    assert "notes.txt" not in {path.name for path in skipped}


def test_heic_without_its_plug_in_is_named_with_what_to_install(tmp_path):
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        (tmp_path / "d.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(30))
        with pytest.raises(MissingExtra, match=r"d\.heic.*segue\[heif\]"):
            open_image(tmp_path / "d.heic")
        with pytest.warns(UserWarning, match=r"d\.heic"), pytest.raises(ImageError, match="holds no image"):
            find_images([tmp_path])
