"""Typed attributes of objects and tags of images: what a project defines, and how files hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlmodel import Session

from segue.annotator import schemas_actions
from segue.annotator.schemas import LONGEST_NAME, Attribute, Value
from segue.annotator.store import ChangeSet, setting
from segue.annotator.tables import Setting
from segue.core.errors import InputError, MissingFile

KEY = "attributes"  # of the setting


def definitions(db: Session) -> list[Attribute]:
    """The attributes that the project defines."""
    return [Attribute(**one) for one in setting(db, KEY, [])]


def check_definitions(wanted: Sequence[Attribute]) -> None:
    """Raise ``InputError`` for a name that is defined twice, and for a choice without options."""
    names = [(one.of, one.name) for one in wanted]
    for one in wanted:
        if names.count((one.of, one.name)) > 1:
            raise InputError(f"the {one.of}'s attribute '{one.name}' twice", "every name once")
        if one.type == "choice" and not one.options:
            raise InputError(f"the attribute '{one.name}' without options", "what can be chosen, separated by commas")


def describe(changes: ChangeSet, action: schemas_actions.Describe, spent: float) -> None:
    """Set attributes of an object, or tags of the image; null takes one away."""
    assert changes.image is not None
    of = "image" if action.object is None else "object"
    known = {one.name: one for one in definitions(changes.db) if one.of == of}
    given: dict[str, Value | None] = {}
    for name, value in action.values.items():
        if value is not None and name not in known:
            raise InputError(f"the attribute '{name}'", "one that the project defines", "define it first")
        given[name] = None if value is None else known[name].checked(value)
    if action.object is None:
        changes.change(changes.image, tags=_merged(changes.image.tags, given))
        return
    target = changes.object_row(action.object)
    if target is None:
        raise MissingFile(f"object {action.object}", "an object of this image", "reload the page")
    changes.change(target, attributes=_merged(target.attributes, given), seconds=target.seconds + spent)


def _merged(before: Mapping[str, Value], given: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in {**before, **given}.items() if value is not None}


def to_extra(values: Mapping[str, Value]) -> dict[str, Any]:
    """Values as every format that can hold them takes them from a record's ``extra``.

    >>> to_extra({"ripe": True})["cvat"]
    {'attributes': {'ripe': 'true'}}
    """
    if not values:
        return {}
    flags = {name: value for name, value in values.items() if isinstance(value, bool)}
    rest = {name: value for name, value in values.items() if name not in flags}
    plain = {
        name: json.dumps(v) if isinstance(v, bool) else f"{v:g}" if isinstance(v, float) else v
        for name, v in values.items()
    }
    return {
        "coco": {"attributes": dict(values)},
        "cvat": {"attributes": plain},
        "label_studio": {"meta": {"attributes": dict(values)}},
        "labelme": {"shapes": [{"flags": flags, "attributes": rest}], "rle": None},
    }


def image_extra(tags: Mapping[str, Value]) -> dict[str, Any]:
    """The same for an image's tags; CVAT holds none."""
    if not tags:
        return {}
    flags = {name: value for name, value in tags.items() if isinstance(value, bool)}
    return {
        "coco": {"attributes": dict(tags)},
        "label_studio": {"data": {"attributes": dict(tags)}},
        "labelme": {"keys": {"flags": flags, "attributes": {k: v for k, v in tags.items() if k not in flags}}},
    }


def from_extra(extra: Mapping[str, Any]) -> dict[str, Value]:
    """The values that a record's ``extra`` holds, of an object or an image of any format."""
    found: dict[str, Any] = {}
    shape = next(iter(extra.get("labelme", {}).get("shapes", ())), extra.get("labelme", {}).get("keys", {}))
    studio = extra.get("label_studio", {})
    for holder in (
        extra.get("coco", {}).get("attributes"),
        extra.get("cvat", {}).get("attributes"),
        shape.get("flags"),
        shape.get("attributes"),
        _inside(studio.get("meta")),
        _inside(studio.get("data")),
    ):
        if isinstance(holder, Mapping):
            found |= holder
    names = {name: "".join(c for c in str(name) if c.isprintable()).strip()[:LONGEST_NAME] for name in found}
    return {names[name]: value for name, value in found.items() if names[name] and isinstance(value, str | int | float)}


def take_in(changes: ChangeSet, of: Literal["object", "image"], values: Mapping[str, Value]) -> dict[str, Value]:
    """Values from a file: attributes that the project lacks are defined by it, values of another type left out."""
    known = definitions(changes.db)
    fresh, kept = [], {}
    for name, value in values.items():
        one = next((one for one in known if (one.of, one.name) == (of, name)), None)
        if one is None:
            kind: Any = "flag" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
            one = Attribute(name=name, type=kind, of=of)
            fresh.append(one)
        try:
            kept[name] = one.checked(value)
        except InputError:
            continue
    if fresh:
        define(changes, [*known, *fresh])
    return kept


def define(changes: ChangeSet, wanted: Sequence[Attribute]) -> None:
    """Make these the project's attributes."""
    check_definitions(wanted)
    row = changes.db.get(Setting, KEY) or Setting(key=KEY, value=[])
    changes.db.add(row)
    changes.change(row, value=[one.model_dump() for one in wanted])


def _inside(holder: Any) -> Any:
    return holder.get("attributes") if isinstance(holder, Mapping) else None
