"""One figure per trial, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from bracket.domain import Judgement, Sample
from bracket.session.score import at_length, combine, loss_part
from bracket.session.settings import ScoreSettings


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
