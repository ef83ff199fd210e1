"""Progress and silence of a launch, seen from its files alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from bracket.domain import Launch, Trace
from bracket.runner.reading.watch import Watch


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    traces = Trace(tmp_path / "a"), Trace(tmp_path / "b")
    return Launch((), ("true",), tmp_path, tmp_path / "launch.log", traces=traces, expected_steps=100)


def write(folder: Path, tag: str, points: dict[int, float], began: float, pace: float = 1.0) -> None:
    folder.mkdir(exist_ok=True)
    with open(folder / f"events.out.tfevents.{began:.0f}", "ab") as stream:
        writer = RecordWriter(stream)
        for step, value in points.items():
            event = Event(step=step, wall_time=began + step / pace)
            event.summary.value.add(tag=tag, simple_value=value)
            writer.write(event.SerializeToString())


def test_progress_is_that_of_the_trial_behind(launch: Launch) -> None:
    watch = Watch(launch)
    assert watch.progress().phase == "starting"
    write(launch.traces[0].path, "loss/train", {step: 0.5 for step in range(1, 21)}, watch.started, pace=4)
    assert watch.progress().step == 0
    write(launch.traces[1].path, "loss/train", {step: 0.25 for step in range(1, 11)}, watch.started, pace=2)
    progress = watch.progress()
    assert (progress.step, progress.total, progress.loss, progress.phase) == (10, 100, 0.375, "training")
    assert progress.speed == pytest.approx(2.0)
    assert progress.seconds_left == pytest.approx(45.0)


def test_an_earlier_runs_pace_does_not_count(launch: Launch) -> None:
    watch = Watch(launch)
    for trace in launch.traces:
        write(trace.path, "loss/train", {1: 0.5, 2: 0.5}, watch.started - 1000)
    progress = watch.progress()
    assert progress.step == 2
    assert progress.speed is None
    assert progress.seconds_left is None


def test_progress_from_a_bar_in_the_log(launch: Launch) -> None:
    watch = Watch(launch)
    bars = "steps:   0%|          | 0/14 [00:00<?, ?it/s]\r"
    bars += "steps:  71%|███████▏  | 10/14 [00:10<00:04,  1.25s/it, avr_loss=1.07]INFO saving"
    launch.log.write_text("loading\n" + bars)
    progress = watch.progress()
    assert (progress.step, progress.total, progress.loss, progress.phase) == (10, 14, 1.07, "training")
    assert progress.speed == 0.8 and progress.seconds_left == 5.0
    with launch.log.open("a") as log:
        log.write("\n\rSampling:  50%|█████     | 1/2 [00:00<00:00, 22.93it/s]\x1b[A")
    progress = watch.progress()
    assert (progress.step, progress.total, progress.loss, progress.phase) == (10, 14, 1.07, "sampling")


def test_an_earlier_runs_log_does_not_count(launch: Launch) -> None:
    launch.log.write_text("steps:  71%|███████▏  | 10/14 [00:10<00:04,  1.25s/it, avr_loss=1.07]\n")
    assert Watch(launch).progress().step == 0


def test_curves_say_how_far_and_the_log_what_it_does(launch: Launch) -> None:
    watch = Watch(launch)
    for trace in launch.traces:
        write(trace.path, "loss/train", {1: 0.5, 2: 0.25}, watch.started)
    launch.log.write_text("validation steps:  50%|█████     | 4/8 [00:00<00:00, 22.93it/s, val_avg_loss=0.1]\r")
    progress = watch.progress()
    assert (progress.step, progress.total, progress.loss, progress.phase) == (2, 100, 0.25, "validating")


def test_silence_ends_with_any_growth(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, now, later = Watch(launch), time.monotonic, [0.0]
    monkeypatch.setattr("bracket.runner.reading.watch.time.monotonic", lambda: now() + later[0])
    later[0] = 500.0
    assert watch.silent_seconds() >= 500
    launch.log.write_text("a line\n")
    assert watch.silent_seconds() < 500
    later[0] = 1000.0
    assert watch.silent_seconds() >= 500
    write(launch.traces[1].path, "anything", {1: 1.0}, watch.started)
    assert watch.silent_seconds() < 500


def test_a_clock_that_is_put_back_changes_no_age(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, now = Watch(launch), time.time
    monkeypatch.setattr("bracket.runner.reading.watch.time.time", lambda: now() - 3600)
    assert 0 <= watch.progress().seconds < 60 and watch.silent_seconds() < 60
