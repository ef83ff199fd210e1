"""Writing the small part of TOML that dataset files need: tables, arrays of tables and plain values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(document: Mapping[str, object]) -> str:
    """A document as TOML; a list of mappings becomes an array of tables.

    Raises:
        ValueError: a value TOML can't say: None, NaN, a text that is no Unicode (a file name in another encoding).
    """
    lines: list[str] = []
    _table(lines, document, "")
    return "\n".join(lines).strip() + "\n"


def _table(lines: list[str], table: Mapping[str, object], name: str) -> None:
    deeper = {k: v for k, v in table.items() if isinstance(v, Mapping) or _is_tables(v)}
    lines += [f"{_key(k)} = {_value(v)}" for k, v in table.items() if k not in deeper]
    for key, value in deeper.items():
        path = f"{name}.{_key(key)}" if name else _key(key)
        if isinstance(value, Mapping):
            lines += ["", f"[{path}]"]
            _table(lines, value, path)
        elif isinstance(value, list):
            for item in value:
                lines += ["", f"[[{path}]]"]
                _table(lines, item, path)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise ValueError(f"{value!r} can't be written to a TOML file")


def _text(text: str) -> str:
    """A basic string. JSON's escapes are TOML's, only DEL must be escaped too."""
    text.encode("utf-8")  # a lone surrogate is a ValueError
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
