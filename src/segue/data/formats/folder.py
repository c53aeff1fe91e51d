"""The plain folder: ``images/`` and ``masks/`` with equal stems; binary masks or label maps.

A label map is one object per id; 128 or 255 are void where a README beside them or ``ignore_mask`` says so. Class
names may stand in ``classes.json``: {stem: {label: name}}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from segue.core.errors import DataError
from segue.core.files import write_bytes
from segue.data.formats.pairs import PairedFolders, file_stem, no_split, paired
from segue.data.io.image import read_image, read_labels, write_image, write_labels
from segue.data.sample import Options, Sample, Target, labels_of_truth, truth_of_labels

VOID = 255
_WORDS = r"(?:void|ignored?|crowd)"
_STATEMENTS = (
    re.compile(rf"\b(128|255)\b\s*(?:\(|:|=|is|are|means)?\s*{_WORDS}\b", re.IGNORECASE),
    re.compile(rf"\b{_WORDS}\b[^\n.;,\d]{{0,12}}\b(128|255)\b", re.IGNORECASE),
)


class Folder(PairedFolders):
    """Images and masks side by side.

    >>> Folder().name
    'folder'
    """

    def __init__(self) -> None:
        super().__init__("folder", "images", "masks")

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        no_split(options, self.name)
        ignore_mask, names = self.ignore_mask(folder, options), class_names(folder)
        return [
            Sample(
                image.stem, partial(read_image, image), partial(_truth, mask, ignore_mask, names.get(image.stem, {}))
            )
            for image, mask in paired(folder / self.images, folder / self.masks)
        ]

    def ignore_mask(self, folder: Path, options: Options) -> tuple[int, ...]:
        return void_in_readme(folder) if options.ignore_values is None else options.ignore_values

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        names: dict[str, dict[str, str]] = {}
        has_void = False
        for sample in samples:
            image, target = sample.read()
            stem = file_stem(sample)
            write_image(folder / self.images / f"{stem}.png", image)
            write_labels(folder / self.masks / f"{stem}.png", labels_of_truth(target, image.shape[:2], sample.id))
            has_void |= target.ignore_mask is not None
            named = {str(k): i.name for k, i in enumerate(target.instances, start=1) if i.name}
            if named:
                names[stem] = named
        if names:
            write_bytes(folder / "classes.json", json.dumps(names, indent=1).encode())
        if has_void:
            write_bytes(folder / "README.txt", b"masks: 0 = background, 1..n = objects, 255 = void\n")


def void_in_readme(folder: Path) -> tuple[int, ...]:
    """Which of 128 and 255 a README beside the masks calls void, ignored or crowd.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "README.txt").write_text("0 = background, 1..n, 255 = ignore_mask")
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
    try:
        names = json.loads(file.read_text())
        rows = {s: dict(enumerate(v, 1)) if isinstance(v, list) else v for s, v in names.items()}
        return {str(s): {str(k): str(v) for k, v in labels.items()} for s, labels in rows.items()}
    except (ValueError, AttributeError) as error:
        raise DataError(f"{file}, which does not fit ({error})", '{"stem": {"1": "name"}}') from error


def _truth(mask: Path, ignore_mask: tuple[int, ...], names: dict[str, str]) -> Target:
    return truth_of_labels(read_labels(mask), mask.stem, ignore_mask, names)


FORMAT = Folder()
