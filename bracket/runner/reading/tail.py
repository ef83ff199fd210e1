"""Reads logs as they grow: only the new bytes, at most so many of them, as text a person can read."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path

LIMIT = 256 * 1024
"""Most bytes taken in one read."""
LONGEST_LINE = 64 * 1024

# Colours and cursor moves, window titles, two-character sequences; the last alternative is one that is still arriving.
ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_]|[\[\]][^@-~\x07]*$|$)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def clean(text: str) -> str:
    """One line as a terminal would have left it: of a progress bar's states only the last; no escapes, no controls."""
    states = [state for state in text.split("\r") if ANSI.sub("", state).strip()]
    return _CONTROL.sub("", ANSI.sub("", states[-1])) if states else ""


class LogTail:
    """Follows one log file, which may not exist yet, may be truncated, and may be replaced by a new one.

    Attributes:
        skipped: bytes that were never read because more than `limit` had come since the read before.
    """

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self.path, self.limit, self.skipped = path, limit, 0
        self._offset = 0
        self._file_id = 0
        self._pending = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def current(self) -> str:
        """The unfinished last line, such as a progress bar in its latest state."""
        return clean(self._pending)

    def read_new(self) -> str:
        """The lines finished since the last call, each with its line break; "" when there are none.

        When more than `limit` bytes came at once, the oldest are left out and a line says how many. A missing file
        reads as empty.
        """
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                if status.st_size < self._offset or status.st_ino != self._file_id:
                    self._restart(status.st_ino)
                gap = max(0, status.st_size - self._offset - self.limit)
                file.seek(self._offset + gap)
                block = file.read(self.limit)
        except OSError:
            return ""
        self._offset += gap + len(block)
        if not gap:
            return self._take(self._decoder.decode(block))
        # The first line is cut somewhere in its middle; a block without line breaks is shown as it is.
        cut = block.find(b"\n") + 1
        self.skipped += gap + cut
        self._pending = ""
        self._decoder.reset()
        return f"[{gap + cut:,} bytes skipped]\n" + self._take(self._decoder.decode(block[cut:]))

    def _restart(self, file_id: int) -> None:
        self._offset, self._file_id, self._pending = 0, file_id, ""
        self._decoder.reset()

    def _take(self, text: str) -> str:
        *lines, rest = (self._pending + text).split("\n")
        if len(rest) > LONGEST_LINE and "\r" in rest:
            # A bar that never ends its line: keep only the state that shows, and the one still arriving.
            rest = "\r".join(rest.rsplit("\r", 2)[-2:])
        if len(rest) > LONGEST_LINE:
            lines.append(rest)
            rest = ""
        self._pending = rest
        return "".join(clean(line) + "\n" for line in lines)


def last_lines(path: Path, count: int, limit: int = LIMIT, since: int = 0) -> str:
    """The last `count` lines of a log, cleaned; "" when there is no file.

    Args:
        limit: bytes read at most, from the end.
        since: the byte before which nothing is read.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, min(since, size), size - limit)
            file.seek(start)
            text = file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
    lines = text.removesuffix("\n").split("\n")
    if start > since and len(lines) > 1:
        del lines[0]  # cut somewhere in its middle
    return "\n".join(clean(line) for line in lines[-count:])
