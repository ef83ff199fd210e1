"""What all tabs share: the runs folder, sessions by name, what may be served, and errors said in the page."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.errors import BracketError, SettingsError
from bracket.session import view as sessions
from bracket.session.settings import FILE
from bracket.session.view import SessionLine, SessionView

POLL_SECONDS = 1.0


class Context:
    """One running app.

    Args:
        runs: the folder of sessions.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.served: list[str] = []
        """Folders whose files a browser may ask for: pictures, logs and reports of sessions that were opened."""
        self._known: set[Path] = set()
        """Those, and the trials' own folders."""
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
        view = self._read(self.folder(name), int(time.monotonic() * 2))
        self._serve(view)
        return view

    def lines(self) -> list[SessionLine]:
        """Every session, newest first."""
        return sessions.sessions(self.runs) if self.runs.is_dir() else []

    def _serve(self, view: SessionView) -> None:
        folders = [view.folder / "report", view.folder / "confirm", view.folder / "before"]
        new = [trial.folder for trial in view.trials if trial.folder not in self._known]
        self._known.update(new)
        folders += [folder / part for folder in new for part in ("samples", "logs")]
        self.served += [str(f) for f in folders if f not in self._known]
        self._known.update(folders)


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


def said(error: BracketError) -> str:
    """An error as the app says it: with a capital letter, and safe in HTML."""
    from bracket.ui.format import esc, sentence

    return esc(sentence(str(error)))
