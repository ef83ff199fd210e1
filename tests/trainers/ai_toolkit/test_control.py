"""The control database and the launcher, with a trainer that reads and writes it in AI-Toolkit's order."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from bracket.trainers.ai_toolkit import run as ai_toolkit_run
from bracket.trainers.ai_toolkit.control import Stop, make_control
from bracket.trainers.ai_toolkit.run import forget, is_saved, was_reached

TRAINER = """
import sqlite3, sys, time
from pathlib import Path
database, folder, first, steps, fails, slow = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])
def ask(what):
    with sqlite3.connect(database) as c:
        return c.execute(f"SELECT {what} FROM Job").fetchone()[0] == 1
def say(**columns):
    for name, value in columns.items():
        with sqlite3.connect(database) as c:
            c.execute(f"UPDATE Job SET {name} = ? WHERE id = 'job'", (str(value),))
def note(text):
    with (folder / "done").open("a") as file:
        print(text, file=file)
def stop():
    if ask("stop"):
        say(status="stopped")
        note("stopped")
        raise Exception("Job stopped")
def save(step):
    stop(); say(info="Saving model"); note(f"save {step}")
    if not fails:
        (folder / f"job_{step:09d}.safetensors").write_text("x")
    stop(); say(info="Training")
def draw(step):
    stop(); say(info="Generating images - 0/2"); note(f"draw {step}")
    for n in (1, 2):
        stop(); say(info=f"Generating images - {n}/2")
    stop(); say(info="Training")
try:
    stop(); say(info="Loading model"); stop(); say(info="Loading dataset"); note("cache")
    stop(); say(step=first); say(info="Training")
    if not first:
        draw(0)
    for index in range(first, steps):
        if slow:
            note("slow"); time.sleep(30)
        note(f"train {index}"); say(step=index + 1); stop()
        if ask("save_now"):
            say(save_now=0); save(index + 1)
        if ask("sample_now"):
            say(sample_now=0); draw(index + 1)
    stop(); note("end")
except KeyboardInterrupt:
    note("interrupted")
    sys.exit(0)
"""


def start(tmp_path: Path, *launcher: str, first: int = 1, steps: int = 9, fails: int = 0, slow: int = 0) -> list[str]:
    (tmp_path / "trainer.py").write_text(TRAINER)
    numbers = map(str, (first, steps, fails, slow))
    trainer = [sys.executable, str(tmp_path / "trainer.py"), str(tmp_path / "db"), str(tmp_path), *numbers]
    return [sys.executable, "-I", ai_toolkit_run.__file__, "--db", str(tmp_path / "db"), *launcher, "--", *trainer]


def done(tmp_path: Path) -> list[str]:
    return (tmp_path / "done").read_text().splitlines()


def test_a_rung_saves_and_draws_at_its_step_and_trains_one_more(tmp_path: Path) -> None:
    make_control(tmp_path / "db", "job", Stop("drawn", 3))
    run = subprocess.run(start(tmp_path, "--saved", str(tmp_path / "job_000000003")), capture_output=True)
    assert run.returncode == 0, run.stderr
    assert done(tmp_path) == ["cache", "train 1", "train 2", "save 3", "draw 3", "train 3", "stopped"]


def test_a_rung_without_prompts_stops_once_it_is_saved(tmp_path: Path) -> None:
    make_control(tmp_path / "db", "job", Stop("saved", 2))
    assert subprocess.run(start(tmp_path, "--saved", str(tmp_path / "job_000000002"))).returncode == 0
    assert done(tmp_path)[-3:] == ["save 2", "train 2", "stopped"]


def test_a_rung_that_was_not_saved_is_no_success(tmp_path: Path) -> None:
    make_control(tmp_path / "db", "job", Stop("drawn", 3))
    argv = start(tmp_path, "--saved", str(tmp_path / "job_000000003"), fails=1)
    run = subprocess.run(argv, capture_output=True, text=True)
    assert run.returncode == 1 and "did not save" in run.stderr


def test_a_run_of_no_steps_draws_and_stops_before_it_saves(tmp_path: Path) -> None:
    make_control(tmp_path / "db", "job", Stop("drawn"))
    assert subprocess.run(start(tmp_path, first=0, steps=0)).returncode == 0
    assert done(tmp_path) == ["cache", "draw 0", "stopped"]


def test_a_cache_run_stops_before_training(tmp_path: Path) -> None:
    make_control(tmp_path / "db", "job", Stop("cached"))
    assert subprocess.run(start(tmp_path)).returncode == 0
    assert done(tmp_path) == ["cache", "stopped"]


def test_a_failure_keeps_its_code_and_an_end_too_early_is_an_interruption(tmp_path: Path) -> None:
    make_control(tmp_path / "db", "job", Stop("drawn", 30))
    assert subprocess.run(start(tmp_path)).returncode == ai_toolkit_run.INTERRUPTED
    launcher = [sys.executable, ai_toolkit_run.__file__, "--db", str(tmp_path / "db"), "--", sys.executable, "-c"]
    assert subprocess.run([*launcher, "raise SystemExit(7)"]).returncode == 7


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_reach_the_trainer_once(tmp_path: Path, number: signal.Signals, code: int) -> None:
    make_control(tmp_path / "db", "job", Stop("drawn", 3))
    argv = start(tmp_path, slow=1)
    with subprocess.Popen(argv, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 10
        while not (tmp_path / "done").exists() or "slow" not in done(tmp_path):
            assert time.monotonic() < until
            time.sleep(0.01)
        if number == signal.SIGINT:  # as the guard sends it: to the group
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert process.wait(30) == code
    assert (done(tmp_path)[-1] == "interrupted") is (number == signal.SIGINT)


def test_a_control_is_made_anew(tmp_path: Path) -> None:
    make_control(tmp_path / "db", "one", Stop("drawn", 3))
    make_control(tmp_path / "db", "two")
    with closing(sqlite3.connect(tmp_path / "db")) as control:
        assert control.execute("SELECT id, stop, save_now FROM Job").fetchall() == [("two", 0, 0)]
        assert control.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone() == (0,)
    assert not was_reached(tmp_path / "db") and not was_reached(tmp_path / "none")


def test_metrics_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "log.db")) as log, log:
        log.executescript("CREATE TABLE steps (step INTEGER); CREATE TABLE metrics (step INTEGER)")
        for table in ("steps", "metrics"):
            log.executemany(f"INSERT INTO {table} VALUES (?)", [(n,) for n in range(5)])
    forget(tmp_path / "log.db", 3)
    with closing(sqlite3.connect(tmp_path / "log.db")) as log:
        assert log.execute("SELECT max(step) FROM metrics").fetchone() == (2,)
        assert log.execute("SELECT max(step) FROM steps").fetchone() == (2,)
    forget(tmp_path / "none.db", 3)


def test_a_name_with_signs_of_a_pattern_is_found(tmp_path: Path) -> None:
    assert not is_saved(tmp_path / "a[1]")
    (tmp_path / "a[1]_high_noise.safetensors").touch()
    assert is_saved(tmp_path / "a[1]")
