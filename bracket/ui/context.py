"""What all tabs share: the runs folder, sessions by name, what may be served, and errors said in the page."""

from __future__ import annotations

import functools
import inspect
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, MutableMapping
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.errors import BracketError, SettingsError
from bracket.session import view as sessions
from bracket.session.settings import FILE
from bracket.session.view import SessionLine, SessionView
from bracket.unforeseen import kept

POLL_SECONDS = 1.0
_ONCE_SECONDS = 60.0
"""The same fault is told once in so long: a page asks every second."""
_OF_SESSIONS = ("report", "confirm", "before")
_OF_TRIALS = ("samples", "logs")
"""Folders of a session, and of each of its trials, that a browser may see into."""
_MOST = 64


class Context:
    """One running app.

    Args:
        runs: the folder of sessions.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = Path(os.path.normpath(runs.absolute()))
        self.served: list[str] = []
        """Folders whose files Gradio gives to the browser: those that were asked for last."""
        self._lock = threading.Lock()
        self._read = functools.lru_cache(maxsize=16)(lambda folder, _moment: sessions.read(folder))

    def folder(self, name: str) -> Path:
        """A session's folder by its name.

        Raises:
            SettingsError: there is no such session under the runs folder.
        """
        known = {path.parent.name: path.parent for path in self.runs.glob(f"*/{FILE}")}
        if name not in known:
            raise SettingsError(f"there is no session called {name!r}", path=self.runs, remedy="Choose another one.")
        return known[name]

    def read(self, name: str) -> SessionView:
        """The session as it stands; pages that poll in the same half second share one reading.

        Raises:
            BracketError: there is no such session, or its ledger is damaged.
        """
        return self._read(self.folder(name), int(time.monotonic() * 2))

    def lines(self) -> list[SessionLine]:
        """Every session, newest first."""
        return sessions.sessions(self.runs) if self.runs.is_dir() else []

    def serve(self, path: Path) -> None:
        """Lets Gradio give a file to the page if it is a session's picture, log or report; others stay refused.

        Gradio holds each request against all folders it may serve, one after another, so it knows the latest only.
        """
        folder = self._open_folder(path)
        if folder is not None:
            with self._lock:
                self.served[:] = [folder, *(f for f in self.served if f != folder)][:_MOST]

    def _open_folder(self, path: Path) -> str | None:
        """The folder of a session that holds the file and may be served whole."""
        try:
            name, part, *rest = Path(os.path.normpath(path)).relative_to(self.runs).parts
        except ValueError:
            return None
        folder = self.runs / name / part
        if part == "trials" and len(rest) > 2 and rest[1] in _OF_TRIALS:
            folder = folder / rest[0] / rest[1]
        elif part not in _OF_SESSIONS or not rest:
            return None
        return str(folder) if (self.runs / name / FILE).is_file() else None


class Files:
    """ASGI middleware: each file the page asks for is looked at before Gradio does, which asks who is logged in."""

    def __init__(self, app: Any, context: Context) -> None:
        self._app, self._context = app, context

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if path := scope.get("path", "").partition("/gradio_api/file=")[2]:
            self._context.serve(Path(path))
        await self._app(scope, receive, send)


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


def said(error: BracketError) -> str:
    """An error as the app says it: with a capital letter, and safe in HTML."""
    return _escaped(str(error))


def _escaped(words: str) -> str:
    from bracket.ui.format import esc, sentence

    return esc(sentence(words))
