"""Finds a Python that a trainer runs in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bracket.errors import TrainerError
from bracket.homes.look import interpreter
from bracket.homes.upstream import Upstream

_BEST = 11
"""Minor version tried first after the Python that runs bracket: the one the adapters were checked with."""


def fitting_python(upstream: Upstream, asked: Path | None = None) -> Path:
    """The interpreter a trainer's venv is made with.

    Args:
        asked: the one to take, None to look for one.

    Raises:
        TrainerError: there is none, or the one asked for is of another version.
    """
    first, end = upstream.pythons
    needs = f"{upstream.title} needs Python 3.{first} to 3.{end - 1}"
    remedy = f"Install Python 3.{_BEST} (python.org), or name one that you have with --python."
    if asked is not None:
        found = interpreter(asked)
        if found is None:
            raise TrainerError("this Python can't be started", path=asked, remedy=remedy)
        if not _fits(found.version, upstream):
            raise TrainerError(f"{needs}, and this is {_dotted(found.version)}", path=asked, remedy=remedy)
        return _able(asked)
    for candidate in _candidates(upstream):
        found = interpreter(candidate)
        if found is not None and _fits(found.version, upstream):
            return _able(candidate)
    mine = _dotted(sys.version_info[:3])
    raise TrainerError(f"{needs}, and there is none (bracket runs in {mine})", remedy=remedy)


def _able(python: Path) -> Path:
    """Debian ships the module that makes venvs apart: raises TrainerError where it is missing."""
    if subprocess.run([str(python), "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode:
        found = interpreter(python)
        version = _dotted(found.version[:2]) if found else "3"
        remedy = f"On Debian or Ubuntu, `sudo apt install python{version}-venv` mends this."
        raise TrainerError("this Python can't make a venv", path=python, remedy=remedy)
    return python


def _candidates(upstream: Upstream) -> Iterator[Path]:
    yield Path(sys.executable)
    versions = sorted(range(*upstream.pythons), key=lambda minor: (minor != _BEST, -minor))
    for minor in versions:
        found = shutil.which(f"python3.{minor}")
        if found:
            yield Path(found)
        if os.name == "nt":
            base = os.environ.get("LOCALAPPDATA", "")
            yield Path(base) / "Programs" / "Python" / f"Python3{minor}" / "python.exe"


def _fits(version: tuple[int, ...], upstream: Upstream) -> bool:
    first, end = upstream.pythons
    return version[0] == 3 and first <= version[1] < end


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
