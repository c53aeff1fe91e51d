"""Where a study's data sets and weights are: folders that hold them, or one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from segue.core.errors import MissingFile
from segue.core.files import cache_folder
from segue.jobs.studies.table import Row
from segue.models.pretrained import RANDOM
from segue.models.registry import MODELS


class Places:
    """What can be found where ``texts`` say: "FOLDER" holds things by their names, "NAME=PATH" is one thing.

    Names are compared without case, spaces and signs. Raises ``MissingFile`` for a path that is not there.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "grab-cut").mkdir()
    ...     Places([folder]).find(["GrabCut"]).name
    'grab-cut'
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._named: dict[str, Path] = {}
        self._folders: list[Path] = []
        for text in texts:
            name, equals, path = text.partition("=")
            place = Path(path if equals else text)
            if not place.exists():
                raise MissingFile(f"{place}, which is not there", "a folder, or NAME=PATH", "check the spelling")
            if equals:
                self._named[plain(name)] = place
            else:
                self._folders.append(place)

    def find(self, names: Iterable[str], more: Sequence[Path] = ()) -> Path | None:
        """The first thing that is called one of ``names``; in the folders ``more`` too."""
        wanted = [plain(name) for name in names]
        for name in wanted:
            if name in self._named:
                return self._named[name]
        for folder in (*self._folders, *more):
            inside = {plain(path.name): path for path in sorted(folder.iterdir())} if folder.is_dir() else {}
            for name in wanted:
                if name in inside:
                    return inside[name]
        return None


def plain(name: str) -> str:
    """A name as names are compared.

    >>> plain("Pascal VOC")
    'pascalvoc'
    """
    return "".join(letter for letter in name.lower() if letter.isalnum())


def find_data(places: Places, name: str) -> Path | None:
    """The folder of data set ``name``; None for the name "". Raises ``MissingFile`` where it is nowhere."""
    if not name:
        return None
    return _found(places.find([name]), f"data {name}", f"--data {name.replace(' ', '')}=FOLDER")


def find_weights(places: Places, row: Row, weightless: bool) -> Path | str | None:
    """The weights of ``row``: a file, None where the model brings its own, "random" where it does not and they don't
    matter."""
    if weightless:
        return RANDOM if row.model in MODELS and not MODELS[row.model].shipped else None
    if not row.weights:
        return None
    found = places.find([row.weights, Path(row.weights).stem, row.label], [cache_folder("weights")])
    return _found(found, f"weights {row.weights}", f"--weights {row.weights}=FILE")


def find_adapter(places: Places, row: Row) -> Path | None:
    """The folder of the row's adapter."""
    if not row.adapter:
        return None
    return _found(places.find([row.adapter, row.label]), f"adapter {row.adapter}", f"--weights {row.adapter}=FOLDER")


def _found(place: Path | None, what: str, fix: str) -> Path:
    if place is None:
        raise MissingFile(f"no {what}", "", fix)
    return place
