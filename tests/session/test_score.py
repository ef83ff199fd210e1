"""One figure per trial, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from bracket.domain import Judgement, Outcome, Round, Sample, Trial, TrialResult
from bracket.session.asked.settings import ScoreSettings
from bracket.session.score import at_length, combine, loss_part, on_one_scale


def _judged(*scores: float) -> list[Judgement]:
    return [Judgement(Sample(Path("a.png"), "p", i, 1), "j", s, {}) for i, s in enumerate(scores)]


def test_the_loss_part_is_a_half_for_the_baseline_itself() -> None:
    assert loss_part(0.2, 0.2) == 0.5
    assert loss_part(0.1, 0.3) == 0.25
    assert loss_part(0.9, 0.1) == 0.9


@pytest.mark.parametrize(("weight", "total"), [(0.7, 0.3 * 0.25 + 0.7 * 0.4), (0.0, 0.25), (1.0, 0.4)])
def test_the_dial_moves_all_the_way_either_way(weight: float, total: float) -> None:
    score = combine(ScoreSettings(sample_weight=weight), _judged(0.5, 0.7), 0.1, 0.3)
    assert score is not None
    assert score.total == pytest.approx(total)
    assert (score.loss_part, score.sample_part) == (0.25, pytest.approx(0.4))


def test_without_judged_pictures_there_is_no_score() -> None:
    assert combine(ScoreSettings(), [], 0.1, 0.3) is None


def test_without_a_reference_loss_the_samples_alone_count_for_everybody() -> None:
    score = combine(ScoreSettings(), _judged(0.5), 0.1, None)
    assert score is not None and score.total == 0.5


def test_a_missing_loss_never_helps() -> None:
    score = combine(ScoreSettings(), _judged(0.5), None, 0.3)
    assert score is not None and score.loss_part == 1.0


@pytest.mark.parametrize(("steps", "weight"), [(25, 0.05), (50, 0.2), (100, 0.8), (200, 0.8)])
def test_pictures_count_with_the_square_of_the_length(steps: int, weight: float) -> None:
    asked = ScoreSettings(sample_weight=0.8)
    assert at_length(asked, steps, longest=100).sample_weight == pytest.approx(weight)
    assert at_length(asked.model_copy(update={"ramp": False}), steps, longest=100).sample_weight == 0.8


def _ended(name: str, judged: float, loss: float | None, *, edition: int = 2, rung: int = 0) -> TrialResult:
    trial = Trial(name, Round.SEARCH, "tpe", {}, 0, 10, Path(name), rung=rung)
    score = combine(ScoreSettings(edition=edition), _judged(judged), loss, 0.2)
    return TrialResult(trial, Outcome.OK, score=score, validation_loss=loss)


def test_the_loss_has_the_judges_scale_within_its_rung() -> None:
    told = [_ended("a", 0.9, 0.1003), _ended("b", 0.5, 0.1001), _ended("c", 0.2, 9.0), _ended("d", 0.1, 0.1, rung=1)]
    scores = {r.trial.id: r.score for r in on_one_scale(told) if r.score}
    # Judged parts are 0.1, 0.5 and 0.8; by loss b is the first, a the second and c the last. d is alone in its rung.
    assert [round(scores[n].loss_part, 6) for n in "abcd"] == [0.5, 0.1, 0.8, 0.9]
    assert [round(scores[n].total, 6) for n in "abcd"] == [0.22, 0.38, 0.8, 0.9]
    assert on_one_scale(on_one_scale(told[:2])) == on_one_scale(told[:2])


def test_without_a_loss_a_trial_has_the_worst_part_and_where_none_has_one_the_samples_count() -> None:
    some = on_one_scale([_ended("a", 0.9, None), _ended("b", 0.5, 0.1)])
    assert [r.score and round(r.score.loss_part, 6) for r in some] == [0.5, 0.1]
    none = on_one_scale([_ended("a", 0.9, None), _ended("b", 0.5, None)])
    assert [r.score and round(r.score.total, 6) for r in none] == [0.1, 0.5]


def test_scores_of_the_first_edition_stand() -> None:
    told = [_ended("a", 0.9, 0.1, edition=1), _ended("b", 0.5, 0.3, edition=1)]
    assert on_one_scale(told) == told


def _short(part: float, loss: float, number: int, rung: int = 0) -> TrialResult:
    trial = Trial(f"{rung}-{number:03d}", Round.SEARCH, "tpe", {}, 0, 10, Path(), rung=rung)
    weights = at_length(ScoreSettings(), 10, 80)
    score = combine(weights, _judged(1 - part), loss, 0.2, ScoreSettings().sample_weight)
    return TrialResult(trial, Outcome.OK, score=score, validation_loss=loss)


def _best(told: list[TrialResult], rung: int = 0) -> str:
    held = [r for r in on_one_scale(told) if r.trial.rung == rung]
    return min(held, key=lambda r: r.score.total if r.score else 1.0).trial.id


def test_short_trials_lean_on_the_loss_until_pictures_speak_against_it() -> None:
    # Ten good ones and ten bad ones; both measures know the bad.
    bad = [_short(0.8 + n / 100, 1.0 + n, 10 + n) for n in range(10)]
    alike = [_short(0.2 + n / 100, 0.2 + n / 100, n) for n in range(10)]
    noise = [_short(0.2 + (7 * n % 10) / 100, 0.2 + (n + 1) / 100, n) for n in range(10)]
    misled = [_short(0.2 + n / 100, 0.2 - n / 100, n) for n in range(10)]
    assert _best([*alike, *bad]) == "0-000"
    assert _best([*noise, *bad]) == "0-000", "the lowest loss, whatever its early pictures"
    assert _best([*misled, *bad]) == "0-000", "the best pictures, though its loss is the highest of the good"
    assert _best(misled) != "0-000", "five good ones by loss are too few to say so"
    # What is known of the first rung counts in the next, which is too small to know it itself.
    later = [_short(0.2 + n / 100, 0.2 - n / 100, n, rung=1) for n in range(4)]
    assert _best([*misled, *bad, *later], rung=1) == "1-000"
    assert _best([*alike, *bad, *later], rung=1) == "1-003"
