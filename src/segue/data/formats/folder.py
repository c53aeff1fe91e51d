"""The plain folder: ``images/`` and ``masks/`` with equal stems; binary masks or label maps of 8 or 16 bit.

A label map is one object per id; 128 or 255 are void where a README beside them or ``ignore_values`` says so. Class
names may stand in ``classes.json``: {stem: {label: name}}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from segue.core.errors import DataError
from segue.core.files import read_json
from segue.data.formats.base import WriteOptions, Writer, from_labels, label_map
from segue.data.formats.output import OutputFolder
from segue.data.formats.paired import Objects, Pair, PairedFolders
from segue.data.io.image import read_labels, write_labels
from segue.data.record import AnnotatedImage, DataSet, Loss, Options

IGNORE = 255
_NUMBERS = (*range(1, IGNORE), *range(IGNORE + 1, 65536))  # IGNORE stays free for void
_WORDS = r"(?:void|ignored?|crowd)"
_STATEMENTS = (
    re.compile(rf"\b(128|255)\b\s*(?:\(|:|=|is|are|means)?\s*{_WORDS}\b", re.IGNORECASE),
    re.compile(rf"\b{_WORDS}\b[^\n.;,\d]{{0,12}}\b(128|255)\b", re.IGNORECASE),
)


class FolderWriter(Writer):
    """``images/``, ``masks/*.png`` (one id an object, 16 bit from 256 on), ``classes.json``, and a README that
    says 255 is void where it is. Later objects lie on top."""

    def __init__(self, output: OutputFolder, options: WriteOptions, names: Sequence[str] = ()) -> None:
        super().__init__(output, options, names)
        self._names = output.stream("classes.json")
        self._names.write(b"{")
        self._count, self._void = 0, False

    def add(self, image: AnnotatedImage) -> list[Loss]:
        stem = self.place_flat("images", image)
        labels, losses = label_map(image, _NUMBERS)
        if (ignore_mask := image.ignore_mask) is not None:
            labels[ignore_mask] = IGNORE
            self._void = True
        if self.output.folder is not None:
            write_labels(self.output.folder / "masks" / f"{stem}.png", labels)
        named = zip(_NUMBERS, image.annotations, strict=False)
        self._put(stem, {str(k): annotation.name for k, annotation in named if annotation.name})
        return losses

    def finish(self) -> None:
        self._names.write(b"\n}\n")
        self.output.keep(self._names)
        if self._void:
            self.output.put("README.txt", b"masks: 0 = background, 255 = void, every other number one object\n")

    def _put(self, stem: str, names: Mapping[str, str]) -> None:
        if names:
            comma = "," if self._count else ""
            self._names.write(f"{comma}\n{json.dumps(stem)}: {json.dumps(names)}".encode())
            self._count += 1


class Folder(PairedFolders):
    """Images and masks side by side.

    >>> Folder().name
    'folder'
    """

    def __init__(self) -> None:
        super().__init__("folder", "images", "masks")

    def make_writer(self) -> type[Writer]:
        return FolderWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        ignored = void_in_readme(folder) if options.ignore_values is None else options.ignore_values
        return super().open(folder, replace(options, ignore_values=ignored))

    def pairs(self, folder: Path, options: Options) -> Iterator[Pair]:
        names = class_names(folder)
        for pair in super().pairs(folder, options):
            yield pair._replace(names=names.get(pair.id, {}))

    def objects(self, pair: Pair, options: Options) -> Objects:
        return from_labels(read_labels(pair.masks[0]), pair.id, options.ignore_values or (), pair.names)


def void_in_readme(folder: Path) -> tuple[int, ...]:
    """Which of 128 and 255 a README beside the masks calls void, ignored or crowd.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "README.txt").write_text("0 = background, 1..n, 255 = void")
    ...     void_in_readme(Path(folder))
    (255,)
    """
    text = "\n".join(p.read_text(errors="replace") for p in sorted(folder.glob("README*")) if p.is_file())
    return tuple(sorted({int(value) for statement in _STATEMENTS for value in statement.findall(text)}))


def class_names(folder: Path) -> dict[str, dict[str, str]]:
    """{stem: {label: name}} of ``classes.json``, empty without one. A list names the labels 1, 2, ... in turn.
    Raises ``DataError`` for another shape.

    >>> class_names(Path("/no/such/folder"))
    {}
    """
    file = folder / "classes.json"
    if not file.exists():
        return {}
    names = read_json(file)
    try:
        rows = {s: dict(enumerate(v, 1)) if isinstance(v, list) else v for s, v in names.items()}
        return {str(s): {str(k): str(v) for k, v in labels.items()} for s, labels in rows.items()}
    except AttributeError as error:
        raise DataError(f"{file}, which does not fit ({error})", '{"stem": {"1": "name"}}') from error
