"""What systems and trainers can't take of a session: names and paths that are too long, seeds that are too large."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bracket.domain import Picture, Problem
from bracket.session.job import Context

_NAME = 255
"""Bytes (Windows: letters) that a file's name may have nearly everywhere."""
_ADDED = 48
"""What trainers add to a picture's name for its caches, such as `_00000-0017_01024x0576_wan_te.safetensors`."""
_BELOW = 150
"""Letters of the longest path that a trainer makes in a session's folder, beside a picture's name."""
PATH = {"win32": 259, "darwin": 1_023}.get(sys.platform, 4_095)


def limit_problems(context: Context) -> list[Problem]:
    """What would fail on its way."""
    s, pictures = context.settings, (*context.dataset.train, *context.dataset.validation)
    found = s.seeds.problems(s.confirmation.pairs, s.dataset.verdict_prompts * s.confirmation.sample_seeds)
    if not context.unnamed:
        found += _folder_problems(context.folder.absolute(), pictures, PATH)
    long = [p.path for p in pictures if _length(p.path.name) + _ADDED > _NAME]
    if long and context.preset.trainer != "builtin":
        what = f"{len(long)} pictures have names too long for what the trainer names after them"
        found.append(Problem("error", what, f"Rename them: {_NAME - _ADDED} bytes are enough.", long[0]))
    return found


def _folder_problems(folder: Path, pictures: Sequence[Picture], most: int) -> list[Problem]:
    if _length(folder.name) > _NAME:
        return [Problem("error", f"the session's name has more than {_NAME} bytes", "Choose a shorter one.")]
    longest = max((_length(p.path.name) for p in pictures), default=0)
    deepest = _length(str(folder)) + _BELOW + longest
    if deepest <= most or (most == PATH and _long_paths()):
        return []
    what = f"paths in this session may have {deepest} letters, and this system takes {most}"
    remedy = "Choose a folder nearer the root (BRACKET_RUNS), a shorter name"
    windows = f"{remedy}, or switch long paths on: LongPathsEnabled in the registry."
    return [Problem("warning", what, windows if most == 259 else f"{remedy}.", folder)]


def _length(name: str) -> int:
    return len(name) if sys.platform == "win32" else len(os.fsencode(name))


def _long_paths() -> bool:
    """Whether this Windows takes paths of any length."""
    if sys.platform != "win32":
        return False
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False
