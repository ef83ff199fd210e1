"""Logs as trainers write them: bars, colours, floods, rubbish, and files that are cut or replaced."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bracket.runner.reading.tail import LogTail, clean, last_lines


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "launch.log"


def append(log: Path, data: bytes) -> None:
    with open(log, "ab") as file:
        file.write(data)


def test_reads_only_what_is_new(log: Path) -> None:
    tail = LogTail(log)
    assert tail.read_new() == ""
    append(log, b"one\ntwo\nthr")
    assert tail.read_new() == "one\ntwo\n"
    assert tail.current == "thr"
    append(log, b"ee\n")
    assert tail.read_new() == "three\n"
    assert tail.read_new() == ""


def test_keeps_the_last_state_of_a_bar(log: Path) -> None:
    tail = LogTail(log)
    append(log, b"\rsteps:  0%|\rsteps: 50%|#")
    assert tail.read_new() == ""
    assert tail.current == "steps: 50%|#"
    append(log, b"\rsteps: 100%|##\r        \r\nsaved\r\n")
    assert tail.read_new() == "steps: 100%|##\nsaved\n"
    assert tail.current == ""


def test_a_bar_that_never_ends_does_not_pile_up(log: Path) -> None:
    tail = LogTail(log)
    for step in range(0, 40_000, 10_000):
        append(log, b"".join(b"\rstep %05d" % number for number in range(step, step + 10_000)))
        tail.read_new()
    assert tail.current == "step 39999"
    assert len(tail._pending) < 200_000


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m and \x1b[38;5;12mblue\x1b[m", "red and blue"),
        ("\x1b]0;a title\x07text", "text"),
        ("\rSampling:   0%\x1b[A\rSampling: 100%\x1b[A", "Sampling: 100%"),
        ("still arriving \x1b[3", "still arriving "),
        ("bell\x07, null\x00, tab\tkept", "bell, null, tab\tkept"),
        ("", ""),
    ],
)
def test_cleans_a_line(line: str, shown: str) -> None:
    assert clean(line) == shown


def test_characters_cut_at_any_byte_arrive_whole(log: Path) -> None:
    text = "学習 100 % – fertig ✓\n"
    tail, got = LogTail(log), ""
    for byte in text.encode():
        append(log, bytes([byte]))
        got += tail.read_new()
    assert got == text


def test_invalid_bytes_are_marked_and_lose_nothing_else(log: Path) -> None:
    append(log, b"before \xff\xfe after\nnext\n")
    assert LogTail(log).read_new() == "before \ufffd\ufffd after\nnext\n"


def test_a_truncated_log_starts_over(log: Path) -> None:
    tail = LogTail(log)
    append(log, b"first run, a long line\n")
    tail.read_new()
    log.write_bytes(b"second\n")
    assert tail.read_new() == "second\n"


def test_a_replaced_log_starts_over(log: Path) -> None:
    tail = LogTail(log)
    append(log, b"first\n")
    tail.read_new()
    fresh = log.with_name("fresh")
    fresh.write_bytes(b"a new file, longer than the first\n")
    os.replace(fresh, log)
    assert tail.read_new() == "a new file, longer than the first\n"


def test_a_flood_is_cut_and_said_to_be(log: Path) -> None:
    lines = [f"line {number:06}\n" for number in range(100_000)]
    append(log, "".join(lines).encode())
    tail = LogTail(log, limit=1000)
    note, *shown = tail.read_new().splitlines(keepends=True)
    skipped = len("".join(lines)) - len("".join(shown))
    assert note == f"[{skipped:,} bytes skipped]\n"
    assert tail.skipped == skipped
    assert shown == lines[-len(shown) :]
    assert 980 < len("".join(shown)) <= 1000
    append(log, b"more\n")
    assert tail.read_new() == "more\n"


def test_a_flood_is_read_at_the_cost_of_its_end(log: Path) -> None:
    append(log, b"x" * 99 + b"\n")
    with open(log, "r+b") as file:
        file.truncate(1 << 30)  # a sparse gigabyte
    append(log, b"\nthe end\n")
    began = time.process_time()
    assert LogTail(log).read_new().endswith("\nthe end\n")
    assert last_lines(log, 1) == "the end"
    assert time.process_time() - began < 1


def test_last_lines(log: Path) -> None:
    assert last_lines(log, 3) == ""
    append(log, b"one\n\x1b[1mtwo\x1b[0m\n\rbar 1\rbar 2\nunfinished")
    assert last_lines(log, 2) == "bar 2\nunfinished"
    assert last_lines(log, 99) == "one\ntwo\nbar 2\nunfinished"
    assert last_lines(log, 99, limit=20) == "unfinished"
