"""What a file is by its first bytes; its suffix is only a hint."""

from __future__ import annotations

import re
from pathlib import Path

HEAD = 132  # bytes that tell every kind

_SIGNATURES = (
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("TIFF", rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
    ("WEBP", rb"RIFF....WEBP"),
    ("GIF", rb"GIF8[79]a"),
    ("BMP", rb"BM....\0\0\0\0"),
    ("AVIF", rb"....ftypavi[fs]"),
    ("HEIF", rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)"),
    ("JPEG2000", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    ("PPM", rb"P[1-6]\s+[\d#]"),
    ("PSD", rb"8BPS\0\x01"),
    ("QOI", rb"qoif"),
    ("DICOM", rb".{128}DICM"),
    ("video", rb"....ftyp|\x1a\x45\xdf\xa3|RIFF....AVI |OggS|\0\0\x01[\xba\xb3]|....(moov|mdat|wide)|FLV\x01"),
    ("JPEG XL", rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
    ("OpenEXR", rb"v/1\x01"),
    ("Radiance HDR", rb"#\?(RADIANCE|RGBE)"),
    ("SVG", rb"\s*(<\?xml[^>]*>\s*)?<svg"),
    ("camera raw", rb"FUJIFILMCCD-RAW|....ftypcrx"),
    ("GIMP", rb"gimp xcf"),
)
_KINDS = [(kind, re.compile(pattern, re.DOTALL)) for kind, pattern in _SIGNATURES]
SUFFIXES_OF = {  # of what can be read
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff", ".btf", ".svs"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
    "JPEG2000": (".jp2", ".j2k"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "PSD": (".psd",),
    "QOI": (".qoi",),
    "DICOM": (".dcm",),
    "video": (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".3gp"),
}


def kind_of(head: bytes) -> str:
    """The format that a file's first ``HEAD`` bytes begin, '' for none that is known.

    >>> kind_of(b"GIF89a"), kind_of(b"II*\\0"), kind_of(b"words")
    ('GIF', 'TIFF', '')
    """
    return next((kind for kind, pattern in _KINDS if pattern.match(head)), "")


def first_bytes(path: Path) -> bytes:
    """The first ``HEAD`` bytes of a file; none of one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""
