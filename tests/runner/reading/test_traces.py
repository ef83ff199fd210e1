"""Curves under the house's names: from tfevents files, and from a database as AI-Toolkit writes it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from bracket.domain import Trace
from bracket.errors import StorageError
from bracket.runner.reading.events import Curve
from bracket.runner.reading.traces import EventTrace, SqliteLog, open_trace, read_trace, write_trace
from tests.runner.loss_log import Log

TAGS = {"loss/current": "loss/train", "lr/unet": "lr", "lr/group0": "", "loss/epoch": ""}
KEYS = {"loss/loss": "loss/train", "val/loss": "loss/validation", "learning_rate": "lr"}


def events(folder: Path, *points: tuple[str, int, float]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "events.out.tfevents.1700000000.host.1.0", "ab") as stream:
        writer = RecordWriter(stream)
        for tag, step, value in points:
            event = Event(step=step, wall_time=1.7e9 + step / 2)
            event.summary.value.add(tag=tag, simple_value=value)
            writer.write(event.SerializeToString())


def pairs(curve: Curve) -> list[tuple[int, float]]:
    return list(zip(curve[0].tolist(), curve[1].tolist(), strict=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """In a folder with blanks, question marks and letters that an address would have to escape."""
    folder = tmp_path / "my run #1? müsli"
    folder.mkdir()
    return folder / "loss_log.db"


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    made = Log(path)
    yield made
    made.database.close()


def test_a_trainers_tags_get_the_houses_names(tmp_path: Path) -> None:
    reader = open_trace(Trace(tmp_path, TAGS))
    assert reader.read_new() == {} and reader.size == 0
    events(tmp_path, ("loss/current", 1, 0.5), ("lr/unet", 1, 0.25), ("lr/group0", 1, 0.25), ("loss/average", 1, 0.5))
    events(tmp_path, ("loss/current", 2, 0.25), ("loss/epoch", 1, 0.375), ("loss/validation", 0, 0.75))
    curves = reader.read_new()
    assert {name: pairs(curve) for name, curve in curves.items()} == {
        "loss/train": [(1, 0.5), (2, 0.25)],
        "lr": [(1, 0.25)],
        "loss/average": [(1, 0.5)],
        "loss/validation": [(0, 0.75)],
    }
    assert reader.read_new() == {} and reader.size > 0
    assert {name: pairs(curve) for name, curve in reader.read_all().items()} == {n: pairs(c) for n, c in curves.items()}
    assert reader.speed("loss/train") == pytest.approx(2.0)
    assert reader.speed("loss/validation") is None


def test_the_last_micro_batch_of_a_step_counts(tmp_path: Path) -> None:
    reader = EventTrace(Trace(tmp_path, TAGS))
    values = {0: [0.5], 1: [0.25, 0.75], 2: [0.125, 1.0]}  # two micro-batches a step: the first sits at step 0
    events(tmp_path, *(("loss/current", step, value) for step, found in values.items() for value in found))
    assert pairs(reader.read_new()["loss/train"]) == [(1, 0.75), (2, 1.0)]
    events(tmp_path, ("loss/current", 3, 0.5), ("loss/current", 3, 0.25))
    assert pairs(reader.read_new()["loss/train"]) == [(3, 0.25)]
    assert pairs(reader.read_all()["loss/train"]) == [(1, 0.75), (2, 1.0), (3, 0.25)]


def test_step_0_is_before_training_for_every_curve_but_the_validation_loss(tmp_path: Path) -> None:
    tags = ("loss/current", "lr/unet", "lr/textencoder", "max_norm/keys_scaled", "loss/validation")
    events(tmp_path, *((tag, step, 0.5) for tag in tags for step in (0, 1)))
    curves = {name: curve[0].tolist() for name, curve in open_trace(Trace(tmp_path, TAGS)).read_all().items()}
    assert curves.pop("loss/validation") == [0, 1]
    assert set(curves) == {"loss/train", "lr", "lr/textencoder", "max_norm/keys_scaled"}
    assert all(steps == [1] for steps in curves.values())


@pytest.mark.parametrize(
    ("logged", "shown"),
    [
        ({"lr/unet": 1e-4, "lr/group0": 1e-4}, {"lr": 1e-4}),  # sd-scripts with AdamW
        ({"lr/unet": 1, "lr/d*lr/unet": 3e-6, "lr/group0": 1, "lr/d*lr/group0": 3e-6}, {"lr": 3e-6}),  # with Prodigy
        (  # sd-scripts' SD 1.5 with a text encoder
            {"lr/textencoder": 1, "lr/d*lr/textencoder": 2e-6, "lr/unet": 1, "lr/d*lr/unet": 3e-6, "lr/group1": 1},
            {"lr": 3e-6, "lr/textencoder": 2e-6},
        ),
        ({"lr/unet": 1, "lr/d*lr": 3e-6}, {"lr": 3e-6}),  # ProdigyPlusScheduleFree
        ({"lr/unet": 1, "lr/d*lr/unet": 3e-6, "lr/d*eff_lr/unet": 2e-6}, {"lr": 2e-6}),  # the same in musubi
        ({"lr/unet": 1e-4, "lr/unet plus": 4e-4}, {"lr": 1e-4, "lr/unet plus": 4e-4}),  # LoRA+
    ],
)
def test_a_rate_is_the_one_that_is_stepped_with(
    logged: dict[str, float], shown: dict[str, float], tmp_path: Path
) -> None:
    events(tmp_path, *((tag, 1, value) for tag, value in logged.items()))
    curves = open_trace(Trace(tmp_path, TAGS)).read_all()
    assert {name: curve[1].tolist() for name, curve in curves.items()} == {
        name: pytest.approx([rate]) for name, rate in shown.items()
    }


def test_a_trace_is_kept_with_its_trial_and_moves_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    assert read_trace(folder) == Trace(folder / "tfevents")
    write_trace(folder, Trace(folder / "out" / "loss_log.db", KEYS))
    moved = folder.rename(tmp_path / "moved")
    assert read_trace(moved) == Trace(moved / "out" / "loss_log.db", KEYS)
    write_trace(moved, Trace(tmp_path / "elsewhere", {"loss": "loss/train"}))
    assert read_trace(moved) == Trace(tmp_path / "elsewhere", {"loss": "loss/train"})
    for text in ("{", "[]", '{"path": 1}', '{"path": "a", "tags": 2}'):
        (moved / "trace.json").write_text(text)
        with pytest.raises(StorageError, match="damaged"):
            read_trace(moved)


def test_a_loss_log_from_before_it_exists(path: Path) -> None:
    reader = open_trace(Trace(path, KEYS))
    assert isinstance(reader, SqliteLog)
    assert reader.read_new() == {}
    path.write_bytes(b"")
    assert reader.read_new() == {}
    log = Log(path)
    assert reader.read_new() == {}
    log.tables().write(1, 100.0, loss__loss=0.5, learning_rate=0.125, val__loss=0.75)
    assert {name: pairs(curve) for name, curve in reader.read_new().items()} == {
        "loss/train": [(1, 0.5)],
        "lr": [(1, 0.125)],
        "loss/validation": [(1, 0.75)],
    }
    log.write(2, 104.0, loss__loss=0.25)
    assert pairs(reader.read_new()["loss/train"]) == [(2, 0.25)]
    assert reader.read_new() == {} and reader.size == 4
    assert reader.speed("loss/train") == 0.25 and reader.speed("loss/train", 101.0) is None
    log.database.close()
    assert pairs(reader.read_all()["loss/train"]) == [(1, 0.5), (2, 0.25)]
    assert [file.name for file in path.parent.iterdir()] == [path.name], "reading leaves nothing behind"


def test_a_nan_is_a_point_and_a_text_is_none(path: Path, log: Log) -> None:
    log.tables().write(1, 100.0, loss__loss=float("nan"), learning_rate="tensor([1, 2])")
    curves = SqliteLog(Trace(path, KEYS)).read_new()
    assert list(curves) == ["loss/train"]
    assert math.isnan(curves["loss/train"][1][0])


def test_a_locked_database_waits(path: Path, log: Log) -> None:
    log.tables().write(1, 100.0, loss__loss=0.5)
    log.database.execute("PRAGMA journal_mode=DELETE")
    reader = SqliteLog(Trace(path, KEYS))
    log.database.execute("PRAGMA locking_mode=EXCLUSIVE")
    log.write(2, 101.0, loss__loss=0.25)
    log.database.execute("BEGIN EXCLUSIVE")
    log.database.execute("UPDATE steps SET wall_time = 102 WHERE step = 2")
    assert reader.read_new() == {} and reader.problems == []
    log.database.execute("COMMIT")
    log.database.execute("PRAGMA locking_mode=NORMAL")
    log.database.execute("SELECT count(*) FROM steps").fetchall()
    assert pairs(reader.read_new()["loss/train"]) == [(1, 0.5), (2, 0.25)]


def test_a_resume_prunes_and_trains_its_first_step_again(path: Path, log: Log) -> None:
    log.tables()
    for step in range(1, 6):
        log.write(step, 100.0 + step, loss__loss=step / 8)
    reader = SqliteLog(Trace(path, KEYS))
    assert len(reader.read_new()["loss/train"][0]) == 5
    log.prune(3)
    for step in range(3, 9):  # more rows than were pruned: row numbers are used again
        log.write(step, 200.0 + step, loss__loss=step / 16)
    whole = [(1, 0.125), (2, 0.25), *((step, step / 16) for step in range(3, 9))]
    assert pairs(reader.read_new()["loss/train"]) == whole
    assert reader.read_new() == {}
    assert pairs(reader.read_all()["loss/train"]) == whole
    assert reader.speed("loss/train", 200.0) == 1.0


def test_what_is_no_database_is_said_once(path: Path) -> None:
    path.write_bytes(b"this is a text file that was called a database" * 50)
    reader = SqliteLog(Trace(path, KEYS))
    assert reader.read_new() == {} == reader.read_new()
    (problem,) = reader.problems
    assert "loss log" in problem.message and problem.path == path


def test_a_read_costs_as_much_as_is_new(path: Path, log: Log) -> None:
    log.tables()
    rows = [(step, 100.0 + step) for step in range(20_000)]
    log.database.execute("BEGIN")
    log.database.executemany("INSERT INTO steps VALUES (?, ?)", rows)
    log.database.executemany("INSERT INTO metrics VALUES (?, 'loss/loss', ?, NULL)", rows)
    log.database.execute("COMMIT")
    reader = SqliteLog(Trace(path, KEYS))
    assert len(reader.read_new()["loss/train"][0]) == 19_999
    log.write(20_000, 1e6, loss__loss=0.5)
    assert pairs(reader.read_new()["loss/train"]) == [(20_000, 0.5)]
    assert reader.size == 20_001
