"""Files that are written whole, listed in natural order and read in any Unicode encoding."""

import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.core.errors import DataError, MissingFile, StorageError
from segue.core.files import (
    cache_folder,
    decode_text,
    natural_sort_key,
    natural_sorted,
    read_json,
    read_text,
    replacing,
    write_bytes,
    write_text,
    writing,
)


def test_what_is_written_has_ordinary_permissions(tmp_path):
    write_bytes(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "old")

    def interrupted():
        with writing(tmp_path / "a.txt") as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_errors_of_ours_pass_through_as_they_are(tmp_path):
    with pytest.raises(MissingFile), replacing(tmp_path / "a.txt"):
        raise MissingFile("a source")


@contextmanager
def small_disk():
    """Files of at most 4096 bytes, as on a full disk. Only inside a test: the log of pytest is a file too."""
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("pieces", [[10_000], [100] * 100, [4096, 1]])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, pieces):

    def grow():
        with small_disk(), writing(tmp_path / "out" / "a.json") as file:
            for length in pieces:
                file.write(b"x" * length)

    with pytest.raises(StorageError, match=r"no way to write .*a\.json: File too large"):
        grow()
    assert os.listdir(tmp_path / "out") == []


def test_whoever_fills_the_disk_is_told_the_file(tmp_path):
    stream = writing(tmp_path / "a.json")
    file = stream.__enter__()
    with small_disk():
        file.write(b"x" * 5000)
        with pytest.raises(StorageError, match=r"a\.json: File too large"):
            file.flush()
        stream.__exit__(KeyError, KeyError(), None)
    assert os.listdir(tmp_path) == []


def test_a_name_as_long_as_the_file_system_takes_is_written(tmp_path):
    write_bytes(tmp_path / ("a" * 255), b"x")
    with pytest.raises(StorageError, match="shorter name"):
        write_bytes(tmp_path / ("a" * 256), b"x")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file/inside"):
        write_bytes(tmp_path / "file" / "inside", b"x")


def test_numbers_in_names_count_by_value():
    names = ["f10", "f9", "F1", "f1", "g/2", "g/11", "f007", "f7", "f1.5", "f1.10"]
    assert sorted(names, key=natural_sort_key) == [
        "F1",
        "f1",
        "f1.5",
        "f1.10",
        "f007",
        "f7",
        "f9",
        "f10",
        "g/2",
        "g/11",
    ]
    assert natural_sorted([Path("b/10"), Path("b/9")]) == [Path("b/9"), Path("b/10")]


@given(st.lists(st.text(), unique=True))
def test_the_natural_order_is_one_whatever_order_came(names):
    turned = names[::-1]
    assert sorted(names, key=natural_sort_key) == sorted(turned, key=natural_sort_key)


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_the_natural_order_of_numbers_is_theirs(a, b):
    assert (natural_sort_key(f"x{a}.png") < natural_sort_key(f"x{b}.png")) == (a < b)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_is_read_in_every_unicode_encoding(encoding, text):
    assert decode_text(text.encode(encoding)) == text.removeprefix("\ufeff" if encoding == "utf-8" else "")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_recognised_where_it_begins_in_ascii(encoding):
    assert decode_text('{"é": 1}'.encode(encoding)) == '{"é": 1}'


def test_text_that_is_no_unicode_is_refused_by_name(tmp_path):
    (tmp_path / "a.txt").write_bytes("Straße".encode("cp1252"))
    with pytest.raises(DataError, match=r"a\.txt, whose byte 4 is no UTF-8"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize("content", ["", "{", '{"a": 1} x', "[" * 200_000])
def test_damaged_json_is_refused_by_name(tmp_path, content):
    write_text(tmp_path / "a.json", content)
    with pytest.raises(DataError, match=r"a\.json, which is no JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("home", [None, "/proc/none"])
def test_without_a_home_that_can_be_written_caches_go_to_temporary_files(tmp_path, monkeypatch, home):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path.replace("~", home or "~"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder("evaluate").is_relative_to(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "given"))
    assert cache_folder("evaluate") == tmp_path / "given" / "segue" / "evaluate"
