"""Files written whole or not at all: everything of a session that must survive a kill goes through here.

A file is written beside its place and moved over it, so a reader sees the old one or the new one. That holds when the
process is killed at any moment; it is not a promise about power cuts, which would cost an fsync a file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import math
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import psutil

from bracket.errors import SettingsError, StorageBusy, StorageError, printable
from bracket.reading import Unreadable, from_json, read_bytes

_PART = re.compile(r"\..+-(?P<pid>\d{1,10})-\d+\.part(\.[^.]*)?", re.DOTALL)
"""The name of what is being made: its own, the process, and the thread."""
log = logging.getLogger(__name__)
FREE_SPACE = "Free some space and run the same again; what is already there stays."
NO_SPACE = os.strerror(errno.ENOSPC)
MOST_BYTES = 1 << 30
"""Of a file that bracket wrote itself."""
_OWN_FOLDER = "Choose a folder you own, or change its permissions."
_REMEDIES = {
    errno.ENOSPC: ("The disk is full", FREE_SPACE),
    errno.EDQUOT: ("Your disk quota is used up", FREE_SPACE),
    errno.EACCES: ("This may not be written or read", _OWN_FOLDER),
    errno.EPERM: ("This may not be written or read", _OWN_FOLDER),
    errno.EROFS: ("This disk is read-only", "Choose a folder on another disk."),
    errno.ENAMETOOLONG: ("This path is too long", "Choose a shorter name or a folder nearer the root."),
    errno.ENOENT: ("This file does not exist", "Check the path."),
    errno.ENOTDIR: ("A part of this path is a file, not a folder", "Choose another folder."),
}


_AROUND = " \t\r\n\u00a0\u200b\u200e\u202a\u202c\ufeff"
"""Blanks, and the invisible signs that come along when a path is copied from a window."""
_QUOTES = ('""', "''", "``", "“”", "„“", "\u2018\u2019", "«»", "<>")
_WINDOWS = re.compile(r"(?i)(?:([a-z]):[\\/]|\\\\)")


def given_path(text: str | Path) -> Path:
    """The path a person means who typed or pasted it, as `path_text` has it.

    Raises:
        SettingsError: as `path_text`.
        StorageError: no path looks like that.
    """
    path = Path(path_text(str(text)))
    with storage_errors(path), contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        path.lstat()
    return path


def path_text(text: str) -> str:
    """A path as it is meant: without the blanks and quotes around it, `file://` and `~` resolved.

    What is the name of something as it stands is taken so; hub ids and addresses come back as they are.

    Raises:
        SettingsError: it is a path of another kind of system, or of another encoding.
    """
    if printable(text) != text:
        raise SettingsError("This name is not Unicode, so no settings can hold it", path=text, remedy="Rename it.")
    if text and os.path.lexists(text):
        return text
    meant = text.strip(_AROUND)
    while len(meant) > 1 and meant[0] + meant[-1] in _QUOTES:
        meant = meant[1:-1].strip(_AROUND)
    if meant.lower().startswith("file:"):
        parts = urlsplit(meant)
        meant = url2pathname(("" if parts.netloc in ("", "localhost") else f"//{parts.netloc}") + parts.path)
    elif os.name != "nt" and "\\ " in meant and not os.path.lexists(meant):
        meant = meant.replace("\\ ", " ")  # as a terminal writes it
    windows = _WINDOWS.match(meant)
    if windows and os.name != "nt" and not os.path.lexists(meant):
        mounted = f"/mnt/{(windows[1] or '').lower()}/" + meant[3:].replace("\\", "/")
        if windows[1] and os.path.exists(mounted):
            return mounted
        remedy = "Give the path as this system writes it; under WSL, C:\\ is /mnt/c/."
        raise SettingsError("This is a path of Windows, and bracket doesn't run there", path=meant, remedy=remedy)
    if "\0" in meant:
        raise SettingsError("This path holds a sign that no path can", remedy="Type it again.")
    return os.path.expanduser(meant)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns an OSError of the body into a StorageError about `path` with a remedy."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def storage_error(error: OSError, path: Path | str) -> StorageError:
    """What the system says of `path`, with a remedy."""
    unknown = (f"This can't be read or written: {error.strerror or error}", "Check the path and the disk.")
    message, remedy = _REMEDIES.get(error.errno or 0, unknown)
    return StorageError(message, path=path, remedy=remedy)


def database_trouble(error: BaseException | None, path: Path, what: str, remedy: str) -> StorageError:
    """What SQLite's error means to a person.

    Args:
        error: None where another database reports it. what: the database, in a word. remedy: where it is damaged.
    """
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        message = f"the {what} is in use by another program"
        return StorageBusy(message, path=path, remedy="Close what has the file open, or wait; then try again.")
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and is_full(path.parent)):
        full, free = _REMEDIES[errno.ENOSPC]
        return StorageError(full, path=path, remedy=free)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StorageError(f"the {what} can't be opened or written: {error}", path=path, remedy=_OWN_FOLDER)
    if code == sqlite3.SQLITE_IOERR:
        return StorageError(f"the disk failed under the {what}: {error}", path=path, remedy="Check the disk.")
    return StorageError(f"the {what} can't be read; it may be damaged", path=path, remedy=remedy)


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder has no room that is worth a try."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free < 1_000_000
    return False


def private_folder(folder: Path) -> Path:
    """Makes a folder and those above it, as far as they are missing, for this user alone; what exists stays as it is.

    Raises:
        OSError: one of them can't be made.
    """
    for missing in reversed([p for p in (folder, *folder.parents) if not p.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)  # which tells a file in its place
    return folder


def _half_made(path: Path, stem: str, suffix: str = "") -> Path:
    """The hidden place beside `path` that `_PART` knows, where this thread makes it."""
    short = os.fsencode(stem)[:100].decode(errors="ignore")  # a name has 255 bytes, not letters
    return path.with_name(f".{short}-{os.getpid()}-{threading.get_ident()}.part{suffix}")


@contextlib.contextmanager
def folder_made(folder: Path) -> Iterator[Path]:
    """Gives a hidden folder beside `folder` to fill, of this user alone; moves it there when the body ends without an
    error, and takes it away where it doesn't. What a kill leaves, `sweep_parts` takes away.

    Raises:
        StorageError: it can't be made or moved.
    """
    part = _half_made(folder, folder.name)
    with storage_errors(folder):
        private_folder(part)
    try:
        yield part
        with storage_errors(folder):
            os.rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sweep_parts(folder: Path, *, deep: bool = False) -> None:
    """Takes away what `written_whole` and `folder_made` had half-made in a folder when their process was killed.

    Args:
        deep: in the folders below, too; links are not followed.
    """
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            match = _PART.fullmatch(name)
            if match and not psutil.pid_exists(int(match["pid"])):
                path = Path(place, name)
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        path.unlink()
        if not deep:
            break
        folders[:] = [name for name in folders if not _PART.fullmatch(name)]


def is_foreign(folder: Path, marker: str, beginning: str = "") -> bool:
    """Whether there is something in a folder's place that bracket did not put there: a file, or a folder that holds
    something, but not the file by which bracket knows its own.

    Args:
        marker: that file's name. beginning: what it begins with.
    """
    with storage_errors(folder):
        if not os.path.lexists(folder):
            return False
        if not folder.is_dir():
            return True
        mark = folder / marker
        if mark.is_file():
            with mark.open("rb") as file:
                return file.read(len(beginning.encode())) != beginning.encode()
        return any(folder.iterdir())


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` to write to; moves it over `path` when the body ends without an error.

    The temporary name keeps the suffix, so libraries that choose a format by it work. Makes missing parent folders.

    Raises:
        StorageError: the disk is full or the folder can't be written; `path` is then as it was.
    """
    part = _half_made(path, path.stem, path.suffix)
    with storage_errors(path):
        private_folder(path.parent)
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a whole file. Raises StorageError."""
    with written_whole(path) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes a whole UTF-8 file with the line ends given, on every system. Raises StorageError."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Writes indented JSON, by the rule of `plain_json`. Raises StorageError."""
    write_text(path, plain_json(value, indent=2) + "\n")


def plain_json(value: object, indent: int | None = None) -> str:
    """JSON that every reader takes: NaN and infinity, which a trainer's figures may be, are null there."""
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def read_json(path: Path) -> Any:
    """The JSON in a file.

    Raises:
        StorageError: the file is missing, can't be read, or is not whole JSON.
    """
    try:
        with storage_errors(path):
            data = read_bytes(path, MOST_BYTES)
        return from_json(data, MOST_BYTES)
    except Unreadable as error:
        raise StorageError(f"This file is damaged: {error}", path=path, remedy="Restore it from a copy.") from error


def append_line(path: Path, line: str) -> None:
    """Adds one line to a UTF-8 file. A line that a kill or a full disk tore is closed or taken back first.

    Raises:
        StorageError: the disk is full or the file can't be written; no part of the line stays then.
        ValueError: `line` holds a line break.
    """
    if "\n" in line or "\r" in line:
        raise ValueError("a line can't hold a line break")
    with storage_errors(path):
        private_folder(path.parent)
        with path.open("ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            torn = False
            if end:
                file.seek(end - 1)
                torn = file.read(1) != b"\n"
            data = (b"\n" if torn else b"") + line.encode("utf-8") + b"\n"
            try:
                if file.write(data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                with contextlib.suppress(OSError):  # the first error is the one to tell
                    file.truncate(end)
                raise


def append_json(path: Path, value: object) -> None:
    """Adds `value` as one line of JSON, by the rule of `plain_json`. Raises StorageError."""
    append_line(path, plain_json(value))


def read_mapping(path: Path) -> dict[str, Any]:
    """The JSON object in a file of which nothing depends that can't be had again: {} where it is missing, and, with a
    warning, where it is damaged."""
    if not os.path.lexists(path):
        return {}
    try:
        found = read_json(path)
        if isinstance(found, dict):
            return found
        log.warning("%s", StorageError("This file is damaged: it holds something else", path=path))
    except StorageError as error:
        log.warning("%s", error)
    return {}


def whole_lines(path: Path) -> list[Any]:
    """As `read_json_lines`, but nothing of a file that can't be read at all: a warning tells which."""
    try:
        return read_json_lines(path)
    except StorageError as error:
        log.warning("%s", error)
        return []


def read_json_lines(path: Path) -> list[Any]:
    """Every whole line of JSON in a file, [] when there is no file; lines torn by a kill are left out.

    Raises:
        StorageError: the file is there but can't be read.
    """
    with storage_errors(path):
        try:
            lines = read_bytes(path, MOST_BYTES).splitlines()
        except FileNotFoundError:
            return []
        except Unreadable as error:
            raise StorageError(f"This file is damaged: {error}", path=path, remedy="Move it away.") from error
    values = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            values.append(json.loads(line))
    return values
