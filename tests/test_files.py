from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bracket import files
from bracket.errors import SettingsError, StorageError
from bracket.files import path_text


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_writes_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.json"
    files.write_json(path, {"phase": "search", "name": "größe"})
    files.write_json(path, {"phase": "finals"})
    assert files.read_json(path) == {"phase": "finals"}
    assert names(path.parent) == ["state.json"]


def test_text_keeps_its_line_ends(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "one\ntwo\r\n")
    assert (tmp_path / "a.txt").read_bytes() == b"one\ntwo\r\n"


def test_an_error_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    files.write_bytes(path, b"old")
    with pytest.raises(RuntimeError), files.written_whole(path) as part:
        assert part.suffix == ".bin"
        part.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_what_json_has_no_word_for_is_null(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"loss": float("nan"), "deep": [1.5, (float("inf"), {"a": -float("inf")})]})
    assert files.read_json(path) == {"loss": None, "deep": [1.5, [None, {"a": None}]]}
    files.append_json(tmp_path / "a.jsonl", [float("nan"), 2])
    assert files.read_json_lines(tmp_path / "a.jsonl") == [[None, 2]]


def test_a_long_name_that_is_no_ascii_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / f"{'猫' * 80}.json"  # 245 bytes
    files.write_json(path, 1)
    assert names(tmp_path) == [path.name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_one_sentence_with_path_and_remedy() -> None:
    with pytest.raises(StorageError, match=r"The disk is full \(/dev/full\)\. Free some space"):
        files.append_line(Path("/dev/full"), "x")


def test_a_full_disk_takes_the_torn_line_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    files.append_json(path, {"n": 1})
    whole = path.read_bytes()

    def room_for_three_bytes(self: Path, mode: str, buffering: int) -> object:
        file = open(self, mode, buffering)  # noqa: SIM115  (append_line closes it)

        class Full:
            def __enter__(self) -> Full:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(self, data: bytes) -> int:
                return file.write(data[:3])

            def __getattr__(self, name: str) -> object:
                return getattr(file, name)

        return Full()

    monkeypatch.setattr(Path, "open", room_for_three_bytes)
    with pytest.raises(StorageError, match="disk is full"):
        files.append_json(path, {"n": 2})
    monkeypatch.undo()
    assert path.read_bytes() == whole


def test_unknown_os_errors_are_told_too(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Input/output error"), files.storage_errors(tmp_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(StorageError, match=r"a file, not a folder|can't be read or written"):
        files.write_text(tmp_path / "a" / "b.txt", "x")


def test_damaged_json_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"phase": "sea')
    with pytest.raises(StorageError, match=r"damaged.*state\.json"):
        files.read_json(path)
    with pytest.raises(StorageError, match="does not exist"):
        files.read_json(tmp_path / "none.json")


def test_a_line_torn_by_a_kill_spoils_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "index.jsonl"
    assert files.read_json_lines(path) == []
    files.append_json(path, {"n": 1})
    with path.open("a") as file:
        file.write('{"n": 2, "te')
    assert files.read_json_lines(path) == [{"n": 1}]
    files.append_json(path, {"n": 3})
    assert files.read_json_lines(path) == [{"n": 1}, {"n": 3}]


def test_a_line_break_within_a_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line break"):
        files.append_line(tmp_path / "a", "x\ny")


def write_for_ever(path: Path) -> None:
    n = 0
    while True:
        n += 1
        files.write_json(path, {"n": n, "padding": "x" * 100_000})


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process the POSIX way")
def test_killed_at_any_moment_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for delay in (0.0, 0.003, 0.011, 0.02):
        process = multiprocessing.get_context("fork").Process(target=write_for_ever, args=(path,))
        process.start()
        while not path.exists():
            time.sleep(0.001)
        time.sleep(delay)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert files.read_json(path)["n"] >= 1


@pytest.mark.skipif(os.name == "nt", reason="paths of other systems")
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("HERE/a b", "HERE/a b"),
        ("  HERE/a b \t\n", "HERE/a b"),
        ('"HERE/a b"', "HERE/a b"),
        ("'HERE/a b'", "HERE/a b"),
        (" \u201cHERE/a b\u201d ", "HERE/a b"),
        ("\u202aHERE/a b", "HERE/a b"),
        ("file://HERE/a%20b", "HERE/a b"),
        ("file://localhostHERE/a%20b", "HERE/a b"),
        ("HERE/a\\ b", "HERE/a b"),
        ("~/a b", "HERE/a b"),
        ("HERE/'quoted'", "HERE/'quoted'"),
        ("black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-dev"),
        ("https://huggingface.co/a", "https://huggingface.co/a"),
        ("", ""),
    ],
)
def test_a_path_is_what_the_person_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, meant: str
) -> None:
    for name in ("a b", "'quoted'"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path_text(typed.replace("HERE", str(tmp_path))) == meant.replace("HERE", str(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="paths of other systems")
@pytest.mark.parametrize("typed", [r"C:\Users\me", "D:/pictures", r'"E:\a b"', r"\\server\share"])
def test_a_path_of_windows_is_explained(typed: str) -> None:
    with pytest.raises(SettingsError, match=r"path of Windows.*/mnt/c/"):
        path_text(typed)


@given(st.text(max_size=80))
def test_any_text_is_a_path_or_one_sentence(text: str) -> None:
    try:
        found = path_text(text)
    except SettingsError:
        return
    assert "\0" not in found
