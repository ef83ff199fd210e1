"""Files that people bring, or that somebody made to do harm: read within bounds, or refused in a sentence."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bracket.reading import MOST_DEPTH, Unreadable, bounded, decoded, from_json, from_toml, from_yaml, read_text

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{here}: &{here} [{', '.join([f'*{before}'] * 9)}]\n" for before, here in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]))
"""PyYAML does not bring back every control character that it writes."""
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (from_json, "[" * 200_000),
        (from_json, "[" * 150 + "]" * 150),
        (from_json, '{"a":' * 100_000 + "1" + "}" * 100_000),
        (from_json, "{"),
        (from_json, "1" * 5_000),
        (from_yaml, "[" * 50_000),
        (from_yaml, "".join(" " * i + "a:\n" for i in range(2_000))),
        (from_yaml, "- " * 20_000 + "a"),
        (from_yaml, LAUGHS),
        (from_yaml, "&a [*a]"),
        (from_yaml, "a: !!python/object/apply:os.system [ls]"),
        (from_yaml, "a: 2026-13-45"),
        (from_yaml, "a: *nobody"),
        (from_yaml, "a: \x00"),
        (from_yaml, "? [a, b]\n: {c: 1}\n? {d: 1}\n: 2"),
        (from_toml, ".".join("a" * 50_000) + " = 1"),
        (from_toml, "[" + ".".join("a" * 50_000) + "]"),
        (from_toml, "a = " + "[" * 100_000),
        (from_toml, "a = 1\na = 2"),
        (from_toml, "x = 1\n" * 400_000),
    ],
    ids=lambda given: given.__name__ if callable(given) else given[:12].encode("unicode_escape").decode(),
)
def test_what_would_hang_or_break_a_parser_is_refused_at_once(read: Callable[[str], Any], text: str) -> None:
    began = time.process_time()
    with pytest.raises(Unreadable, match=r"^it "):
        read(text)
    assert time.process_time() - began < 5


@given(PLAIN)
def test_plain_data_is_read_as_it_was_written(value: Any) -> None:
    assert from_json(json.dumps(value)) == value
    assert from_yaml(yaml.safe_dump(value, allow_unicode=True)) == value


@given(st.text())
def test_any_text_is_data_or_a_sentence(text: str) -> None:
    for read in (from_json, from_yaml, from_toml):
        try:
            read(text)
        except Unreadable as error:
            assert str(error).startswith("it ")


@given(st.binary())
def test_any_bytes_are_text_or_a_sentence(data: bytes) -> None:
    try:
        decoded(data)
    except Unreadable as error:
        assert "not UTF-8 text" in str(error)


def test_depth_is_counted_exactly() -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    assert bounded(nested(MOST_DEPTH - 1)) is not None
    with pytest.raises(Unreadable, match="100 levels"):
        bounded(nested(MOST_DEPTH))


def test_text_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text("a café", encoding=encoding)
        assert read_text(path) == "a café"
    path.write_bytes(b"one\ntwo\na caf\xe9")
    with pytest.raises(Unreadable, match="line 3"):
        read_text(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes or devices among files there")
def test_only_regular_files_of_a_sane_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 2_000)
    (tmp_path / "link").symlink_to("/dev/zero")
    for name, said in {"pipe": "pipe", "link": "device", ".": "folder", "large": "larger"}.items():
        with pytest.raises(Unreadable, match=said):
            read_text(tmp_path / name, most=1_000)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        read_text(tmp_path / "loop")
