"""Judging a session again: new scores, no new training."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from bracket.domain import Outcome, Round
from bracket.errors import JudgeError, SettingsError
from bracket.presets import find_preset
from bracket.session import view
from bracket.session.after import proof, verified
from bracket.session.after import rejudge as rejudging
from bracket.session.after.rejudge import _left_out, rejudge
from bracket.session.asked.settings import JudgeSettings, load
from bracket.session.duel.again import standing
from bracket.session.job import resolve
from bracket.session.planning.plan import make
from bracket.session.running.run import write_session_report
from bracket.session.store import Store
from tests.ui.made import done_session

SCORER = JudgeSettings(model=find_preset("embedded-demo").judge_model(), weights={"likeness": 0.0})


@pytest.mark.slow
def test_every_trial_gets_the_new_judges_scores_and_nothing_is_trained(tmp_path: Path) -> None:
    old = done_session(tmp_path / "runs")
    before = {p: p.stat().st_mtime_ns for p in old.rglob("*") if p.is_file()}
    seen: list[tuple[int, int]] = []

    rejudge(old, tmp_path / "again", (SCORER,), lambda done, total: seen.append((done, total)))

    assert {p: p.stat().st_mtime_ns for p in old.rglob("*") if p.is_file() and p in before} == before
    stores = [Store(folder) for folder in (old, tmp_path / "again")]
    for round_ in Round:
        was, now = ([*store.results(round_)] for store in stores)
        assert [r.trial.id for r in was] == [r.trial.id for r in now]
        assert [r.trial.config for r in was] == [r.trial.config for r in now]
        assert [r.outcome for r in was] == [r.outcome for r in now]
        told = [(a, b) for a, b in zip(was, now, strict=True) if a.outcome is Outcome.OK]
        assert all(a.score != b.score and "adherence" in b.axes for a, b in told)
    for store in stores:
        store.close()
    assert seen[-1][0] == seen[-1][1] == len(view.read(old).trials)
    assert load(tmp_path / "again").judge == SCORER
    assert write_session_report(tmp_path / "again").exists()
    certificate = tmp_path / "again" / "report" / "certificate.json"
    assert verified.verify(certificate, "pictures") == verified.Held("pictures")
    name, (kept, was) = old.name, (standing(resolve(load(f), f)) for f in (tmp_path / "again", old))
    assert kept == replace(was, rejudged=name), "it has what the other had"
    for told in ("report.md", "verdict.txt"):
        assert f"{name} judged again" in (tmp_path / "again" / "report" / told).read_text()
    assert "judged again" in proof.offer(tmp_path / "again").refusal
    assert "judged again" in make(load(tmp_path / "again"), folder=tmp_path / "again").again[0]
    assert view.read(tmp_path / "again").state == "done", "nobody is offered to train what it lacks"
    picture = next((old / "trials" / "search-000" / "samples").rglob("*.png"))
    assert (tmp_path / "again" / picture.relative_to(old)).samefile(picture), "pictures are linked"


def test_a_judge_that_cannot_work_leaves_nothing_behind(tmp_path: Path) -> None:
    old = done_session(tmp_path / "runs")
    with pytest.raises(Exception, match="judge"):
        rejudge(old, tmp_path / "again", (JudgeSettings(model=str(tmp_path / "nothing")),))
    assert not (tmp_path / "again").exists()
    with pytest.raises(SettingsError, match="something here"):
        rejudge(old, old, (SCORER,))


def test_plans_of_added_duels_are_the_old_judges_too(tmp_path: Path) -> None:
    ignore = _left_out(tmp_path)
    names = ["plan.json", "plan-2.json", "winner"]
    assert ignore(str(tmp_path / "confirm"), names) == {"plan.json", "plan-2.json"}
    assert ignore(str(tmp_path / "trials" / "finals-000"), ["plan.json", "trial.json"]) == set()


def test_a_kill_leaves_no_session_and_what_it_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it judges: nothing has the new session's name, and the next one takes away what lies there."""
    old = done_session(tmp_path / "runs")
    new = tmp_path / "runs" / "again"
    if (child := os.fork()) == 0:
        monkeypatch.setattr(rejudging, "_judge_all", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        try:
            rejudge(old, new, (SCORER,))
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    (left,) = (tmp_path / "runs").glob(".*")
    assert left.name.startswith(f".again-{child}-") and (left / "session.yaml").is_file()
    assert [line.name for line in view.sessions(tmp_path / "runs")] == [old.name]

    def refused(*_: object) -> int:
        assert not left.exists()
        raise JudgeError("no judge")

    monkeypatch.setattr(rejudging, "_judge_all", refused)
    with pytest.raises(JudgeError):
        rejudge(old, new, (SCORER,))
    assert not new.exists() and list((tmp_path / "runs").glob(".*")) == []
    with pytest.raises(SettingsError, match="in another one"):
        rejudge(old, old / "again", (SCORER,))
