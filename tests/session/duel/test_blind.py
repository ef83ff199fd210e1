"""How a judge is shown the arms: mixed by chance, in one call, and with a control picture that no cache answers for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from PIL import Image

from bracket.domain import Judgement, Outcome, Round, Sample, Trial, TrialResult
from bracket.errors import JudgeError
from bracket.judges.images import content_key
from bracket.session.duel.blind import Control, Pairs, judge_together, read_controls, score_mixed
from bracket.session.duel.plan import DuelPlan, drawn_order
from bracket.session.evaluate import Ended
from bracket.session.timing import Measure
from tests.session.duel.test_course import PLANNED

PLAN = replace(PLANNED, order_seed=3, training_seeds=tuple(range(100)))


@dataclass
class Drifting:
    """Sees every picture a tenth better than the one before; `bad` it can't judge."""

    bad: str = ""
    calls: list[list[Sample]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        self.calls.append(list(samples))
        if bad := next((s.path for s in samples if self.bad and self.bad in str(s.path)), None):
            raise JudgeError("this picture is no picture", path=bad)
        self.keys += [content_key(s.path) for s in samples if s.path.exists()]
        seen = sum(map(len, self.calls[:-1]))
        return [Judgement(s, "j", (seen + i) / 1000, {}) for i, s in enumerate(samples)]


def _picture(folder: Path) -> Sample:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(folder / "0.png")
    return Sample(folder / "0.png", "the base", 1, 0)


def _result(folder: Path, arm: str, seed: int = 7, outcome: Outcome = Outcome.OK, pictures: int = 3) -> TrialResult:
    trial = Trial(f"{arm}-{seed}", Round.CONFIRMATION, arm, {}, seed, 1, folder / f"{arm}-{seed}")
    samples = [Sample(trial.folder / f"{i}.png", f"p{i}", i, 1) for i in range(pictures)]
    return TrialResult(trial, outcome, samples=tuple(samples if outcome is Outcome.OK else ()))


def test_the_order_is_drawn_by_chance_and_follows_from_the_plan() -> None:
    first = [PLAN.order(seed)[0] for seed in PLAN.training_seeds]
    assert 35 <= first.count("winner") <= 65
    assert first == [DuelPlan.from_dict(PLAN.as_dict()).order(seed)[0] for seed in PLAN.training_seeds]
    assert replace(PLAN, order_seed=None).order(7) == ["baseline", "winner"], "as plans of before had it"
    assert drawn_order(3, ("p", 1), PLAN.arms) == PLAN.order("p", 1)
    three = replace(PLAN, runner_up={"lr": 3})
    assert len({tuple(three.order(seed)) for seed in range(60)}) == 6


def test_all_arms_of_a_unit_are_shown_in_one_call_picture_by_picture(tmp_path: Path) -> None:
    judge = Drifting()
    arms = {arm: _result(tmp_path, arm, pictures=40).samples for arm in PLAN.arms}
    found = score_mixed(judge, {"u": arms}, lambda s: PLAN.order(s.prompt, s.seed), Control(tmp_path))
    ((*shown,),) = judge.calls
    assert len(shown) == len(found) == 80
    assert all(one.prompt == other.prompt for one, other in zip(shown[::2], shown[1::2], strict=True))
    first = [s.path.parent.name for s in shown[::2]]
    assert 10 <= first.count("winner-7") <= 30
    gaps = [found[a.path].score - found[b.path].score for a, b in zip(*arms.values(), strict=True)]
    assert abs(sum(gaps) / 40) < 0.001, "each step of drift is for the one or the other"


def test_the_control_picture_is_asked_about_anew_each_time_and_kept(tmp_path: Path) -> None:
    judge, control = Drifting(), Control(tmp_path, [_picture(tmp_path / "before")])
    units = {f"u{i}": {"winner": [Sample(tmp_path / f"{i}.png", "p", i, 1)]} for i in range(2)}
    for _ in range(2):
        assert len(score_mixed(judge, units, lambda _: ["winner"], control)) == 2
    assert [len(call) for call in judge.calls] == [4, 4]
    assert len(set(judge.keys)) == 4, "the same picture in files that differ, so that no cache answers"
    assert read_controls(tmp_path) == (0.0, 0.002, 0.004, 0.006)
    assert list((tmp_path / "cache" / "control").iterdir()) == []


def test_a_control_picture_that_cannot_be_judged_is_left_out(tmp_path: Path) -> None:
    broken = _picture(tmp_path / "before")
    units = {"u": {"winner": [Sample(tmp_path / "0.png", "p", 0, 1)]}}
    judge, control = Drifting(bad="cache/control"), Control(tmp_path, [broken])
    assert len(score_mixed(judge, units, lambda _: ["winner"], control)) == 1
    assert len(score_mixed(judge, units, lambda _: ["winner"], control)) == 1
    assert [len(call) for call in judge.calls] == [2, 1, 1]
    another = {"u": {"winner": [Sample(tmp_path / "another.png", "p", 0, 1)]}}
    with pytest.raises(JudgeError):
        score_mixed(other := Drifting(bad="another"), another, lambda _: ["winner"], Control(tmp_path, [broken]))
    assert [len(call) for call in other.calls] == [2], (
        "a picture that is none of the control's is not asked about again"
    )
    broken.path.write_bytes(b"no picture")
    score_mixed(again := Drifting(), units, lambda _: ["winner"], Control(tmp_path, [broken]))
    assert [len(call) for call in again.calls] == [1] and read_controls(tmp_path) == ()


def test_a_picture_that_cannot_be_judged_costs_its_own_training_alone(tmp_path: Path) -> None:
    results = [_result(tmp_path, arm) for arm in PLAN.arms]
    ours, theirs = judge_together(results, Drifting(bad="winner-7/1"), PLAN.order, Control(tmp_path))
    assert (ours.outcome, theirs.outcome) == (Outcome.NO_SAMPLES, Outcome.OK)
    assert "no picture" in ours.cause and [j.sample for j in theirs.judgements] == list(theirs.samples)
    lost = _result(tmp_path, "baseline", outcome=Outcome.CRASHED)
    only, crashed = judge_together(
        [results[0], lost], judge := Drifting(bad="winner-7/1"), PLAN.order, Control(tmp_path)
    )
    assert (only.outcome, crashed) == (Outcome.NO_SAMPLES, lost) and len(judge.calls) == 1, "alone it is asked once"
    assert judge_together([lost], Drifting(), PLAN.order, Control(tmp_path)) == [lost]
    with pytest.raises(JudgeError):
        judge_together(results, _Broken(), PLAN.order, Control(tmp_path))
    with pytest.raises(JudgeError, match="no model"):
        judge_together([results[0], lost], _Broken(), PLAN.order, Control(tmp_path))


class _Broken(Drifting):
    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        raise JudgeError("no model")


def test_trainings_of_a_seed_wait_for_each_other(tmp_path: Path) -> None:
    told: list[TrialResult] = []
    pairs = Pairs(PLAN, Control(tmp_path), lambda: told)

    def ended(arm: str, seed: int) -> Ended:
        return Ended(_result(tmp_path, arm, seed), Measure(1, 1.0, 1.0))

    assert pairs.add(ended("winner", 7)) == [] == pairs.add(ended("winner", 8))
    assert [e.result.trial.id for e in pairs.add(ended("baseline", 8))] == ["winner-8", "baseline-8"]
    assert [[e.result.trial.id for e in group] for group in pairs.rest()] == [["winner-7"]] and pairs.rest() == []
    told.append(_result(tmp_path, "winner", 9))
    assert [e.result.trial.id for e in pairs.add(ended("baseline", 9))] == ["baseline-9"], "a kill came between them"
    assert len(pairs.add(ended("winner", 1000))) == 1, "of another duel"
