"""What a model once said of a picture or a text, kept in SQLite so that nothing is looked at twice.

Keys are content hashes and the model's fingerprint, so entries never go stale: a changed file or model has other keys.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bracket.errors import StorageError
from bracket.files import storage_errors
from bracket.judges.asking import Answer

Vector = NDArray[np.float32]
Item = TypeVar("Item")
Result = TypeVar("Result")
log = logging.getLogger(__name__)

_WAIT = 60.0
"""Seconds to wait for another process that writes."""
_MANY = 500
"""Keys a query asks for at once; SQLite's own limit on variables is 999 in old builds."""
_REMEDY = "Delete the file: what it holds can be made again."


class _Table(ABC, Generic[Item]):
    """Items by (model, key) in a table of a file. Several threads and processes may use one file at once.

    A file that SQLite finds damaged is set aside and a new one begun; a disk that takes no more is only warned about,
    since everything in here can be made again.

    Raises:
        StorageError: the cache's folder can't be made or the file can't be opened.
    """

    table: ClassVar[str]
    """Its name ends with a number that goes up when what is kept in it changes."""
    column: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._connection = self._guarded(self._open)
        except sqlite3.OperationalError as error:
            raise StorageError(f"The judge's cache can't be opened: {error}", path=path, remedy=_REMEDY) from error

    @abstractmethod
    def _pack(self, item: Item) -> bytes: ...

    @abstractmethod
    def _unpack(self, data: bytes) -> Item | None:
        """The reverse of `_pack`; None for what it never gives."""

    def get(self, model: str, keys: Iterable[str]) -> dict[str, Item]:
        """Those of the keys that are known, with their items."""
        wanted = list(dict.fromkeys(keys))
        with self._lock:
            try:
                return self._guarded(lambda: self._select(model, wanted))
            except sqlite3.OperationalError as error:
                log.warning("The judge's cache can't be asked (%s): %s. Judging goes on without it.", self.path, error)
                return {}

    def put(self, model: str, items: Mapping[str, Item]) -> None:
        """Keep these items; all or none."""
        rows = [(model, key, self._pack(item)) for key, item in items.items()]
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
                columns = f"(model TEXT, key TEXT, {self.column} BLOB, PRIMARY KEY (model, key))"
                connection.execute(f"CREATE TABLE IF NOT EXISTS {self.table} {columns}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _select(self, model: str, keys: list[str]) -> dict[str, Item]:
        found: dict[str, Item] = {}
        for start in range(0, len(keys), _MANY):
            part = keys[start : start + _MANY]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, {self.column} FROM {self.table} WHERE model = ? AND key IN ({marks})"
            for key, data in self._connection.execute(query, [model, *part]):
                item = self._unpack(data)
                if item is not None:
                    found[key] = item
        return found

    def _insert(self, rows: list[tuple[str, str, bytes]]) -> None:
        with self._connection:
            self._connection.executemany(f"INSERT OR REPLACE INTO {self.table} VALUES (?, ?, ?)", rows)

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


class VectorCache(_Table[Vector]):
    """Float32 vectors, see `_Table`."""

    table, column = "vectors_1", "vector"

    def _pack(self, item: Vector) -> bytes:
        return np.ascontiguousarray(item, np.float32).tobytes()

    def _unpack(self, data: bytes) -> Vector | None:
        vector = np.frombuffer(data, np.float32) if len(data) % 4 == 0 else np.empty(0, np.float32)
        return vector if vector.size and np.isfinite(vector).all() else None


class AnswerCache(_Table[Answer]):
    """What vision-language models answered, see `_Table`."""

    table, column = "answers_1", "answer"

    def _pack(self, item: Answer) -> bytes:
        chances = dict(item.chances) if item.chances is not None else None
        return json.dumps([chances, item.texts, item.coverage]).encode()

    def _unpack(self, data: bytes) -> Answer | None:
        try:
            chances, texts, coverage = json.loads(data)
            shares = {str(k): float(v) for k, v in chances.items()} if chances is not None else None
            return Answer(shares, tuple(map(str, texts)), float(coverage))
        except (ValueError, TypeError, AttributeError):
            return None
