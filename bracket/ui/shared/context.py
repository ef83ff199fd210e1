"""What all tabs share: the runs folder, sessions by name, what may be served, and errors said in the page."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.errors import BracketError, SettingsError, StorageError
from bracket.session import view as sessions
from bracket.session.asked.settings import FILE, session_folders
from bracket.session.view import PROCESS_LOG, VERDICT_FILE, SessionLine, SessionView
from bracket.ui.shared.served import WEIGHTS
from bracket.unforeseen import kept

_ONCE_SECONDS = 60.0
"""The same fault is told once in so long: a page asks every second."""
_OF_SESSIONS = ("report", "confirm", "before")
_OF_TRIALS = ("samples", "logs")
"""Folders of a session, and of each of its trials, that a browser may see into."""
_WRITTEN = (
    *(".", FILE, "study.db", "state.json", "lock", "control", "control/start", "trials", "before", "votes.jsonl"),
    *(PROCESS_LOG, "session.log", "confirm", "confirm/winner", "confirm/baseline", "report", "report/report.html"),
    *(f"report/{VERDICT_FILE}", "report/mattered.json", "report/judge.json"),
)
"""What changes in a session's folder when something happens that a page may show."""
TROUBLE = (BracketError, OSError)
"""What may come of a session that changes, or is taken away, while one looks at it."""
HERE = "x-bracket-here"
"""The guard's mark on a request from this very machine; what arrives under this name is thrown away."""


class Context:
    """One running app.

    Args:
        runs: the folder of sessions.
        login: whether people log in, and so can log out.
    """

    def __init__(self, runs: Path, *, login: bool = False) -> None:
        self.runs, self.login = Path(os.path.normpath(runs.absolute())), login
        self._read = functools.lru_cache(maxsize=16)(lambda folder, _moment: sessions.read(folder))

    def folder(self, name: str) -> Path:
        """A session's folder by its name.

        Raises:
            SettingsError: there is no such session under the runs folder.
        """
        known = {folder.name: folder for folder in session_folders(self.runs)}
        if name not in known:
            raise SettingsError(f"there is no session called {name!r}", path=self.runs, remedy="Choose another one.")
        return known[name]

    def read(self, name: str) -> SessionView:
        """The session as it stands; pages that poll in the same half second share one reading.

        Raises:
            BracketError: there is no such session, or its ledger is damaged.
        """
        try:
            return self._read(self.folder(name), int(time.monotonic() * 2))
        except OSError as error:  # it was moved, or taken away in the middle
            raise StorageError(f"the session can't be read: {error}", path=self.runs / name) from error

    def lines(self) -> list[SessionLine]:
        """Every session, newest first."""
        try:
            return sessions.sessions(self.runs) if self.runs.is_dir() else []
        except OSError:  # the folder was taken away in the middle
            return []

    def stamp(self, name: str) -> tuple[str, bool]:
        """What is another one when a page that shows this session may have become old, and whether the session runs.

        Cheap, for every open page asks time and again; what runs changes all the time.
        """
        lines = self.lines()
        line = next((line for line in lines if line.name == name), None)
        live = line is not None and line.state in ("running", "stopping")
        files = tuple(sessions.looked_at(line.folder / n) for n in _WRITTEN) if line else ()
        seen = (name, lines, files, int(time.monotonic() * 2) if live else 0)
        return hashlib.blake2b(repr(seen).encode(), digest_size=8).hexdigest(), live

    def openable(self, given: str) -> Path | None:
        """The file, where it is a session's picture, log, report or LoRA, and no link in the session's folder leads to
        it."""
        try:
            path = Path(os.path.normpath(given))
            name, part, *rest = path.relative_to(self.runs).parts
            session = self.runs / name
            folder = session / part
            if part == "trials" and len(rest) > 2 and rest[1] in _OF_TRIALS:
                folder = folder / rest[0] / rest[1]
            elif part == "trials" and len(rest) > 1 and path.suffix == WEIGHTS:
                folder = folder / rest[0]
            elif part not in _OF_SESSIONS or not rest:
                return None
            inside = session.resolve(strict=True) / folder.relative_to(session)
            real = path.resolve(strict=True)
            whole = real.is_relative_to(inside) and real.is_file() and (session / FILE).is_file()
            whole = whole and real.suffix == path.suffix
        except (OSError, ValueError, RuntimeError):  # not there, no path at all, or links in a circle
            return None
        return real if whole else None


def only_here(what: str) -> None:
    """Refuse what only a person at this very machine may do through the app.

    Raises:
        SettingsError: the request being answered came over the network, a proxy or a share link.
    """
    from gradio.context import LocalContext

    request = LocalContext.request.get(None)
    if request is not None and request.headers.get(HERE) != "1":
        raise SettingsError(
            f"{what} is not done over the network",
            remedy="Do it at the machine itself, in its browser or terminal.",
        )


def warned(handler: Callable[..., Any]) -> Callable[..., Any]:
    """An event handler whose BracketErrors become a notice in the page and change nothing else."""

    @functools.wraps(handler)
    def handled(*values: Any) -> Any:
        try:
            return handler(*values)
        except BracketError as error:
            gr.Warning(said(error), title="That can't be done", duration=15)
            return gr.skip()

    return handled


def caught(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Any event handler; what it doesn't catch itself becomes a notice, said once a minute, and changes nothing."""
    told: dict[str, float] = {}

    def tell(error: Exception) -> None:
        words, now = kept(error), time.monotonic()
        if now - told.get(words, -_ONCE_SECONDS) >= _ONCE_SECONDS:
            told[words] = now
            gr.Warning(_escaped(words), title="Something went wrong", duration=15)

    @functools.wraps(handler)
    def handled(*values: Any) -> Any:
        try:
            return handler(*values)
        except gr.Error:
            raise
        except Exception as error:  # noqa: BLE001  the edge of the app
            tell(error)
            return gr.skip()

    @functools.wraps(handler)
    async def streamed(*values: Any) -> AsyncIterator[Any]:
        try:
            async for value in handler(*values):
                yield value
        except gr.Error:
            raise
        except Exception as error:  # noqa: BLE001  the edge of the app
            tell(error)

    return streamed if inspect.isasyncgenfunction(handler) else handled


def said(error: Exception) -> str:
    """An error as the app says it: with a capital letter, and safe in HTML."""
    return _escaped(str(error))


def _escaped(words: str) -> str:
    from bracket.ui.shared.format import esc, sentence

    return esc(sentence(words))
