"""Reading a session while it runs, stands still, or was left by a dead process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bracket.domain import Outcome, Round, Score, Trial, TrialResult, Wanted
from bracket.errors import SettingsError
from bracket.files import read_json, write_json, write_text
from bracket.presets import find_preset
from bracket.session import view
from bracket.session.asked import settings
from bracket.session.control import Progress, ask_to_stop, note_start, write_progress
from bracket.session.store import Store
from tests.ui.made import done_session, running_session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    asked = settings.from_preset(find_preset("embedded-demo"), settings.DatasetSettings(folder="pictures"))
    settings.save(asked, tmp_path / "s")
    return tmp_path / "s"


def _lock(folder: Path, pid: int, started: float) -> None:
    write_json(folder / "lock", {"pid": pid, "started": started})


def _running(folder: Path) -> None:
    _lock(folder, os.getpid(), psutil.Process().create_time())


def test_a_session_that_never_ran_is_idle(folder: Path) -> None:
    seen = view.read(folder)
    assert (seen.state, seen.message, seen.trials) == ("idle", "Not started yet.", ())


def test_one_that_ended_before_it_began_shows_why(folder: Path) -> None:
    write_text(folder / "process.log", "the judge's model folder is missing\n")
    seen = view.read(folder)
    assert seen.state == "failed" and "model folder is missing" in seen.message


def test_a_living_process_is_running_and_then_stopping(folder: Path) -> None:
    _running(folder)
    assert view.read(folder).message == "Starting."
    write_progress(folder, Progress("running", "search", 3, 30, 60.0, "Searching"))
    seen = view.read(folder)
    assert (seen.state, seen.done, seen.planned, seen.phase) == ("running", 3, 30, "search")
    assert seen.eta is not None and 50 < seen.eta < 60, "it counts down from what was said"
    ask_to_stop(folder)
    assert view.read(folder).state == "stopping"


def test_a_process_that_said_it_is_done_is_done_before_it_has_left(folder: Path) -> None:
    _running(folder)
    time.sleep(0.02)
    write_progress(folder, Progress("done", "done", 30, 30))
    assert view.read(folder).state == "done"


def test_an_old_ending_does_not_hide_a_new_run(folder: Path) -> None:
    write_progress(folder, Progress("stopped", "search", 3, 30))
    said = read_json(folder / "state.json")
    write_json(folder / "state.json", {**said, "by": 1})
    _running(folder)
    seen = view.read(folder)
    assert (seen.state, seen.phase, seen.message, seen.done) == ("running", "starting", "Starting.", 3)


@pytest.mark.parametrize("before", [None, "stopped", "failed", "done", "running"])
def test_a_start_is_told_until_its_process_speaks(folder: Path, before: str | None) -> None:
    if before:
        write_progress(folder, Progress(before, "search", 3, 30, 60.0, "What was said before"))
    write_text(folder / "process.log", "an earlier trouble\n")
    log = (folder / "process.log").stat().st_size
    time.sleep(0.02)
    program = "import sys; sys.stdin.read(); print('no module named torch'); sys.exit(3)"
    command = [sys.executable, "-c", program, str(folder)]
    with (folder / "process.log").open("ab") as out, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out) as it:
        note_start(folder, it.pid, log)
        seen = view.read(folder)
        assert (seen.state, seen.phase, seen.message, seen.eta) == ("running", "starting", "Starting.", None)
        assert view.sessions(folder.parent)[0].state == "running"
        it.communicate()
    seen = view.read(folder)
    assert (seen.state, seen.message) == ("failed", "It ended before it began: no module named torch")
    write_progress(folder, Progress("done", "done", 30, 30, message="Done"))
    assert (view.read(folder).state, view.read(folder).message) == ("done", "Done")


def test_a_dead_process_that_never_said_goodbye_is_stopped(folder: Path) -> None:
    _lock(folder, os.getpid(), started=1.0)
    write_progress(folder, Progress("running", "search", 3, 30, 60.0))
    seen = view.read(folder)
    assert seen.state == "stopped" and "without a word" in seen.message and seen.eta is None


def test_sessions_are_listed_newest_first(folder: Path, tmp_path: Path) -> None:
    write_progress(folder, Progress("done", "done"))
    settings.save(settings.load(folder), tmp_path / "later")
    os.utime(tmp_path / "later" / "session.yaml", (time.time() + 60,) * 2)
    (tmp_path / "no session").mkdir()
    assert [(s.name, s.state) for s in view.sessions(tmp_path)] == [("later", "idle"), ("s", "done")]


def test_a_damaged_state_file_is_no_reason_to_fail(folder: Path) -> None:
    write_text(folder / "state.json", '{"state": "runn')
    assert view.read(folder).state == "idle"


def test_a_session_whose_settings_were_edited_can_still_be_looked_at(tmp_path: Path) -> None:
    folder = done_session(tmp_path)
    path = folder / "session.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 7"))
    with pytest.raises(SettingsError):
        settings.load(folder)
    assert view.read(folder).trials[0].samples


def test_a_trial_without_steps_says_what_its_trainer_does(tmp_path: Path) -> None:
    folder = running_session(tmp_path)
    write_json(folder / "lock", {"pid": os.getpid(), "started": psutil.Process().create_time()})
    last = [t for t in view.read(folder).trials if t.outcome is None][-1]
    assert last.state in ("starting", "training")
    write_progress(folder, Progress("running", "search", doing={last.id: "loading the model"}))
    assert next(t.state for t in view.read(folder).trials if t.id == last.id) == "loading the model"


@pytest.mark.parametrize(
    ("exit", "runs", "rests"),
    [
        ({"code": 0, "signal": None}, "judging", "waiting"),
        ({"code": None, "signal": 9}, "failed", "waiting"),
        ({"code": 1, "signal": None}, "failed", "waiting"),
    ],
)
def test_only_what_ended_well_is_being_judged(
    tmp_path: Path, exit: dict[str, int | None], runs: str, rests: str
) -> None:
    folder = running_session(tmp_path)
    last = [t for t in view.read(folder).trials if t.outcome is None][-1]
    write_json(last.folder / "exit.json", {**exit, "ended": 0})
    _running(folder)
    assert next(t.state for t in view.read(folder).trials if t.id == last.id) == runs
    (folder / "lock").unlink()
    assert next(t.state for t in view.read(folder).trials if t.id == last.id) == rests


def _one_more(folder: Path, rate: float = 2e-3, score: float | None = 0.4) -> Trial:
    """Another trial of the search, told where it has a score."""
    preset = find_preset("embedded-demo")
    store = Store(folder)
    config = {**preset.baseline, "learning_rate": rate}
    trial = store.begin(Wanted(Round.SEARCH, "tpe", config, 7, 10), preset.knob_list())
    if score is not None:
        store.finish(TrialResult(trial, Outcome.OK, score=Score(score, score, score)))
    store.close()
    return trial


def test_a_trial_that_ended_is_read_once_and_new_ones_are_added(folder: Path) -> None:
    first = _one_more(folder)
    (seen,) = view.read(folder).trials
    assert (seen.id, seen.outcome, seen.step) == (first.id, Outcome.OK, 10)
    assert view.read(folder).trials[0] is seen
    _one_more(folder, score=None)
    assert [t.state for t in view.read(folder).trials] == ["ok", "waiting"]
    assert view.read(folder).trials[0] is seen


def test_labels_name_what_varies_by_now(folder: Path) -> None:
    _one_more(folder, rate=1e-3)
    before = view.read(folder).trials[0].label
    _one_more(folder, rate=2e-3)
    first, second = view.read(folder).trials
    assert first.label != before and first.label == "lr 1e-3" and second.label == "lr 2e-3"


def test_a_ledger_that_was_moved_aside_is_forgotten(folder: Path) -> None:
    for rate in (1e-3, 2e-3):
        _one_more(folder, rate=rate)
    assert len(view.read(folder).trials) == 2
    (folder / "study.db").rename(folder / "old.db")
    assert view.read(folder).trials == ()
    _one_more(folder, rate=3e-3)
    assert [t.config["learning_rate"] for t in view.read(folder).trials] == [3e-3]
