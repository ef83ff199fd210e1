"""A session's judge held against votes, finalists compared side by side, and a judge that is away."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from bracket.domain import Judgement, Outcome, Round, Sample, Trial, TrialResult
from bracket.errors import JudgeError, JudgeUnavailable
from bracket.judges.people.votes import VoteBook
from bracket.report.summary import Duel
from bracket.session.duel.calibrate import calibrate
from bracket.session.evaluate import Ended
from bracket.session.running import judging
from bracket.session.running.judging import JudgeQueue, patiently
from bracket.session.running.pairwise import read_ranking
from bracket.session.store import Store
from bracket.session.timing import Measure


def _arm(folder: Path, name: str, scores: list[float]) -> tuple[Judgement, ...]:
    found = []
    for i, score in enumerate(scores):
        path = folder / "confirm" / name / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() + bytes([i]))
        found.append(Judgement(Sample(path, f"prompt {i}", 7, 10), "clip", score, {}))
    return tuple(found)


def _voted(folder: Path, duel: Duel, likes_winner: int, votes: int) -> None:
    arms = {"winner": [j.sample for j in duel.winner], "baseline": [j.sample for j in duel.baseline]}
    book = VoteBook(folder, arms)
    ours = {s.path for s in arms["winner"]}
    for n in range(votes):
        shown = book.next_pair()
        assert shown
        book.record(shown, float((shown.left in ours) == (n < likes_winner)))


def test_votes_are_matched_with_what_the_judge_said_of_the_same_pictures(tmp_path: Path) -> None:
    duel = Duel(_arm(tmp_path, "winner", [0.9] * 30), _arm(tmp_path, "baseline", [0.1] * 30))
    store = Store(tmp_path)
    assert calibrate(tmp_path, store, duel) is None, "nobody voted"
    _voted(tmp_path, duel, likes_winner=18, votes=24)
    found = calibrate(tmp_path, store, duel)
    store.close()
    assert found and (found.agreement.agreed, found.agreement.votes) == (18, 24)
    assert found.gate.state == "passed"
    assert found.corrected and found.corrected.judge_alone == 1.0
    assert found.corrected.estimate == pytest.approx(0.75, abs=0.02) and found.corrected.high < 1


def test_a_judge_at_chance_is_refused(tmp_path: Path) -> None:
    duel = Duel(_arm(tmp_path, "winner", [0.9] * 30), _arm(tmp_path, "baseline", [0.1] * 30))
    store = Store(tmp_path)
    _voted(tmp_path, duel, likes_winner=12, votes=24)
    found = calibrate(tmp_path, store, duel)
    store.close()
    assert found and not found.gate.may_crown


def test_kept_choices_make_a_ranking_with_its_flip_rate(tmp_path: Path) -> None:
    assert read_ranking(tmp_path) == (None, None)
    lines = [{"a": "hot", "b": "cold", "prompt": f"p{i}", "seed": 1, "value": 1.0, "flipped": i == 0} for i in range(6)]
    (tmp_path / "pairwise.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ranking, flips = read_ranking(tmp_path)
    assert ranking and ranking.leaders == ("hot",) and flips == pytest.approx(1 / 6)


class Away:
    """A judge whose server is down for its first calls."""

    name, fingerprint = "away", "1"

    def __init__(self, failures: int, exclusive: bool = False) -> None:
        self.failures, self.exclusive, self.parked = failures, exclusive, 0

    def score(self, samples: list[Sample]) -> list[Judgement]:
        if self.failures:
            self.failures -= 1
            raise JudgeUnavailable("the server doesn't answer")
        return [Judgement(s, self.name, 0.5, {}) for s in samples]

    def park(self) -> None:
        self.parked += 1


def _ended(folder: Path) -> Ended:
    folder.mkdir(parents=True, exist_ok=True)
    trial = Trial("search-000", Round.SEARCH, "tpe", {}, 0, 1, folder)
    sample = Sample(folder / "a.png", "a dog", 1, 1)
    return Ended(TrialResult(trial, Outcome.OK, samples=(sample,)), Measure(1, 1.0, 1.0))


def _until_judged(queue: JudgeQueue) -> tuple[list[Ended], set[str]]:
    notes = set()
    for _ in range(500):
        found = queue.poll(idle=True)
        notes.add(queue.note)
        if found:
            return found, notes
        judging.time.sleep(0.01)
    raise AssertionError("it was never judged")


def test_an_outage_is_no_score_and_the_trial_is_judged_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "FIRST_WAIT", 0.05)
    with JudgeQueue(Away(2)) as queue:
        queue.add(_ended(tmp_path / "t"))
        (done,), notes = _until_judged(queue)
        assert done.result.judgements[0].score == 0.5 and queue.empty and queue.note == ""
    assert any("doesn't answer; 1 waiting" in note for note in notes)


def test_a_judge_that_needs_the_gpu_waits_until_nothing_trains_and_gives_it_back(tmp_path: Path) -> None:
    judge = Away(0, exclusive=True)
    with JudgeQueue(judge) as queue:
        queue.add(_ended(tmp_path / "t"))
        assert queue.blocks and queue.poll(idle=False) == [] and not queue.empty
        _until_judged(queue)
        assert judge.parked == 1 and not queue.blocks


def test_asking_patiently_waits_out_an_outage_and_passes_other_errors_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "FIRST_WAIT", 0.02)
    runner = SimpleNamespace(note="", judge=Away(0), report=lambda: None, heed_stop=lambda: None)
    answers = iter([JudgeUnavailable("down"), 7, JudgeError("no model")])

    def ask() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(ask, runner) == 7 and runner.note == ""
    with pytest.raises(JudgeError, match="no model"):
        patiently(ask, runner)
