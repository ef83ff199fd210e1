"""What a model once said of a picture or a text, kept in SQLite so that nothing is looked at twice.

Keys are content hashes and the model's fingerprint, so entries never go stale: a changed file or model has other keys.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bracket.errors import StorageError
from bracket.files import storage_errors

Vector = NDArray[np.float32]
Result = TypeVar("Result")
log = logging.getLogger(__name__)

_WAIT = 60.0
"""Seconds to wait for another process that writes."""
_MANY = 500
"""Keys a query asks for at once; SQLite's own limit on variables is 999 in old builds."""
_REMEDY = "Delete the file: what it holds can be made again."
_TABLE = "CREATE TABLE IF NOT EXISTS vectors_1 (model TEXT, key TEXT, vector BLOB, PRIMARY KEY (model, key))"


class VectorCache:
    """Float32 vectors by (model, key). Several threads and processes may use one file at once.

    A file that SQLite finds damaged is set aside and a new one begun; a disk that takes no more is only warned about,
    since everything in here can be made again.

    Raises:
        StorageError: the cache's folder can't be made or the file can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._connection = self._guarded(self._open)
        except sqlite3.OperationalError as error:
            raise StorageError(f"The judge's cache can't be opened: {error}", path=path, remedy=_REMEDY) from error

    def get(self, model: str, keys: Iterable[str]) -> dict[str, Vector]:
        """Those of the keys that are known, with their vectors."""
        wanted = list(dict.fromkeys(keys))
        with self._lock:
            try:
                return self._guarded(lambda: self._select(model, wanted))
            except sqlite3.OperationalError as error:
                log.warning("The judge's cache can't be asked (%s): %s. Judging goes on without it.", self.path, error)
                return {}

    def put(self, model: str, vectors: Mapping[str, Vector]) -> None:
        """Keep these vectors; all or none."""
        rows = [(model, key, np.ascontiguousarray(v, np.float32).tobytes()) for key, v in vectors.items()]
        with self._lock:
            try:
                self._guarded(lambda: self._insert(rows))
            except sqlite3.OperationalError as error:
                log.warning("The judge's cache takes no more (%s): %s. Judging goes on without it.", self.path, error)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _open(self) -> sqlite3.Connection:
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
        connection = sqlite3.connect(self.path, timeout=_WAIT, check_same_thread=False)
        try:
            with connection:
                connection.execute(_TABLE)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _select(self, model: str, keys: list[str]) -> dict[str, Vector]:
        found: dict[str, Vector] = {}
        for start in range(0, len(keys), _MANY):
            part = keys[start : start + _MANY]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, vector FROM vectors_1 WHERE model = ? AND key IN ({marks})"
            for key, blob in self._connection.execute(query, [model, *part]):
                vector = np.frombuffer(blob, np.float32) if len(blob) % 4 == 0 else np.empty(0, np.float32)
                if vector.size and np.isfinite(vector).all():
                    found[key] = vector
        return found

    def _insert(self, rows: list[tuple[str, str, bytes]]) -> None:
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors_1 VALUES (?, ?, ?)", rows)

    def _guarded(self, action: Callable[[], Result]) -> Result:
        """Run `action`; when the file is damaged, once more with a new file."""
        try:
            return action()
        except sqlite3.DatabaseError as error:
            # The subclasses (locked, full, misused) say nothing about the file; the plain class says it is damaged.
            if type(error) is not sqlite3.DatabaseError:
                raise
            self._set_aside(error)
            return action()

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.path, aside)
        self.path.with_name(self.path.name + "-journal").unlink(missing_ok=True)
        log.warning("The judge's cache is damaged (%s): it was moved to %s and begun anew.", error, aside)
        if connection is not None:
            self._connection = self._open()
