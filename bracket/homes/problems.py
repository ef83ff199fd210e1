"""What keeps a trainer from running on this machine, told in milliseconds and before any GPU time is spent."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from bracket.domain import Problem
from bracket.errors import BracketError, TrainerError
from bracket.files import read_json
from bracket.homes.look import Interpreter, commit_of, distributions, interpreter, torch_build
from bracket.homes.registry import Home, check_checkout, find_home
from bracket.homes.requirements import requirements
from bracket.homes.upstream import UPSTREAMS

INSTALL_RECORD = ".bracket-install.json"
"""In a checkout that bracket installs: what is done, and whether all of it is."""
_SHORT = 7
_FEW = 4
_LEVELS = ("error", "warning", "info")


def checked_home(trainer: str) -> tuple[Home | None, list[Problem]]:
    """Where a trainer is and what is wrong with it; no home where nothing can be started from there."""
    try:
        home = find_home(trainer)
    except TrainerError as error:
        return None, [Problem("error", error.message, error.remedy, action=f"install {trainer}")]
    found = home_problems(home)
    return (None if any(p.level == "error" for p in found) else home), found


def home_problems(home: Home) -> list[Problem]:
    """Everything that is wrong with a home, worst first; [] when it is as bracket's adapter expects it."""
    upstream = UPSTREAMS[home.trainer]
    try:
        check_checkout(upstream, home.folder)
    except BracketError as error:
        remedy = f"Say where it is now: `python -m bracket trainers use {upstream.verb} PATH`."
        action = f"install {home.trainer}"
        return [Problem("error", f"{upstream.title}: {error.message}", remedy, home.folder, action)]
    python = interpreter(home.python)
    found = [*_interrupted(home), *_python(home, python), *(_packages(home, python) if python else []), *_commit(home)]
    found.sort(key=lambda p: _LEVELS.index(p.level))
    return [replace(p, message=f"{upstream.title}: {p.message}") for p in found]


def install_finished(folder: Path) -> bool | None:
    """Whether bracket's own install into a checkout came to its end; None when bracket did not install it."""
    try:
        record = read_json(folder / INSTALL_RECORD) if (folder / INSTALL_RECORD).is_file() else None
    except BracketError:
        return False
    return None if record is None else isinstance(record, dict) and record.get("finished") is True


def _interrupted(home: Home) -> list[Problem]:
    if install_finished(home.folder) is not False:
        return []
    remedy = f"Run `python -m bracket trainers install {UPSTREAMS[home.trainer].verb}` again: it goes on where it was."
    return [Problem("error", "its install was not finished", remedy, home.folder, f"install {home.trainer}")]


def _python(home: Home, python: Interpreter | None) -> list[Problem]:
    upstream = UPSTREAMS[home.trainer]
    if python is None:
        what = "there is no Python for it" if not os.path.lexists(home.python) else "its Python can't be started"
        remedy = (
            f"Install it with `python -m bracket trainers install {upstream.verb}`, or name another with "
            f"`python -m bracket trainers use {upstream.verb} PATH --python PYTHON`."
        )
        return [Problem("error", what, remedy, home.python)]
    first, end = upstream.pythons
    if python.version[0] == 3 and first <= python.version[1] < end:
        return []
    said = f"it is made for Python 3.{first} to 3.{end - 1}, and this is {'.'.join(map(str, python.version))}"
    return [Problem("warning", said, "Make its venv with one of these.", home.python)]


def _packages(home: Home, python: Interpreter) -> list[Problem]:
    upstream = UPSTREAMS[home.trainer]
    there = distributions(python.paths)
    lacking = [name for name in upstream.core if name not in there]
    wanted = [*requirements(home), *upstream.extra]
    listed = [n for n in wanted if n not in lacking and not any(a in there for a in alternatives(n))]
    found = []
    if lacking:
        found.append(Problem("error", f"{_are(lacking)} not installed", _pip(home, lacking), home.python))
    build = torch_build(python.paths)
    if build and build.accelerator == "CPU" and sys.platform != "darwin" and shutil.which("nvidia-smi"):
        said = f"its torch {build.version} was built without CUDA, so the GPU would stand idle"
        found.append(Problem("error", said, "Install the build for your GPU: see pytorch.org.", home.python))
    if listed:
        remedy = f"Settings that use {'it' if len(listed) == 1 else 'them'} fail. {_pip(home, listed)}"
        found.append(Problem("warning", f"{_are(listed)} not installed", remedy, home.python))
    return found


def _pip(home: Home, names: list[str]) -> str:
    lists = ["-r", str(home.folder / "requirements.txt")]
    if not Path(lists[1]).is_file():
        lists = ["-e", str(home.folder)]
    words = [str(home.python), "-m", "pip", "install", *(names if len(names) <= _FEW else lists)]
    return f"Run `{subprocess.list2cmdline(words) if os.name == 'nt' else shlex.join(words)}`."


def alternatives(name: str) -> tuple[str, ...]:
    """Distributions that give the same modules."""
    return (name, f"{name}-headless", f"{name.removesuffix('-headless')}")


def _commit(home: Home) -> list[Problem]:
    upstream, commit = UPSTREAMS[home.trainer], commit_of(home.folder)
    if commit is None or commit in (upstream.pinned, upstream.commit):
        return []
    said = f"it stands at {commit[:_SHORT]}, and bracket was written for {upstream.pinned[:_SHORT]}"
    remedy = f"It may well work; `python -m bracket trainers update {upstream.verb}` makes them one."
    return [Problem("info", said, remedy, home.folder)]


def _are(names: list[str]) -> str:
    """ "a is", "a and b are", "a, b and 5 more are"."""
    if len(names) == 1:
        return f"{names[0]} is"
    if len(names) > _FEW:
        return f"{', '.join(names[:2])} and {len(names) - 2} more are"
    return f"{', '.join(names[:-1])} and {names[-1]} are"
