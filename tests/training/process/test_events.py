from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bracket.training.process.events import EventLog, cut_after


def scalars(path: Path) -> dict[str, list[tuple[int, float]]]:
    reader = EventAccumulator(str(path))
    reader.Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The events of four steps."""
    log = EventLog(tmp_path)
    for step in range(4):
        log.add(step, {"loss/train": step / 2, "lr": 0.25})
    log.close()
    return log.path


def test_tensorboard_reads_what_was_written(path: Path) -> None:
    assert scalars(path) == {
        "loss/train": [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.5)],
        "lr": [(step, 0.25) for step in range(4)],
    }


def test_a_flush_puts_points_on_disk_while_the_log_is_open(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.add(1, {"a": 1.0})
    log.flush()
    assert scalars(log.path) == {"a": [(1, 1.0)]}
    log.close()


def test_later_steps_are_cut_off(path: Path) -> None:
    cut_after(path.parent, 1)
    assert scalars(path)["lr"] == [(0, 0.25), (1, 0.25)]
    cut_after(path.parent, -1)
    assert scalars(path) == {}


def test_a_torn_last_record_is_cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])
    cut_after(path.parent, 10)
    assert len(scalars(path)["lr"]) == 3
