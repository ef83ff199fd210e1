from __future__ import annotations

import json
from pathlib import Path

import pytest

from bracket.domain import Judgement, Sample
from bracket.errors import JudgeError
from bracket.judges.base import (
    judgement_from_json,
    judgement_to_json,
    preference,
    resolve_weights,
    weighted_mean,
)

DEFAULTS = {"adherence": 0.45, "likeness": 0.45, "diversity": 0.1}


def sample(path: Path) -> Sample:
    return Sample(path, "a ☂ “zorb”", 7, 150)


def test_weights_are_the_defaults_with_the_changes() -> None:
    assert resolve_weights(DEFAULTS, {"diversity": 0}) == {"adherence": 0.45, "likeness": 0.45, "diversity": 0}


def test_an_unknown_axis_is_named_with_the_nearest() -> None:
    with pytest.raises(JudgeError, match=r"no axis called 'likenes'.*Did you mean 'likeness'\?"):
        resolve_weights(DEFAULTS, {"likenes": 1.0})
    with pytest.raises(JudgeError, match="Known weights: adherence, likeness, diversity"):
        resolve_weights(DEFAULTS, {"qqq": 1.0})


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_must_be_a_finite_number_of_0_or_more(weight: float) -> None:
    with pytest.raises(JudgeError, match="the weight of likeness"):
        resolve_weights(DEFAULTS, {"likeness": weight})


def test_some_axis_must_count() -> None:
    with pytest.raises(JudgeError, match="all weights"):
        resolve_weights(DEFAULTS, dict.fromkeys(DEFAULTS, 0.0))
    only = {"likeness": 0.0, "adherence": 0.0}
    with pytest.raises(JudgeError, match="all weights"):
        resolve_weights(DEFAULTS, only, "diversity")
    assert resolve_weights(DEFAULTS, only)["diversity"] > 0


def test_an_absent_axis_leaves_the_others_in_proportion() -> None:
    assert weighted_mean({"adherence": 1.0, "diversity": 0.0}, DEFAULTS) == pytest.approx(0.45 / 0.55)


def test_preference_follows_the_scores_and_near_ones_tie(tmp_path: Path) -> None:
    a, b = sample(tmp_path / "a"), sample(tmp_path / "b")
    values = [preference(a, b, "j", x, y).value for x, y in ((0.6, 0.5), (0.5, 0.6), (0.5, 0.504))]
    assert values == [1.0, 0.0, 0.5]


def test_judgements_survive_a_line_of_json_and_a_moved_folder(tmp_path: Path) -> None:
    judgement = Judgement(sample(tmp_path / "old" / "samples" / "x.png"), "clip", 0.1 + 0.2, {"adherence": 1 / 3})
    line = json.dumps(judgement_to_json(judgement, tmp_path / "old"))
    back = judgement_from_json(json.loads(line), tmp_path / "new")
    assert back == Judgement(sample(tmp_path / "new" / "samples" / "x.png"), "clip", 0.1 + 0.2, {"adherence": 1 / 3})


def test_a_picture_outside_the_folder_keeps_its_place(tmp_path: Path) -> None:
    judgement = Judgement(sample(tmp_path / "x.png"), "clip", 0.5, {})
    assert judgement_from_json(judgement_to_json(judgement, tmp_path / "f"), tmp_path / "f") == judgement


@pytest.mark.parametrize("data", [None, [], {"path": "x"}, {"path": 1, "prompt": "", "seed": "x", "step": 0}])
def test_a_line_that_is_no_judgement_is_an_error(tmp_path: Path, data: object) -> None:
    with pytest.raises(JudgeError, match="line of judgements"):
        judgement_from_json(data, tmp_path)
