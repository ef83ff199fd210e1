"""Whether a checkout knows the flags it would be given, read from its source without running it.

A checkout of another version may lack a flag; argparse would say so only after a minute of imports, once per trial.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from bracket.homes.registry import Home

_FLAG = re.compile(rb"""["'](--[A-Za-z][\w-]*)["']""")
_IMPORT = re.compile(rb"^[^\S\n]*(?:import|from)\s+(\w+)", re.MULTILINE)
_WORD = re.compile(rb"""["']([A-Za-z]\w*)["']""")
_NEGATED = b"BooleanOptionalAction"
_LIBRARIES = {
    "sd_scripts": ("library", "networks"),
    "musubi": ("src/musubi_tuner",),
    "ai_toolkit": ("toolkit", "extensions_built_in", "jobs"),
}


def flags_of(home: Home, script: str | Path) -> frozenset[str]:
    """Every flag that a script, the scripts it builds on, or its trainer's library names.

    It is more than the script's own parser takes (a flag may be another script's), never less: what is not in it the
    script can't know. About 0.1 s the first time, then 0.01 s for as long as the files stay as they are.

    Args:
        script: relative to the checkout, or absolute.

    Returns:
        Names with their dashes; empty when the script is not there.
    """
    return frozenset().union(*(_read(str(file), *_stamp(file))[0] for file in _files(home, script)))


def words_of(home: Home, script: str | Path) -> frozenset[str]:
    """Every plain word in quotes that these name: keys of dataset files and prompts are among them."""
    return frozenset().union(*(_read(str(file), *_stamp(file))[2] for file in _files(home, script)))


def digest_of(home: Home, script: str | Path) -> str:
    """One word for the files that decide what a script takes, and for the Python it runs in."""
    stamps = [(str(file), *_stamp(file)) for file in (home.python, *_files(home, script))]
    return hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]


def _files(home: Home, script: str | Path) -> list[Path]:
    path = home.folder / script
    if not path.is_file():
        return []
    libraries = [home.folder / folder for folder in _LIBRARIES[home.trainer]]
    return [*_with_siblings(path), *(file for library in libraries for file in _python_files(library))]


def missing_flags(home: Home, script: str | Path, argv: Sequence[str]) -> list[str]:
    """What a command asks for that the checkout does not have: the script itself, or flags of it.

    Args:
        argv: what the script is given, or the whole command, of which only what follows the script counts.
    """
    if not (home.folder / script).is_file():
        return [str(script)]
    name = Path(script).name
    places = [i for i, word in enumerate(argv) if Path(word).name == name]
    asked = [word.partition("=")[0] for word in argv[places[0] + 1 if places else 0 :] if word.startswith("--")]
    known = flags_of(home, script)
    return sorted({flag for flag in asked if len(flag) > 2} - known)


_VALIDATORS = {
    "sd_scripts": "library/config_util.py",
    "musubi": "src/musubi_tuner/dataset/config_utils.py",
}
"""Where a trainer's own validator of dataset files is."""


def dataset_keys(home: Home) -> dict[str, str]:
    """The keys a checkout's validator of dataset files takes, and the table each belongs to: "dataset" or "subset".

    They are those of its `…_SCHEMA` tables. Empty when the validator is not there or can't be understood.
    """
    path = home.folder / _VALIDATORS.get(home.trainer, "")
    return _keys_in(str(path), *_stamp(path)) if path.is_file() else {}


@lru_cache(maxsize=16)
def _keys_in(file: str, _changed: int, _size: int) -> dict[str, str]:
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(keys=keys)) if name.endswith("_SCHEMA"):
                if "ARGPARSE" not in name:
                    level = "subset" if "SUBSET" in name else "dataset"
                    found |= dict.fromkeys(filter(None, map(_named_key, keys)), level)
    return found


def _named_key(node: ast.expr | None) -> str:
    match node:
        case ast.Constant(value=str(key)) | ast.Call(args=[ast.Constant(value=str(key)), *_]):
            return key
    return ""


def _with_siblings(script: Path) -> list[Path]:
    """A script and those beside it that it imports, theirs too: sd-scripts' scripts extend one another."""
    found: dict[Path, None] = {}
    queue = [script]
    while queue:
        path = queue.pop()
        found[path] = None
        siblings = (script.with_name(f"{name}.py") for name in _read(str(path), *_stamp(path))[1])
        queue += [s for s in siblings if s not in found and s.is_file()]
    return list(found)


def _python_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith((".", "__"))]
        yield from (Path(parent, name) for name in names if name.endswith(".py"))


def _stamp(file: Path) -> tuple[int, int]:
    try:
        stat = file.stat()
    except OSError:  # a dangling link
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=8192)
def _read(file: str, _changed: int, size: int) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The flags a file names, the modules it imports, and its other words in quotes."""
    try:
        text = Path(file).read_bytes() if size else b""
    except OSError:
        return frozenset(), frozenset(), frozenset()
    flags = {match.decode() for match in _FLAG.findall(text)}
    if _NEGATED in text:
        flags |= {f"--no-{flag[2:]}" for flag in flags}
    imported, words = ({match.decode() for match in pattern.findall(text)} for pattern in (_IMPORT, _WORD))
    return frozenset(flags), frozenset(imported), frozenset(words)
