import os
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segue.core.errors import ImageError, MissingFile, StorageError
from segue.data.io.image import (
    find_images,
    read_image,
    read_labels,
    read_mask,
    write_image,
    write_labels,
)
from segue.data.io.pixels import as_image

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def saved(folder, array_or_image, name="file.png", **options):
    image = array_or_image if isinstance(array_or_image, PIL.Image.Image) else PIL.Image.fromarray(array_or_image)
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, RGB),
        (2, RGB[:, ::-1]),
        (3, RGB[::-1, ::-1]),
        (4, RGB[::-1]),
        (5, RGB.transpose(1, 0, 2)),
        (6, np.rot90(RGB, -1)),
        (7, RGB[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90(RGB)),
    ],
)
def test_exif_orientation_is_applied_to_images_and_masks(tmp_path, orientation, turned):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read_image(saved(tmp_path, RGB, exif=exif)), turned)
    mask = RGB[..., 0]
    np.testing.assert_array_equal(read_labels(saved(tmp_path, mask, exif=exif)), turned[..., 0])


def test_grey_palette_and_one_bit_images_become_rgb(tmp_path):
    grey = RGB[..., 0]
    np.testing.assert_array_equal(read_image(saved(tmp_path, grey)), np.stack([grey] * 3, -1))
    palette = PIL.Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert read_image(saved(tmp_path, palette)).tolist() == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]
    bits = np.array([[True, False]])
    assert read_image(saved(tmp_path, bits))[..., 1].tolist() == [[255, 0]]


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = 255, 128, 0
    assert read_image(saved(tmp_path, rgba))[0, :, 0].tolist() == pytest.approx([0, 127, 255], abs=1)
    assert as_image(rgba)[0, :, 0].tolist() == pytest.approx([0, 127, 255], abs=1)
    palette = PIL.Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([9, 9, 9, 5, 5, 5])
    assert read_image(saved(tmp_path, palette, transparency=0))[0, :, 0].tolist() == [255, 5]


def test_cmyk_keeps_its_colours(tmp_path):
    cmyk = PIL.Image.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK")
    got = read_image(saved(tmp_path, cmyk, "photo.jpg", quality=95))
    np.testing.assert_allclose(got.mean(axis=(0, 1)), (200, 30, 60), atol=6)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_stretched_between_percentiles(tmp_path, suffix):
    ramp = np.linspace(1000, 3000, 400).astype(np.uint16).reshape(20, 20)
    ramp[0, 0] = 65535  # one hot pixel must not darken the rest
    got = read_image(saved(tmp_path, ramp, f"deep.{suffix}"))[..., 0]
    assert got.dtype == np.uint8
    assert got[0, 0] == 255
    assert got[-1, -1] == 255
    assert 115 < got[10, 0] < 140


def test_float_images_are_stretched_and_nan_is_refused(tmp_path):
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    assert read_image(saved(tmp_path, values, "float.tif")).max() == 255
    values[0, 0] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        read_image(saved(tmp_path, values, "float.tif"))


def test_a_constant_deep_image_is_black():
    assert as_image(np.full((2, 2), 700, np.uint16)).max() == 0


def test_the_first_page_of_many_is_read(tmp_path):
    pages = [PIL.Image.new("L", (4, 4), value) for value in (11, 22)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert read_image(tmp_path / "pages.tif")[0, 0, 0] == 11


def png_claiming(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (b"IHDR" + header, b"IDAT" + zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )


def test_unreadable_files_give_one_clear_line(tmp_path):
    whole = saved(tmp_path, np.tile(RGB, (20, 20, 1)), "whole.jpg").read_bytes()
    cases = {
        "truncated.jpg": (whole[: len(whole) // 2], "damaged"),
        "empty.png": (b"", r"empty \(0 bytes\)"),
        "text.png": (b"this is no image\n", "no image that can be read"),
        "broken.png": (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "damaged|no image"),
        "huge.png": (png_claiming(20_000, 10_000), "at most|bomb"),
        "bomb.png": (png_claiming(200_000, 200_000), "bomb"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        for read in (read_image, read_labels):
            with pytest.raises(ImageError, match=message) as caught:
                read(tmp_path / name)
            assert name in str(caught.value)
            assert "\n" not in str(caught.value)
    with pytest.raises(MissingFile):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="folder"):
        read_image(tmp_path)


def test_the_pixel_limit_is_checked_before_decoding(tmp_path):
    path = saved(tmp_path, np.zeros((100, 100), np.uint8))
    with pytest.raises(ImageError, match="at most 9,999 pixels"):
        read_image(path, max_pixels=9_999)


def test_labels_survive_every_container(tmp_path):
    labels = np.array([[0, 1, 2], [3, 254, 255]], np.uint8)
    assert read_labels(saved(tmp_path, labels)).tolist() == labels.tolist()
    palette = PIL.Image.fromarray(labels).convert("P")
    palette.putpalette(list(range(256)) * 3)
    indexed = PIL.Image.frombytes("P", (3, 2), labels.tobytes())
    indexed.putpalette(list(reversed(range(256))) * 3)
    assert read_labels(saved(tmp_path, indexed)).tolist() == labels.tolist()
    assert read_labels(saved(tmp_path, np.stack([labels] * 3, -1))).tolist() == labels.tolist()
    assert read_labels(saved(tmp_path, labels > 1)).tolist() == ((labels > 1) * 255).tolist()


def test_coloured_masks_become_numbered_objects(tmp_path):
    rgb = np.array([[[0, 0, 0], [255, 0, 0], [0, 255, 0]]], np.uint8)
    assert read_labels(saved(tmp_path, rgb)).tolist() == [[0, 2, 1]]
    assert read_labels(saved(tmp_path, rgb[:, 1:])).tolist() == [[2, 1]]
    clear = np.concatenate([rgb, np.full((1, 3, 1), 255, np.uint8)], -1)
    clear[0, 1, 3] = 0
    assert read_labels(saved(tmp_path, clear)).tolist() == [[0, 0, 1]]


def test_jpeg_masks_are_binary(tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    labels = read_labels(saved(tmp_path, mask, "mask.jpg", quality=50))
    assert set(np.unique(labels)) == {0, 255}
    assert ((labels > 0) != (mask > 0)).mean() < 0.02


def test_a_mask_of_another_size_is_refused(tmp_path):
    path = saved(tmp_path, np.zeros((4, 6), np.uint8))
    with pytest.raises(ImageError, match="6 x 4 pixels; expected the image's size 6 x 5"):
        read_mask(path, size=(5, 6))


@settings(max_examples=30)
@given(arrays(np.int64, (4, 5), elements=st.integers(0, 65535)))
def test_written_labels_read_back_exactly(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("labels") / "mask.png"
    write_labels(path, labels)
    assert (read_labels(path) == labels).all()


@pytest.mark.parametrize("labels", [np.array([[-1]]), np.array([[65536]]), np.array([[0.5]]), np.zeros((0, 3), int)])
def test_labels_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, labels):
    with pytest.raises(ImageError):
        write_labels(tmp_path / "mask.png", labels)
    assert not list(tmp_path.iterdir())


def test_writing_replaces_whole_files_and_leaves_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    write_image(path, RGB)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_image(path, RGB[::-1].copy())
    np.testing.assert_array_equal(read_image(path), RGB)
    assert os.listdir(tmp_path) == ["image.png"]


def test_images_are_found_by_file_folder_and_pattern(tmp_path):
    for name in ("b.jpg", "a.PNG", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in find_images([tmp_path])] == ["a.PNG", "b.jpg"]
    assert [p.name for p in find_images([str(tmp_path / "*.jpg"), tmp_path / "a.PNG"])] == ["b.jpg", "a.PNG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="holds no image"):
        find_images([tmp_path / "empty"])


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_deep_colour_tiff_is_stretched_as_arrays_are(tmp_path, kind, planes):
    deep = (RGB.astype(np.float64) * 12 + 50).astype(kind)
    stored = deep if planes == "contig" else deep.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "deep.tif", stored, photometric="rgb", planarconfig=planes)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.tif"), as_image(deep))


def test_orientation_is_applied_to_deep_colour_too(tmp_path):
    deep = RGB.astype(np.uint16) * 256

    def stored(orientation):
        tag = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb", extratags=tag)
        return read_image(tmp_path / "deep.tif")

    upright = stored(1)
    np.testing.assert_array_equal(stored(6), np.rot90(upright, -1))
    np.testing.assert_array_equal(stored(3), upright[::-1, ::-1])
    np.testing.assert_array_equal(stored(5), upright.transpose(1, 0, 2))


def test_deep_tiff_that_is_cut_short_or_too_large_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "deep.tif", RGB.astype(np.uint16) * 256, photometric="rgb", compression="zlib")
    with pytest.raises(ImageError, match="at most 10 pixels"):
        read_image(tmp_path / "deep.tif", max_pixels=10)
    content = (tmp_path / "deep.tif").read_bytes()
    (tmp_path / "deep.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"deep\.tif"):
        read_image(tmp_path / "deep.tif")


SHAPE = np.zeros((40, 50), np.uint8)
SHAPE[10:30, 10:30] = 255


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.tif", "L", {"compression": "jpeg"}),
        ("a.webp", "RGB", {"quality": 60}),
        ("a.webp", "RGB", {"lossless": True}),
        ("a.jp2", "L", {"quality_mode": "rates", "quality_layers": [4], "irreversible": True}),
        ("a.gif", "P", {}),
        ("a.bmp", "Q", {}),
        ("a.png", "Q", {}),
        ("a.tif", "Q", {}),
    ],
)
def test_masks_are_binary_in_formats_that_blur_and_in_any_order_of_a_palette(tmp_path, name, mode, options):
    image = PIL.Image.fromarray(SHAPE)
    (image.quantize(2) if mode == "Q" else image.convert(mode)).save(tmp_path / name, **options)
    labels = read_labels(tmp_path / name)
    assert len(np.unique(labels)) == 2
    assert ((labels > 0) != (SHAPE > 0)).sum() <= 20  # JPEG 2000 rounds the corners


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_whose_zero_is_white_is_turned_over(tmp_path, dtype):
    values = (SHAPE > 0).astype(dtype) * 7
    tifffile.imwrite(tmp_path / "a.tif", np.iinfo(dtype).max - values, photometric="miniswhite")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), values)


def test_masks_of_several_pages_or_of_ink_are_refused(tmp_path):
    image = PIL.Image.fromarray(SHAPE)
    image.save(tmp_path / "a.tif", save_all=True, append_images=[image])
    image.save(tmp_path / "a.gif", save_all=True, append_images=[PIL.Image.fromarray(255 - SHAPE)])
    for name in ("a.tif", "a.gif"):
        with pytest.raises(ImageError, match="of 2"):
            read_labels(tmp_path / name)
    image.convert("CMYK").save(tmp_path / "b.tif")
    with pytest.raises(ImageError, match="CMYK"):
        read_labels(tmp_path / "b.tif")
    with tifffile.TiffWriter(tmp_path / "c.tif") as writer:
        writer.write(SHAPE)
        writer.write(SHAPE[::2, ::2], subfiletype=1)  # the same, smaller
    np.testing.assert_array_equal(read_labels(tmp_path / "c.tif"), SHAPE)


def test_a_palette_of_eight_bits_in_sixteen_keeps_its_colours(tmp_path):
    image = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)).quantize(64)
    image.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.asarray(image.convert("RGB")))


def test_a_picture_beyond_all_bounds_is_said_to_be_large(tmp_path):
    PIL.Image.new("1", (20000, 20000)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="too large"):
        read_image(tmp_path / "a.png")
