"""Scalars for TensorBoard: one record a step, on disk about once a second."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bracket.files import storage_errors

FLUSH_SECONDS = 1.0
_HEADER = struct.Struct("<QI")
_FOOTER = 4


class EventLog:
    """Writes a tfevents file without a thread of its own, so that a flush before a checkpoint is a promise."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        now = time.time()
        # Named as TensorBoard wants it; the time in front keeps a resumed run's files in order.
        self.path = folder / f"events.out.tfevents.{now:017.6f}.{socket.gethostname()}.{os.getpid()}"
        with storage_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=now, file_version="brain.Event:2"))
        self.flush()

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Scalars of one step, by tag."""
        summary = self._summary(value=[self._summary.Value(tag=k, simple_value=v) for k, v in values.items()])
        self._write(self._event(wall_time=time.time(), step=step, summary=summary))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Everything added so far is on disk when this returns."""
        with storage_errors(self.path):
            self._file.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        self.flush()
        self._file.close()

    def _write(self, event: Any) -> None:
        with storage_errors(self.path):
            self._records.write(event.SerializeToString())


def cut_after(folder: Path, step: int) -> None:
    """Cut the records after `step` off a run's event files, so that a resumed run doesn't tell them twice.

    A record is length, its checksum, the event and its checksum; a half-written last one goes too.
    """
    from tensorboard.compat.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        at = 0
        while at + _HEADER.size <= len(data):
            (length, _) = _HEADER.unpack_from(data, at)
            end = at + _HEADER.size + length + _FOOTER
            if end > len(data) or Event.FromString(data[at + _HEADER.size : end - _FOOTER]).step > step:
                break
            at = end
        if at < len(data):
            with storage_errors(path):
                os.truncate(path, at)
