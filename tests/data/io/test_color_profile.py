"""Embedded colour profiles, against colours worked out from the primaries by hand."""

import struct
import warnings

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from segue.data.io import color_profile as icc
from segue.data.io.image import open_image, read_image

# Columns of red, green and blue in XYZ under D50, as the profiles of ICC version 2 give them.
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
WHITE = np.array([0.9642, 1.0, 0.8249])  # D50

LATTICE = np.stack(np.meshgrid(*[np.array([0, 51, 128, 204, 255], np.uint8)] * 3), -1).reshape(5, 25, 3)


def srgb_curve():
    """A table of 1,024 entries."""
    x = np.linspace(0, 1, 1024)
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.rint(65535 * linear).astype(">u2").tobytes()


def gamma_curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(256 * gamma), 0)


def xyz(values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * v) for v in values))


def text(words):
    return b"desc\0\0\0\0" + struct.pack(">I", len(words) + 1) + words.encode() + b"\0" * (1 + 12 + 67)


def icc_file(kind, space, connection, tags):
    """A profile of version 2.4 by its bytes (ICC.1:2001-04, clause 6)."""
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"\0" * 4, 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + xyz(WHITE)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def matrix_profile(primaries, curve):
    tags = {b"desc": text("made for a test"), b"wtpt": xyz(WHITE)}
    for k, name in enumerate((b"r", b"g", b"b")):
        tags |= {name + b"XYZ": xyz(primaries[:, k]), name + b"TRC": curve}
    return icc_file(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma):
    return icc_file(
        b"mntr", b"GRAY", b"XYZ ", {b"desc": text("grey"), b"wtpt": xyz(WHITE), b"kTRC": gamma_curve(gamma)}
    )


def lab_of_inks(inks):
    """(n, 4) inks 0 or 1 -> (n, 3) Lab: a press whose colours are dull, its black black."""
    light = (1 - inks[:, 3]) * (1 - 0.35 * inks[:, 0]) * (1 - 0.5 * inks[:, 1]) * (1 - 0.1 * inks[:, 2])
    light = np.where(inks.sum(1) == 4, 0, light)
    colour = (1 - inks[:, 3:]) * (inks[:, :3] @ np.array([[-30.0, -40.0], [60.0, 0.0], [-5.0, 70.0]])) / 2
    return np.concatenate((100 * light[:, None], colour), 1)


def cmyk_profile():
    """A press described at the 16 corners of CMYK (lut16Type)."""
    corners = np.array(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij")).reshape(4, -1).T
    lab = lab_of_inks(corners)
    stored = np.stack((lab[:, 0] * 652.8, (lab[:, 1] + 128) * 256, (lab[:, 2] + 128) * 256), 1)  # Lab of version 2
    lut = b"mft2\0\0\0\0" + bytes((4, 3, 2, 0)) + struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel().tolist())
    lut += struct.pack(">HH", 2, 2) + struct.pack(">HH", 0, 65535) * 4
    lut += np.rint(stored).astype(">u2").tobytes() + struct.pack(">HH", 0, 65535) * 3
    return icc_file(
        b"prtr", b"CMYK", b"Lab ", {b"desc": text("press"), b"wtpt": xyz(WHITE), b"A2B0": lut, b"A2B1": lut}
    )


def encoded(linear):
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def seen_through(primaries, pixels, decode):
    """What pixels of other primaries are in sRGB, cut off at its gamut."""
    return encoded(decode(pixels / 255) @ primaries.T @ np.linalg.inv(SRGB).T)


def srgb_decode(x):
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def adobe_decode(x):
    return x ** (563 / 256)


P3 = matrix_profile(DISPLAY_P3, srgb_curve())
ADOBE = matrix_profile(ADOBE_RGB, gamma_curve(563 / 256))


def saved(folder, image, name, **options):
    image = image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize(
    ("profile", "primaries", "decode"),
    [(P3, DISPLAY_P3, srgb_decode), (ADOBE, ADOBE_RGB, adobe_decode)],
    ids=["Display P3", "Adobe RGB"],
)
def test_wide_gamut_becomes_srgb(tmp_path, name, profile, primaries, decode):
    more = {"lossless": True} if name.endswith("webp") else {}
    got = read_image(saved(tmp_path, LATTICE, name, icc_profile=profile, **more))
    np.testing.assert_allclose(got, seen_through(primaries, LATTICE, decode), atol=1.6)
    assert np.abs(got.astype(int) - LATTICE).max() > 20


def test_wide_gamut_jpegs_are_turned_and_converted(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((16, 32, 3), np.uint8) + np.array((40, 190, 60), np.uint8)
    got = read_image(saved(tmp_path, pixels, "a.jpg", icc_profile=P3, exif=exif, quality=100, subsampling=0))
    assert got.shape == (32, 16, 3)
    wanted = seen_through(DISPLAY_P3, pixels[0, 0], srgb_decode)
    np.testing.assert_allclose(got.mean((0, 1)), wanted, atol=3)


def test_transparent_wide_gamut_lies_over_white(tmp_path):
    rgba = np.concatenate((LATTICE, np.full((5, 25, 1), 255, np.uint8)), 2)
    rgba[0, :, 3] = 0
    got = read_image(saved(tmp_path, rgba, "a.png", icc_profile=P3))
    assert (got[0] == 255).all()
    np.testing.assert_allclose(got[1:], seen_through(DISPLAY_P3, LATTICE[1:], srgb_decode), atol=1.6)


def test_palettes_and_grey_files_follow_their_profile_too(tmp_path):
    palette = PIL.Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([0, 200, 0, 10, 20, 30])
    wanted = seen_through(DISPLAY_P3, np.array([[0, 200, 0], [10, 20, 30]]), srgb_decode)
    np.testing.assert_allclose(read_image(saved(tmp_path, palette, "p.png", icc_profile=P3))[0], wanted, atol=1.6)
    ramp = np.arange(0, 256, 5, dtype=np.uint8)[None]
    got = read_image(saved(tmp_path, ramp, "g.png", icc_profile=grey_profile(1.8)))
    np.testing.assert_allclose(got[0, :, 1], encoded((ramp[0] / 255) ** (round(256 * 1.8) / 256)), atol=1.6)
    with_alpha = np.stack((ramp, np.full_like(ramp, 255)), -1)
    np.testing.assert_array_equal(
        read_image(saved(tmp_path, PIL.Image.fromarray(with_alpha, "LA"), "la.png", icc_profile=grey_profile(1.8))),
        got,
    )
    same = read_image(saved(tmp_path, ramp, "rgb-profile.png", icc_profile=P3))  # P3's greys are those of sRGB
    np.testing.assert_allclose(same[0, :, 0], ramp[0], atol=1)


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk_is_what_its_profile_says(tmp_path, name):
    inks = np.array(np.meshgrid(*[[0, 255]] * 4, indexing="ij"), np.uint8).reshape(4, -1).T
    tiles = inks.repeat(16, 0).reshape(16, 16, 4).repeat(16, 0).reshape(256, 16, 4)
    image = PIL.Image.fromarray(np.ascontiguousarray(tiles), "CMYK")
    more = {"quality": 100, "subsampling": 0} if name.endswith("jpg") else {}
    got = read_image(saved(tmp_path, image, name, icc_profile=cmyk_profile(), **more))
    lab = lab_of_inks(inks / 255)
    f = np.stack(
        ((lab[:, 0] + 16) / 116 + lab[:, 1] / 500, (lab[:, 0] + 16) / 116, (lab[:, 0] + 16) / 116 - lab[:, 2] / 200), 1
    )
    cubes = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    wanted = encoded((cubes * WHITE) @ np.linalg.inv(SRGB).T)
    np.testing.assert_allclose(got[8::16, 8], wanted, atol=4)
    plain = read_image(saved(tmp_path, image, f"plain-{name}", **more))
    assert np.abs(plain[8::16, 8].astype(int) - wanted).max() > 40


def test_windows_of_a_tiff_have_the_colours_of_the_whole(tmp_path):
    path = saved(tmp_path, LATTICE, "a.tif", icc_profile=P3)
    with open_image(path) as tiff:
        np.testing.assert_array_equal(tiff.window((3, 1, 20, 4)), read_image(path)[1:4, 3:20])


@pytest.mark.parametrize(
    "profile",
    [b"no profile at all", P3[:200], cmyk_profile(), grey_profile(2.2), P3[:128] + struct.pack(">I", 2**31)],
    ids=["words", "torn", "of CMYK", "of grey", "endless"],
)
def test_a_profile_that_says_nothing_is_ignored_with_a_warning(tmp_path, profile):
    path = saved(tmp_path, LATTICE, "a.png", icc_profile=profile)
    with pytest.warns(UserWarning, match="colour profile"):
        got = read_image(path)
    np.testing.assert_array_equal(got, LATTICE)


def test_photos_in_srgb_cost_nothing_more(tmp_path, monkeypatch):
    """Without a profile none is looked at; an sRGB profile is recognised once, by what it does, not by its name."""
    named = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    files = {
        saved(tmp_path, LATTICE, f"{k}.png", icc_profile=profile)
        for k, profile in enumerate((named, matrix_profile(SRGB, srgb_curve())))
    }
    for path in files:
        np.testing.assert_array_equal(read_image(path), LATTICE)

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(icc.ImageCms, "applyTransform", never)
    monkeypatch.setattr(icc.ImageCms, "buildTransform", never)
    with warnings.catch_warnings(action="error"):
        for path in (*files, saved(tmp_path, LATTICE, "none.png")):
            np.testing.assert_array_equal(read_image(path), LATTICE)
