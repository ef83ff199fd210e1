"""Where each trainer is: what the environment says, else what `trainers use` or `trainers install` remembered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bracket import locks
from bracket.environment import config_folder, trainer_variable
from bracket.errors import TrainerError
from bracket.files import given_path, read_json, storage_errors, write_json
from bracket.homes.upstream import UPSTREAMS, Upstream, identify

REGISTRY = "trainers.json"
_VENVS = ("venv", ".venv", "env")
_INTERPRETERS = ("bin/python", "Scripts/python.exe", "python.exe")


@dataclass(frozen=True)
class Home:
    """A trainer's checkout and the Python it runs in. Either may be gone: `home_problems` says so."""

    trainer: str
    folder: Path
    python: Path


def known_home(trainer: str) -> Home | None:
    """Where a trainer is, by the environment first and then by what was remembered; None when nobody said.

    Args:
        trainer: one of `TRAINERS`.

    Raises:
        TrainerError: what was remembered can't be understood.
        StorageError: it can't be read.
    """
    folder, python = trainer_variable(trainer), trainer_variable(trainer, "PYTHON")
    if not folder:
        entry = _remembered().get(trainer)
        if entry is None:
            return None
        folder, python = entry["folder"], python or entry["python"]
    place = _absolute(folder)
    if python:
        return Home(trainer, place, _interpreter(_absolute(python)))
    return Home(trainer, place, next(_pythons_of(place), place / _VENVS[0] / _INTERPRETERS[os.name == "nt"]))


def find_home(trainer: str) -> Home:
    """Where a trainer is.

    Raises:
        TrainerError: it is not known to bracket.
        StorageError: what was remembered can't be read.
    """
    home = known_home(trainer)
    if home is None:
        upstream = UPSTREAMS[trainer]
        raise TrainerError(f"{upstream.title} is not installed", remedy=how_to_get(upstream))
    return home


def how_to_get(upstream: Upstream) -> str:
    """What to do about a trainer that bracket does not know of."""
    return (
        f"Run `python -m bracket trainers install {upstream.verb}`, or point at a checkout you have with "
        f"`python -m bracket trainers use {upstream.verb} PATH`."
    )


def use(trainer: str, folder: Path, python: Path | None = None) -> Home:
    """Remembers a checkout that is there already.

    Args:
        python: the interpreter it runs in, or the folder of its venv; None looks for a venv inside the checkout and
            beside it.

    Raises:
        TrainerError: `folder` is no checkout of that trainer, or no Python was found.
        StorageError: it can't be remembered.
    """
    upstream, folder = UPSTREAMS[trainer], _absolute(folder)
    check_checkout(upstream, folder)
    by_hand = f"Name it: `python -m bracket trainers use {upstream.verb} PATH --python PYTHON`."
    if python is None:
        found = next(_pythons_of(folder), None)
        if found is None:
            raise TrainerError(f"no venv was found for {upstream.title}", path=folder, remedy=by_hand)
    else:
        found = _interpreter(_absolute(python))
        if not found.is_file():
            raise TrainerError("there is no Python there", path=found, remedy=by_hand)
    return remember(Home(trainer, folder, found))


def remember(home: Home) -> Home:
    """Writes a home down as it is. Raises TrainerError and StorageError as `use` does."""
    path = config_folder() / REGISTRY
    with storage_errors(path), locks.alone(path):
        entries = _remembered() | {home.trainer: {"folder": str(home.folder), "python": str(home.python)}}
        write_json(path, entries)
    return home


def forget(trainer: str) -> bool:
    """Forgets where a trainer is and leaves its files alone; whether there was something to forget.

    Raises:
        TrainerError, StorageError: what was remembered can't be understood, read or written.
    """
    path = config_folder() / REGISTRY
    with storage_errors(path), locks.alone(path):
        entries = _remembered()
        if entries.pop(trainer, None) is None:
            return False
        write_json(path, entries)
    return True


def check_checkout(upstream: Upstream, folder: Path) -> None:
    """Raises TrainerError with one sentence when `folder` is no checkout of that trainer."""
    if not folder.is_dir():
        raise TrainerError("there is no such folder", path=folder, remedy="Check the path.")
    found = identify(folder)
    if found is not None and found is not upstream:
        raise TrainerError(f"this is {found.title}, not {upstream.title}", path=folder, remedy="Check the path.")
    if found is None:
        lacking = next(m for m in upstream.marks if not (folder / m).exists())
        raise TrainerError(
            f"this is no checkout of {upstream.title}: it has no {lacking}",
            path=folder,
            remedy=f"Name the folder that holds {' and '.join(upstream.marks)}.",
        )


def _remembered() -> dict[str, dict[str, str]]:
    path = config_folder() / REGISTRY
    if not path.exists():
        return {}
    entries: Any = read_json(path)
    if not isinstance(entries, dict) or not all(_is_entry(e) for e in entries.values()):
        remedy = "Remove the file, then say again where your trainers are with `python -m bracket trainers use`."
        raise TrainerError("this list of trainers can't be understood", path=path, remedy=remedy)
    return entries


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("folder", "python"))


def _pythons_of(folder: Path) -> Iterator[Path]:
    """Interpreters of venvs inside a checkout and beside it, likeliest first."""
    beside = [folder.parent / name for name in (f"{folder.name}-venv", *_VENVS)]
    for venv in [*(folder / name for name in _VENVS), *beside]:
        yield from (venv / name for name in _INTERPRETERS if (venv / name).is_file())


def _interpreter(path: Path) -> Path:
    """`path`, or the interpreter in it when it is the folder of an environment."""
    return next((path / name for name in _INTERPRETERS if (path / name).is_file()), path)


def _absolute(path: Path | str) -> Path:
    # Never resolved: a venv's python is a link, and would be another Python at its end.
    return Path(os.path.abspath(given_path(path)))
