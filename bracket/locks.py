"""Locks of the operating system: held by an open file, so for as long as its process lives and not a moment longer.

A kill -9 frees one, and neither a moved clock nor a reused process number can hold one. What the file says of its
holder is for people; it is only true while the file is locked.

Network folders: NFS and SMB share these locks between machines where their server has them. A file system that has
none (some FUSE and cloud folders) is locked by proxy in this machine's temporary folder: two brackets of one machine
still see each other there, two machines do not.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_NONE_HERE = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
"""What a file system without locks answers."""
_BLINK = 0.3
"""Seconds in which a free lock is got: somebody may just be looking whether it is held."""
_POLL = 0.01

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30
    """The locked byte lies behind all that is written, since nobody can read a locked one."""
    _LOOKS = 5

    def _lock(file: int, _shared: bool) -> None:
        os.lseek(file, _FAR, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    _LOOKS = 1

    def _lock(file: int, shared: bool) -> None:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


class Held:
    """A lock that this process holds until it lets go or ends. `left` is what a holder that was killed left in it."""

    def __init__(self, path: Path, file: int, proxy: int | None, left: str) -> None:
        self._path, self._files, self.left = path, [file, *([proxy] if proxy is not None else [])], left

    def release(self) -> None:
        """Let go. The file goes first: who opened it meanwhile finds that it is not the one at `path` any more. Under
        Windows it goes last, since an open file can't be removed there, neither ours nor the next holder's."""
        if sys.platform != "win32":
            self._remove()
        for file in self._files:
            os.close(file)
        self._files = []
        if sys.platform == "win32":
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()


def take(path: Path, says: Mapping[str, Any] | None = None, wait: float = _BLINK) -> Held | None:
    """The lock at `path`, or None when another holds it for `wait` seconds (also another thread of this process).

    Args:
        says: what others are told of the holder, beside its process.

    Raises:
        OSError: the file can't be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + wait
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            locked, proxy = _locked(file, path)
            if locked and _is_at(file, path):
                left = _read(file)
                _write(file, {"pid": os.getpid(), **(says or {})})
                return Held(path, file, proxy, left)
        except BaseException:
            os.close(file)
            raise
        for other in (file, *([proxy] if proxy is not None else [])):
            os.close(other)
        if time.monotonic() >= end and not locked:
            return None
        time.sleep(_POLL)


def holder(path: Path) -> dict[str, Any] | None:
    """What the present holder of a lock says of itself, None while nobody holds it. Changes nothing, and waits for
    nobody.

    Raises:
        OSError: the file is there but may not be opened.
    """
    for again in reversed(range(_LOOKS)):
        try:
            file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe in its place holds nobody up
        except (FileNotFoundError, NotADirectoryError):
            return None
        proxy: int | None = None
        try:
            locked, proxy = _locked(file, path, shared=True)
            if locked:
                return None
            if not again:
                return _said(_read(file))
        finally:
            for other in (file, *([proxy] if proxy is not None else [])):
                os.close(other)
        time.sleep(_POLL)
    return None


@contextlib.contextmanager
def alone(path: Path, wait: float = 10.0) -> Iterator[None]:
    """One process at a time does the body, such as reading a file and writing it again: holds `path`.lock meanwhile.

    Raises:
        TimeoutError: another held it all the while. OSError: the folder can't be written.
    """
    held = take(path.with_name(f".{path.name}.lock"), wait=wait)
    if held is None:
        raise TimeoutError(errno.ETIMEDOUT, "another process has been changing it for too long", str(path))
    try:
        yield
    finally:
        held.release()


def _locked(file: int, path: Path, shared: bool = False) -> tuple[bool, int | None]:
    """Whether the open file could be locked, and the proxy that was locked for it where its folder has no locks."""
    try:
        _lock(file, shared)
        return True, None
    except OSError as error:
        if error.errno not in _NONE_HERE:
            return False, None
    folder = Path(tempfile.gettempdir()) / f"bracket-locks-{os.getuid() if sys.platform != 'win32' else ''}"
    folder.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:32]
    proxy = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(proxy, shared)
        return True, proxy
    except OSError:
        return False, proxy


def _is_at(file: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`: its last holder may have taken it away."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), os.stat(path))
    return False


def _write(file: int, says: Mapping[str, Any]) -> None:
    os.lseek(file, 0, os.SEEK_SET)
    os.ftruncate(file, 0)
    os.write(file, json.dumps(says).encode())


def _read(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    return os.read(file, 65_536).decode(errors="replace")


def _said(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):  # it is just being written, or was tampered with
        return {}
    return said if isinstance(said, dict) else {}
