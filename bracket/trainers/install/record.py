"""What an install has done so far, in a file of the checkout, so that it can go on after any end."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bracket.errors import BracketError
from bracket.files import read_json, write_json
from bracket.homes.problems import INSTALL_RECORD


class Record:
    """The steps of an install that are done, each with what it was done for: another torch is another step.

    Raises:
        StorageError: from every method but `done`, when the file can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / INSTALL_RECORD
        self._entries: dict[str, Any] = {}
        try:
            entries = read_json(self._path)
            self._entries = entries if isinstance(entries, dict) else {}
        except BracketError:
            pass  # missing or damaged: every step is done again, which is safe

    def done(self, step: str) -> str:
        """What a step was last done for; "" when it wasn't, or was broken off."""
        return str(self._entries.get("steps", {}).get(step, ""))

    @property
    def broken_off(self) -> str:
        """The step that was begun and not ended."""
        return str(self._entries.get("doing", ""))

    def begin(self, step: str) -> None:
        steps = {name: value for name, value in self._entries.get("steps", {}).items() if name != step}
        self._write(steps=steps, doing=step, finished=False)

    def end(self, step: str, value: str) -> None:
        self._write(steps={**self._entries.get("steps", {}), step: value}, doing="", finished=False)

    def finish(self) -> None:
        self._write(doing="", finished=True)

    def _write(self, **entries: object) -> None:
        self._entries |= entries
        write_json(self._path, self._entries)


def digest(paths: Iterable[Path], *more: str) -> str:
    """One word for the contents of files (missing ones count as empty) and some text."""
    total = hashlib.sha256("\0".join(more).encode())
    for path in paths:
        total.update(path.read_bytes().replace(b"\r\n", b"\n") if path.is_file() else b"")
    return total.hexdigest()[:16]


def drop_halves(paths: Iterable[Path]) -> None:
    """Takes away the metadata of packages that pip was killed over, so that it installs them again.

    pip writes a package's INSTALLER when all its files are in place; metadata without it would pass for the package.
    """
    for folder in paths:
        for metadata in folder.glob("*.dist-info"):
            if not (metadata / "INSTALLER").exists():
                shutil.rmtree(metadata, ignore_errors=True)
