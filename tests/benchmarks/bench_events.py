"""Cost of reading event files: a million points, then a thousand more.

    python -m tests.benchmarks.bench_events [POINTS]

Prints the second read's time over the first's (to be under 1 %) and tensorboard's own reader over ours, in one run.
"""

from __future__ import annotations

import logging
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tqdm import tqdm

from bracket.runner.reading.events import EventReader, _masked_crc32c

NEW = 1000


def main() -> None:
    """Writes, reads and compares."""
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "events.out.tfevents.1700000000.host.1.0"
        write(path, range(count))
        reader = EventReader(Path(name))
        first = seconds(lambda: reader.read_new(), count)
        write(path, range(count, count + NEW))
        second = seconds(lambda: reader.read_new(), NEW)
        idle = seconds(lambda: reader.read_new(), 0)
        # Its checksums are computed in Python; a tenth of the points is enough to see the pace.
        few = count // 10
        path.unlink()
        write(path, range(few))
        board = EventAccumulator(name, size_guidance={"scalars": 0})
        theirs = timed(lambda: board.Reload()) / few
    print(f"first read   {count:>9,} points  {first:8.3f} s CPU")
    print(f"second read  {NEW:>9,} points  {second:8.3f} s CPU  {second / first:.2%} of the first (target < 1 %)")
    print(f"idle read    {0:>9,} points  {idle:8.3f} s CPU  {idle / first:.2%} of the first")
    print(f"tensorboard's EventAccumulator takes {theirs / (first / count):.1f}× as long per point")


def seconds(read: Callable[[], dict[str, tuple[object, object]]], expected: int) -> float:
    """CPU time of one read, which must find as many points as expected."""
    found: dict[str, tuple[object, object]] = {}
    taken = timed(lambda: found.update(read()))
    points = sum(len(values) for _, values in found.values())  # type: ignore[arg-type]
    assert points == expected, f"{points} points found, {expected} written"
    return taken


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def write(path: Path, steps: range) -> None:
    """Appends one scalar a step. The data's checksum, which Python computes slowly, is only right where it is read."""
    event = Event()
    value = event.summary.value.add(tag="loss/train")
    headers: dict[bytes, bytes] = {}  # of the few lengths there are
    checked = len(steps) <= 100_000
    with open(path, "ab") as stream:
        for step in tqdm(steps, desc="writing", unit=" points", disable=None):
            event.step, event.wall_time, value.simple_value = step, 1.7e9 + step / 10, 1 / (1 + step * 1e-4)
            data = event.SerializeToString()
            length = struct.pack("<Q", len(data))
            header = headers.setdefault(length, struct.pack("<I", _masked_crc32c(length)))
            stream.write(length + header + data)
            stream.write(struct.pack("<I", _masked_crc32c(data)) if checked else bytes(4))


if __name__ == "__main__":
    main()
