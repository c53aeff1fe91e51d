"""Damaged files: whatever is wrong in one, it is read, named as lost, or refused; never a traceback or a hang."""

import json
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import SegueError
from segue.data.formats.registry import FORMATS, format_named
from segue.data.record import Annotation, Sample
from segue.jobs.convert_data import convert_data

SIZE = (24, 32)
TEXT = (".json", ".xml", ".txt", ".yaml")
VALUES = (None, -1, 0, 1, 1e9, 2**40, "", "x", "7", [], {}, [1], True, float("nan"), "\u0000", "../../a.png")


def scenes():
    """Three images of two objects, one of which has a hole and one two parts."""
    for k, name in enumerate(("one", "two", "three")):
        ring, block = np.zeros((2, *SIZE), bool)
        ring[2:12, 2 + k : 14 + k], ring[5:8, 6:9], block[14:22, 16:30], block[2:5, 24:28] = True, False, True, True
        pixels = np.random.default_rng(k).integers(0, 256, (*SIZE, 3), np.uint8)
        objects = [Annotation.from_mask(ring, "cat", f"{name}#1"), Annotation.from_mask(block, "dog", f"{name}#2")]
        yield Sample.from_arrays(name, pixels, objects)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A data set in every format that other tools write, and its number of objects."""
    folders = {}
    for name in FORMATS:
        if FORMATS[name].exchange:
            folders[name] = tmp_path_factory.mktemp(name)
            format_named(name).write(folders[name], scenes())
    return folders


def mutated(content, chance):
    """A JSON value with one change somewhere: a field removed, exchanged with another, or replaced."""
    places = list(containers(content))
    if not places:
        return chance.choice(VALUES)
    holder = chance.choice(places)
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key, other, kind = chance.choice(keys), chance.choice(keys), chance.randrange(4)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        holder[key], holder[other] = holder[other], holder[key]
    elif kind == 2 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = chance.choice(VALUES)
    return content


def containers(value):
    """Every object and list in a JSON value that holds something."""
    if isinstance(value, dict | list) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


def damage(file: Path, chance: random.Random) -> str:
    """Change a file; what was done."""
    data = bytearray(file.read_bytes())
    kinds = ["flip", "cut", "drop", "insert", "number"] + ["json"] * 4 * (file.suffix == ".json")
    if file.parent.name == "train":
        kinds.remove("cut")  # YOLO's torn list of numbers is a list
    kind = chance.choice(kinds)
    at = chance.randrange(max(1, len(data)))
    if kind == "json":
        data = bytearray(json.dumps(mutated(json.loads(data), chance)).encode())
    elif kind == "number" and file.suffix in TEXT:
        digits = [k for k, byte in enumerate(data) if 48 <= byte <= 57]
        for k in chance.sample(digits, min(3, len(digits))):
            data[k] = chance.randrange(48, 58)
    elif kind == "cut":
        del data[at:]
    elif kind == "drop":
        del data[at : at + chance.randrange(1, 20)]
    elif kind == "insert":
        data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 5)))
    else:
        for _ in range(chance.randrange(1, 4)):
            if data:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(bytes(data))
    return f"{kind} in {file.name} at {at}"


def trouble(source: Path, name: str, seed: int, folder: Path) -> str:
    """What is wrong with how a damaged copy of ``source`` is taken; '' if nothing."""
    chance = random.Random(seed)
    copy = folder / "copy"
    shutil.copytree(source, copy)
    files = sorted(p for p in copy.rglob("*") if p.is_file())
    annotations = [p for p in files if p.parent.name not in ("images", "JPEGImages")]
    what = damage(chance.choice(annotations if chance.random() < 0.85 else files), chance)
    to = chance.choice(list(FORMATS)[:8])
    began = time.perf_counter()
    try:
        done = convert_data(source=copy, to=to, output=folder / "out", format=chance.choice(["auto", name]))
    except SegueError as error:
        refused = str(error)
        return f"{what}: an error of {len(refused)} letters" if "\n" in refused.strip() else ""
    except Exception as error:
        return f"{what}, to {to}: {type(error).__name__}: {error}"
    finally:
        shutil.rmtree(copy)
        shutil.rmtree(folder / "out", ignore_errors=True)
        if time.perf_counter() - began > 10:
            return f"{what}, to {to}: {time.perf_counter() - began:.0f} s"  # noqa: B012
    silent = done.objects < 6 and not done.losses and not done.failed
    return f"{what}, to {to}: {done.objects} objects and no word of it" if silent else ""


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].exchange])
def test_damaged_files_are_read_named_or_refused(name, originals, tmp_path):
    wrong = {seed: trouble(originals[name], name, seed, tmp_path) for seed in range(12)}
    assert {seed: text for seed, text in wrong.items() if text} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].exchange])
def test_a_thousand_damaged_files_are_read_named_or_refused(name, originals, tmp_path):
    wrong = {seed: trouble(originals[name], name, seed, tmp_path) for seed in range(100, 225)}
    assert {seed: text for seed, text in wrong.items() if text} == {}
