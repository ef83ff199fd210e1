"""A whole session with real processes: what it does, and what a kill, a stop or a failure leaves behind."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import yaml

from bracket.domain import Judgement, Outcome, Round, Sample, Wanted
from bracket.errors import JudgeError, SessionBusy, SettingsChanged, SettingsError, StorageError
from bracket.files import read_json, write_json
from bracket.report.claims import certificate
from bracket.runner import claims
from bracket.runner.devices import Device
from bracket.session import job, view
from bracket.session.asked import bounds, settings
from bracket.session.asked.seeds import Seeds
from bracket.session.control import Lock, Progress, ask_to_stop
from bracket.session.planning import plan
from bracket.session.running import launch, run
from bracket.session.store import Store
from tests.session import scripted

pytestmark = pytest.mark.usefixtures("own_trainer")


@pytest.fixture
def folder(tmp_path: Path, dataset: Path) -> Path:
    return launch.create(scripted.settings_for(dataset), tmp_path / "a session")


def test_a_session_finds_the_best_lr_and_certifies_it(folder: Path) -> None:
    summary = scripted.play(folder)

    assert summary.winner.config["learning_rate"] == pytest.approx(1e-3, rel=3)
    search = [r for ranked in summary.rounds[Round.SEARCH] for r in ranked.results]
    assert len(search) == 6
    assert {r.trial.seed for r in search} == {*Seeds(0).training(Round.SEARCH, 1)}, "one training seed for every config"
    assert summary.verdict.kind == "checkpoint", "two pairs can't support a claim about the settings"
    assert summary.verdict.config.pairs == 2
    finals = {r.trial.seed for ranked in summary.rounds[Round.FINALS] for r in ranked.results}
    fresh = {p.seed for p in summary.pairs}
    assert len(finals) == 2 and not finals & fresh
    assert not set(summary.prompts) & set(summary.verdict_prompts)
    assert certificate.verify(folder / "report" / "certificate.json") == []
    assert view.read(folder).state == "done"
    plan = folder / "confirm" / "plan.json"
    drawn = [p.stat().st_mtime_ns for p in (folder / "confirm").rglob("*.png")]
    assert plan.stat().st_mtime_ns <= min(drawn), "the plan was fixed before the first picture"
    assert read_json(folder / "report" / "certificate.json")["plan"] == read_json(plan)


def test_every_trial_can_be_run_by_hand(folder: Path) -> None:
    scripted.play(folder)
    text = (folder / "trials" / "search-000" / "command.sh").read_text()
    assert str(scripted.PROGRAM) in text and "config.json" in text


def test_running_a_finished_session_again_trains_nothing(folder: Path) -> None:
    scripted.play(folder)
    before = {p: p.stat().st_mtime_ns for p in folder.glob("trials/*/exit.json")}
    scripted.play(folder)
    assert before == {p: p.stat().st_mtime_ns for p in folder.glob("trials/*/exit.json")}


def test_a_session_that_an_earlier_bracket_wrote_is_certified_under_its_own_fingerprint(folder: Path) -> None:
    said = yaml.safe_load((folder / "session.yaml").read_text())
    asked = {n: v for n, v in said.items() if n not in ("fingerprint", "pairwise", "workers", "device")}
    its_own = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
    (folder / "session.yaml").write_text(yaml.safe_dump({**asked, "workers": 2, "fingerprint": its_own}))
    summary = scripted.play(folder)
    assert summary.fingerprint == its_own != settings.load(folder).fingerprint
    assert read_json(folder / "report" / "certificate.json")["fingerprint"] == its_own
    assert read_json(folder / "winner" / "argv.json")["asked"]["fingerprint"] == its_own
    assert certificate.verify(folder / "report" / "certificate.json") == []


def test_what_was_trained_in_the_winners_folder_stays_when_the_report_is_written_anew(folder: Path) -> None:
    summary = scripted.play(folder)
    mine = folder / "winner" / "checkpoints" / "mine.safetensors"
    mine.parent.mkdir()
    mine.write_bytes(b"hours of work")
    again = scripted.play(folder)
    assert mine.exists() and again.command == summary.command
    recorded = read_json(folder / "winner" / "argv.json")
    write_json(folder / "winner" / "argv.json", {**recorded, "asked": "another winner"})
    assert scripted.play(folder).command == summary.command
    assert (folder / "winner-1" / "checkpoints" / "mine.safetensors").exists()


def test_a_diverged_config_is_never_ranked(tmp_path: Path, dataset: Path) -> None:
    asked = scripted.settings_for(dataset, configs=3).model_copy(update={"baseline": {"learning_rate": 1e-4}})
    folder = launch.create(asked, tmp_path / "s")
    store = Store(folder)
    knobs = bounds.bounded_knobs(asked.load_preset(), asked.bounds)
    hot = {"learning_rate": 0.09, "rank": 8, "batch_size": 4}
    base = {"learning_rate": 1e-4, "rank": 8, "batch_size": 4}
    store.begin(Wanted(Round.SEARCH, "baseline", base, 0, 6), knobs)
    store.begin(Wanted(Round.SEARCH, "tpe", hot, 0, 6), knobs)
    store.close()
    summary = scripted.play(folder)
    ranking = summary.rounds[Round.SEARCH]
    assert ranking[-1].config == hot and ranking[-1].total is None
    assert ranking[-1].results[0].outcome is Outcome.DIVERGED
    assert "finite" in ranking[-1].results[0].cause


def _with_profiles(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, memory: dict[int, int]) -> Path:
    """A session on a card of 16 GB, whose trainer needs so much memory with the profile of so many GB."""
    asked = scripted.settings_for(dataset, configs=2)
    preset = asked.load_preset().model_dump(mode="json", exclude_defaults=True)
    preset["vram"] = [{"gb": gb, "settings": {"memory": needs}} for gb, needs in memory.items()]
    (tmp_path / "presets" / "mine").mkdir(parents=True)
    (tmp_path / "presets" / "mine" / "demo.yaml").write_text(yaml.safe_dump(preset))
    monkeypatch.setenv("BRACKET_PRESETS", str(tmp_path / "presets"))
    return launch.create(asked.model_copy(update={"vram": 16}), tmp_path / "s")


def test_main_memory_that_ran_out_is_not_looked_for_on_a_lower_profile(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _with_profiles(tmp_path, dataset, monkeypatch, {8: 1, 16: 99})
    summary = scripted.play(folder)
    results = [r for ranking in summary.rounds.values() for ranked in ranking for r in ranked.results]
    assert {r.outcome for r in results} == {Outcome.OUT_OF_MEMORY}
    assert all(r.cause.startswith("MemoryError\n  that was main memory (RAM), not the GPU's") for r in results)
    assert not list(folder.glob("trials/*/vram.json"))


def test_out_of_memory_is_tried_again_on_the_next_lower_profile(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _with_profiles(tmp_path, dataset, monkeypatch, {6: 6, 8: 8, 12: 12, 16: 16})
    summary = scripted.play(folder)

    results = [r for ranking in summary.rounds.values() for ranked in ranking for r in ranked.results]
    assert {r.outcome for r in results} == {Outcome.OK}
    assert {r.notes[-1] for r in results} == {"ran out of memory and was trained with the 8 GB profile"}
    logs = folder / "trials" / "search-000" / "logs"
    assert [(logs / f"trainer.{n}.log").read_text().count("out of memory") for n in (1, 2)] == [1, 1]
    assert "out of memory" not in (logs / "trainer.log").read_text()
    assert json.loads((folder / "vram.json").read_text()) == {"gb": 16}, "a resume trains as the session began"


def test_finalists_train_on_from_their_search_trial(folder: Path) -> None:
    summary = scripted.play(folder)
    finals = [r for ranked in summary.rounds[Round.FINALS] for r in ranked.results]
    went_on = [r for r in finals if r.trial.continues]
    searched = {r.trial.seed for ranked in summary.rounds[Round.SEARCH] for r in ranked.results}
    assert {r.trial.seed for r in went_on} == searched and len(searched) == 1 and len(went_on) == len(finals) / 2
    for result in went_on:
        assert result.notes == (f"trained on from {result.trial.continues.name}, step 6",)
        assert (result.trial.folder / "starts.txt").read_text() == "6\n", "no step was trained twice"
    assert {r.trial.schedule for ranked in summary.rounds[Round.SEARCH] for r in ranked.results} == {8}


def test_survivors_of_a_rung_train_on_in_the_next(folder: Path) -> None:
    summary = scripted.play(folder)
    rungs = [[r for r in summary.searched if r.trial.rung == n] for n in range(3)]
    assert [len(rung) for rung in rungs] == [6, 4, 3] and [rung[0].trial.steps for rung in rungs] == [2, 3, 6]
    assert [r.trial.origin for rung in rungs for r in rung[:1]] == ["baseline"] * 3
    for below, rung in pairwise(rungs):
        best = sorted((r for r in below if r.trial.origin != "baseline"), key=lambda r: r.score.total)
        assert {str(r.trial.config) for r in rung[1:]} == {str(r.trial.config) for r in best[: len(rung) - 1]}
        for result in rung:
            (before,) = [r for r in below if r.trial.config == result.trial.config]
            assert result.trial.continues == before.trial.folder and result.trial.schedule == 8
            steps = (result.trial.folder / "starts.txt").read_text()
            assert steps == f"{before.trial.steps}\n", "no step was trained twice"


def test_finals_begin_anew_where_the_trainer_cannot_go_on(folder: Path) -> None:
    trainer = scripted.ScriptedTrainer()
    trainer.continues = False
    summary = scripted.play(folder, trainer)
    finals = [r for ranked in summary.rounds[Round.FINALS] for r in ranked.results]
    assert {r.trial.continues for r in finals} == {None} and {r.notes for r in finals} == {()}
    assert 0 not in {r.trial.seed for r in finals}


def test_a_stop_keeps_everything_and_resume_goes_on(folder: Path) -> None:
    process = scripted.begin(folder)
    _wait_for(lambda: any(folder.glob("trials/search-00[2-9]/tfevents/*")))
    assert launch.stop(folder, wait=30)
    assert process.wait(30) == 0
    seen = view.read(folder)
    assert seen.state == "stopped"
    finished = {t.id for t in seen.trials if t.outcome}
    summary = scripted.play(folder)
    assert summary.verdict.kind == "checkpoint"
    assert finished <= {t.id for t in view.read(folder).trials if t.outcome is Outcome.OK}


@pytest.mark.slow
def test_kill_at_random_moments_loses_and_repeats_nothing(folder: Path) -> None:
    chance = random.Random(5)
    ended: dict[str, float] = {}
    for _ in range(12):
        process = scripted.begin(folder)
        time.sleep(chance.uniform(1.0, 3.0))
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.wait()
        _wait_for(lambda children=children: not any(_alive(c) for c in children))
        now = _told(folder)
        assert ended.items() <= now.items(), "a finished trial was lost or told anew"
        ended = now
        if view.read(folder).state == "done":
            break
    scripted.play(folder)
    trials = view.read(folder).trials
    assert Counter(t.round for t in trials) == {Round.SEARCH: 6 + 4 + 3, Round.FINALS: 6, Round.CONFIRMATION: 4}
    assert {t.id: t.cause for t in trials if t.outcome is not Outcome.OK} == {}
    assert certificate.verify(folder / "report" / "certificate.json") == []


def test_when_everything_fails_the_report_says_why(folder: Path) -> None:
    trainer = scripted.ScriptedTrainer()
    trainer.fail = True
    summary = scripted.play(folder, trainer)
    assert summary.winner is None and summary.verdict.kind == "not_tested"
    results = [r for ranked in summary.rounds[Round.SEARCH] for r in ranked.results]
    assert {r.outcome for r in results} == {Outcome.CRASHED}
    assert "told to crash" in results[0].cause
    assert "told to crash" in (folder / "report" / "report.md").read_text()
    assert Round.FINALS not in summary.rounds, "there is nothing to train for longer"


def test_a_trial_that_a_full_disk_ended_is_no_result_and_resume_trains_it(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = launch.create(scripted.settings_for(dataset, configs=1, pairs=1, seeds=1), tmp_path / "s")
    trainer = scripted.ScriptedTrainer()
    trainer.fail = True
    with (
        monkeypatch.context() as full,
        pytest.raises(StorageError, match=r"search-000 .*disk is full: .*told to crash"),
    ):
        full.setattr("bracket.session.running.rounds.is_full", lambda _: True)
        scripted.play(folder, trainer)
    seen = view.read(folder)
    assert seen.state == "failed" and "disk is full" in seen.message
    assert [t.outcome for t in seen.trials] == [None]
    scripted.play(folder)
    assert {t.outcome for t in view.read(folder).trials} == {Outcome.OK}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_log_on_a_full_disk_hides_no_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StorageError, match="the reason"), run.logged_to(Path("/dev/full")):
        logging.getLogger("bracket.session").warning("a line")
        raise StorageError("the reason")
    assert "Traceback" not in capsys.readouterr().err


def test_a_judge_that_fails_is_no_score_and_resume_judges_later(folder: Path) -> None:
    class Broken(scripted.ScriptedJudge):
        def score(self, samples: Sequence[Sample]) -> list[Judgement]:
            if all(folder / "before" in s.path.parents for s in samples):
                return super().score(samples)  # the base's own, judged before anything is trained
            raise JudgeError("the judge's model can't be loaded", remedy="Free some memory and resume.")

    with pytest.raises(JudgeError):
        scripted.play(folder, judge=Broken())
    seen = view.read(folder)
    assert seen.state == "failed" and "can't be loaded" in seen.message
    assert not any(t.outcome for t in seen.trials), "an outage never becomes a score"
    # Another trial may have been stopped when its file was written and its process not ended: that one runs again.
    ended_well = [p.parent for p in folder.glob("trials/*/exit.json") if read_json(p)["code"] == 0]
    trained = {p: p.stat().st_mtime_ns for f in ended_well for p in f.glob("checkpoints/final/*")}
    assert trained
    scripted.play(folder)
    assert view.read(folder).state == "done"
    assert {p: p.stat().st_mtime_ns for p in trained} == trained, "what was trained is judged, not trained again"


def test_a_second_process_is_refused(folder: Path) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        write_json(folder / "lock", {"pid": sleeper.pid, "started": psutil.Process(sleeper.pid).create_time()})
        with pytest.raises(SessionBusy, match="already running"), Lock(folder):
            pass
    finally:
        sleeper.kill()
        sleeper.wait()
    with Lock(folder):
        assert (folder / "lock").exists(), "the lock of a dead process is taken over"


def test_a_session_waits_for_the_gpu_says_for_whom_and_can_be_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Device("cuda:0", "cuda", "GPU", 24 << 30, f"GPU-{folder}")
    monkeypatch.setattr(job, "slots_of", lambda _: [gpu])
    monkeypatch.setattr(claims, "_WAIT", 0.05)
    said = []

    def listen(progress: Progress) -> None:
        if progress.message.startswith("Waiting"):
            said.append((view.read(folder).state, view.read(folder).message))
            ask_to_stop(folder)

    job.make_trainer, plan.judge_problems = lambda _: scripted.ScriptedTrainer(), lambda *_: []
    with claims.claimed([gpu], folder.with_name("cats"), share=False, waiting=lambda _: None):
        assert run.run(folder, listen) is None
    assert said == [("running", "Waiting for cats on cuda:0")]
    assert view.read(folder).state == "stopped" and not list((folder / "trials").glob("*"))


def test_other_settings_are_refused_with_the_difference(folder: Path, dataset: Path) -> None:
    (folder / "trials").mkdir()
    with pytest.raises(SettingsChanged) as caught:
        launch.create(scripted.settings_for(dataset, configs=9), folder)
    assert caught.value.diff == ["search.configs: 6 → 9"]
    assert caught.value.remedy == "Start a new session, or put these back:\n  search.configs: 6 → 9"
    with pytest.raises(SettingsChanged, match="`prove` and Add proof in Results add fresh pairs"):
        launch.create(scripted.settings_for(dataset, pairs=8), folder)


def test_settings_may_be_mended_while_no_trial_has_begun(folder: Path, dataset: Path) -> None:
    mended = scripted.settings_for(dataset, configs=9)
    assert settings.load(launch.create(mended, folder)) == mended


@pytest.mark.parametrize("text", ["", "fingerprint: x\npreset: [", "- a list", "preset: embedded-demo\n"])
def test_a_damaged_session_yaml_is_one_sentence(folder: Path, text: str) -> None:
    (folder / "session.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        scripted.play(folder)
    assert "session.yaml" in str(caught.value) or "these settings don't fit" in str(caught.value)


def test_missing_pictures_are_found_before_any_training(folder: Path) -> None:
    asked = settings.load(folder).model_copy(
        update={"dataset": settings.DatasetSettings(folder=str(folder / "nowhere"), trigger_word="zorp")}
    )
    other = launch.create(asked, folder.with_name("other"))
    with pytest.raises(SettingsError, match="nowhere"):
        scripted.play(other)
    assert view.read(other).state == "failed" and "nowhere" in view.read(other).message
    assert not (other / "trials").exists()


def _told(folder: Path) -> dict[str, float]:
    """What was told of each trial; its total follows from the whole round and moves with it."""
    return {t.id: t.score.sample_part for t in view.read(folder).trials if t.score}


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_for(condition, seconds: float = 30.0) -> None:  # type: ignore[no-untyped-def]
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)
