"""The last word at either door: what nobody foresaw is kept with its traceback, and told in one sentence."""

from __future__ import annotations

import errno
import functools
import logging
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler

from bracket.environment import user_cache
from bracket.files import private_folder, storage_error

_NAME = "errors.log"
_MOST_BYTES = 1_000_000
_TOLD = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)
"""Faults of the disk that say all there is to say."""


def kept(error: Exception) -> str:
    """The sentence that tells a person of `error`; its traceback goes to a log of bracket's own."""
    if isinstance(error, OSError) and error.errno in _TOLD:
        return str(storage_error(error, error.filename or "."))
    path = user_cache() / _NAME
    said = f"bracket met something it did not expect: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    try:
        _log().error("%s", " ".join(sys.argv), exc_info=error)
    except OSError:
        return f"{said}. Its details could not be written to {path}. What was done so far stays."
    return f"{said} (the details are in {path}). What was done so far stays; please report it with that file."


def guarded(door: Callable[[], int | None]) -> int:
    """Run a program's body; returns its exit code. What it doesn't catch itself ends in a sentence and code 1."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a letter shows another one instead
            stream.reconfigure(errors="replace")
    try:
        return door() or 0
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stdout = None  # nor is it flushed at the end
        return 1
    except Exception as error:  # noqa: BLE001  the edge of the process
        print(f"bracket: {kept(error)}", file=sys.stderr)
        return 1


class _Log(RotatingFileHandler):
    """Tells `kept` that it could not write, instead of printing a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        raise  # what `emit` has caught


@functools.cache
def _log() -> logging.Logger:
    private_folder(user_cache())
    place = user_cache() / _NAME
    handler = _Log(place, "a", _MOST_BYTES, 1, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log = logging.Logger("unforeseen")
    log.addHandler(handler)
    return log
