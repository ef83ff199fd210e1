"""The steps of an install: the code at its commit, a venv, torch, the trainer's packages, and a look at the outcome.

Every step is marked when it is done, and an install that was broken off goes on from there when it is run again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bracket import bootstrap, environment
from bracket.errors import StorageError, TrainerError
from bracket.files import given_path, read_json, write_json, write_text
from bracket.homes.look import changes, commit_of, interpreter, listed, torch_build
from bracket.homes.problems import INSTALL_RECORD, home_problems, install_finished
from bracket.homes.registry import Home, find_home, known_home, remember
from bracket.homes.upstream import UPSTREAMS, Upstream, identify
from bracket.trainers.install import checkout
from bracket.trainers.install.commands import Commands, check_room, git
from bracket.trainers.install.pythons import fitting_python
from bracket.trainers.install.record import Record, digest, drop_halves

_ROOM = {"cpu": 6_000_000_000, "mac": 6_000_000_000}
_GPU_ROOM = 12_000_000_000
_TORCHES = ("torch", "torchvision", "torchaudio")
_ASKED = "asked.json"
"""Beside the install's log: what was asked for and proved good, so that an install that goes on asks for the same."""
_LISTS = ("requirements.txt", "requirements_base.txt", "pyproject.toml", "setup.py")


@dataclass(frozen=True)
class Wish:
    """What is to be installed, and how. What is left empty is chosen.

    Attributes:
        trainer: one of `TRAINERS`.
        folder: where the checkout goes.
        source: address or folder of the repository.
        commit: commit or tag.
        torch: what pip is asked for as torch, words apart ("torch==2.13.0 torchvision").
        torch_index: package index that torch comes from.
        python: the interpreter the venv is made with.
        room: bytes that must be free.
    """

    trainer: str
    folder: Path | None = None
    source: str = ""
    commit: str = ""
    torch: str = ""
    torch_index: str = ""
    python: Path | None = None
    room: int | None = None


@dataclass(frozen=True)
class Progress:
    """Step `step` of `total`, counted from 1; `line` is the last thing its command said."""

    step: int
    total: int
    title: str
    line: str = ""


def install(wish: Wish, stop: threading.Event | None = None) -> Iterator[Progress]:
    """Installs a trainer, or goes on with an install that was broken off, and remembers it as its trainer's home.

    Leaving the iterator early, or setting `stop` from another thread, ends whatever runs.

    Raises:
        TrainerError: no git, no fitting Python, no room, no network, stopped, a folder that holds something else, ...
        StorageError: the folder can't be written.
    """
    folder = install_folder(wish)
    _check_target(UPSTREAMS[wish.trainer], folder)
    yield from _Install(wish, folder, stop).run()


def update(wish: Wish, stop: threading.Event | None = None) -> Iterator[Progress]:
    """Moves a trainer's checkout to the pinned (or given) commit and installs what that asks for.

    A checkout that bracket did not install keeps its Python and its torch.

    Raises:
        TrainerError: it is not known, has changes of the user's, or as `install`.
        StorageError: the folder can't be written.
    """
    home = find_home(wish.trainer)
    upstream = UPSTREAMS[wish.trainer]
    if identify(home.folder) is not upstream:
        raise TrainerError(f"there is no {upstream.title} here any more", path=home.folder, remedy="Install it anew.")
    own = install_finished(home.folder) is not None
    work = _Install(wish, home.folder, stop, python=None if own else home.python)
    yield from work.run()


def install_folder(wish: Wish) -> Path:
    """Where a wish leads: the folder asked for, else where bracket installed it before, else its place by default."""
    if wish.folder is not None:
        return given_path(wish.folder).absolute()
    home = known_home(wish.trainer)
    if home is not None and (home.folder / INSTALL_RECORD).is_file():
        return home.folder
    return environment.trainers_folder() / UPSTREAMS[wish.trainer].verb


def _check_target(upstream: Upstream, folder: Path) -> None:
    remedy = "Choose another folder."
    if folder.exists() and not folder.is_dir():
        raise TrainerError("this is a file, not a folder", path=folder, remedy=remedy)
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    found = identify(folder)
    if found is not None and found is not upstream:
        raise TrainerError(f"this is {found.title}, not {upstream.title}", path=folder, remedy=remedy)
    if not (folder / INSTALL_RECORD).is_file():
        if found is upstream:
            remedy = f"Use it as it is with `python -m bracket trainers use {upstream.verb} PATH`, or {remedy.lower()}"
        raise TrainerError("this folder holds something already", path=folder, remedy=remedy)


class _Install:
    """One install or update at work.

    Args:
        python: the interpreter of a checkout that bracket did not install, whose venv and torch are left alone.
    """

    def __init__(self, wish: Wish, folder: Path, stop: threading.Event | None, python: Path | None = None) -> None:
        self._commands = Commands(folder, stop)
        self._wish, self._folder, self._upstream = self._as_before(wish), folder, UPSTREAMS[wish.trainer]
        wish = self._wish
        self._source = checkout.checked_source(wish.source or self._upstream.source)
        self._commit = checkout.checked_commit(wish.commit or self._upstream.commit)
        if any(word.startswith("-") for word in wish.torch.split()):
            raise TrainerError(
                f"{wish.torch!r} can't be torch", remedy='Name packages, as in "torch==2.13.0 torchvision".'
            )
        self._foreign = python
        self._python = python or folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self._kind = bootstrap.torch_kind()
        git()

    def _as_before(self, wish: Wish) -> Wish:
        """A wish whose gaps are filled by what was asked for before."""
        try:
            before = {key: str(value) for key, value in read_json(self._commands.work / _ASKED).items()}
        except (StorageError, AttributeError):
            return wish
        python = wish.python or (Path(before["python"]) if "python" in before else None)
        filled = {
            key: getattr(wish, key) or before.get(key, "") for key in ("source", "commit", "torch", "torch_index")
        }
        return Wish(wish.trainer, wish.folder, python=python, room=wish.room, **filled)

    def _keep_asked(self, *keys: str, finished: bool = False) -> None:
        """Keeps these parts of the wish; of a finished install, where its code stands is the next one's affair."""
        kept = self._as_before(Wish(self._wish.trainer))
        for key in keys:
            kept = replace(kept, **{key: getattr(self._wish, key)})
        gone = ("trainer", "folder", "room", *(("source", "commit") if finished else ()))
        write_json(self._commands.work / _ASKED, {k: str(v) for k, v in vars(kept).items() if v and k not in gone})

    def run(self) -> Iterator[Progress]:
        own = () if self._foreign else ((f"Python for {self._upstream.title}", self._venv), ("torch", self._torch))
        steps: Sequence[tuple[str, Callable[[], Iterator[str]]]] = (
            ("Code", self._code),
            *own,
            ("Packages", self._packages),
            ("Check", self._check),
        )
        self._check_first()
        with self._commands:
            if self._foreign is None:
                self._keep_asked("python")
            for number, (title, step) in enumerate(steps, 1):
                yield Progress(number, len(steps), title)
                for line in step():
                    yield Progress(number, len(steps), title, line)

    def _check_first(self) -> None:
        """What would end the install later is said before anything is fetched."""
        if self._foreign is None and not Record(self._folder).done("torch"):
            room = self._wish.room
            check_room(self._folder, _ROOM.get(self._kind, _GPU_ROOM) if room is None else room)
        if self._foreign is None and not self._has_venv(Record(self._folder)):
            fitting_python(self._upstream, self._wish.python)

    def _code(self) -> Iterator[str]:
        if identify(self._folder) is None:
            yield from checkout.clone(self._commands, self._upstream, self._source, self._commit, self._folder)
            if known_home(self._upstream.name) is None:
                remember(self._home)  # so that `status` can tell of it, should it be broken off
        elif not checkout.stands_at(self._folder, self._commit):
            if self._foreign is None:
                Record(self._folder).begin("code")
            yield from checkout.move(self._commands, self._folder, self._source, self._commit)
        self._keep_asked("source", "commit")
        yield f"at {(commit_of(self._folder) or self._commit)[:7]}"

    def _venv(self) -> Iterator[str]:
        record = Record(self._folder)
        if self._has_venv(record):
            yield "already there"
            return
        python = fitting_python(self._upstream, self._wish.python)
        for step in ("packages", "torch", "venv"):
            record.begin(step)
        command = [str(python), "-m", "venv", "--clear", str(self._folder / "venv")]
        yield from self._commands.run(command, self._folder, "making a venv")
        record.end("venv", str(python))

    def _has_venv(self, record: Record) -> bool:
        made = record.done("venv")
        return interpreter(self._python) is not None and bool(made) and str(self._wish.python or made) == made

    def _torch(self) -> Iterator[str]:
        record = Record(self._folder)
        spec, asked = " ".join(self._torch_spec), self._wish.torch_index or environment.torch_index()
        wanted, done = f"{spec} {self._kind} {asked}".strip(), record.done("torch")
        # Where the driver is away for now, a GPU build stays: it runs on the CPU too.
        if done == wanted or (self._kind == "cpu" and not asked and done.startswith(f"{spec} cu")):
            yield "already there"
            return
        index = asked or bootstrap.torch_index(self._kind)
        if not index and self._kind != "mac":
            yield f"{bootstrap.TORCH_INDEXES} can't be reached; taking torch from pip's own index"
        self._mend(record)
        record.begin("torch")
        there = interpreter(self._python)
        if there and torch_build(there.paths):  # pip takes another build of the same version for the same thing
            yield from self._pip(["uninstall", "--yes", *_TORCHES], "removing torch")
        words = [*self._torch_spec, *(["--index-url", index] if index else [])]
        yield from self._pip(["install", *words], "installing torch")
        # An index may hold builds that don't go together: that shows at the first import.
        modules = [name for name in _TORCHES if any(word.startswith(name) for word in self._torch_spec)]
        command = [str(self._python), "-c", f"import {', '.join(modules)}"]
        yield from self._commands.run(command, self._commands.work, f"importing {' and '.join(modules)}")
        record.end("torch", wanted)
        self._keep_asked("torch", "torch_index")

    def _packages(self) -> Iterator[str]:
        record = Record(self._folder)
        lists = [self._folder / name for name in _LISTS]
        wanted = digest(lists, *self._upstream.extra, str(commit_of(self._folder)))
        if self._foreign is None and record.done("packages") == wanted:
            yield "already there"
            return
        asked = ["-r", "requirements.txt"] if lists[0].is_file() else ["-e", "."]
        if self._foreign is None:
            self._mend(record)
            record.begin("packages")
            # No package may bring a torch of its own in place of the one that fits the machine.
            kept = self._commands.work / "constraints.txt"
            write_text(kept, "".join(f"{word}\n" for word in self._torch_spec if "==" in word))
            asked += ["-c", str(kept)]
        yield from self._pip(["install", *asked, *self._upstream.extra], "installing packages")
        if self._foreign is None:
            record.end("packages", wanted)

    def _check(self) -> Iterator[str]:
        record = Record(self._folder)
        if self._foreign is None:
            record.finish()
        wrong = [p for p in home_problems(self._home) if p.level == "error"]
        if wrong:
            if self._foreign is None:
                record.begin("packages")
            raise TrainerError(wrong[0].message, path=wrong[0].path, remedy=wrong[0].remedy)
        if self._foreign is None:
            remember(self._home)
        self._keep_asked(finished=True)
        mine: list[str] = []
        with suppress(TrainerError):  # not git's
            mine = changes(self._folder)
        stay = f"; your changes stay as they are: {listed(mine)}" if mine else ""
        yield f"{self._upstream.title} is ready in {self._folder}{stay}"
        known = known_home(self._upstream.name)
        if known is not None and known.folder != self._folder:
            yield f"The environment names {known.folder}, which is used instead of it"

    @property
    def _home(self) -> Home:
        return Home(self._upstream.name, self._folder, self._python)

    @property
    def _torch_spec(self) -> list[str]:
        # torchvision is left to pip: only one version goes with a version of torch.
        names = [name for name in self._upstream.core if name in _TORCHES[1:]]
        return self._wish.torch.split() or [f"torch=={bootstrap.TORCH}", *names]

    def _mend(self, record: Record) -> None:
        there = interpreter(self._python)
        if record.broken_off and there is not None:
            drop_halves(path for path in there.paths if path.is_relative_to(self._folder))

    def _pip(self, words: Sequence[str], what: str) -> Iterator[str]:
        quiet = ["--no-input", "--disable-pip-version-check", "--no-color"]
        command = [str(self._python), "-m", "pip", *quiet, *words]
        yield from self._commands.run(command, self._folder, what)
