"""Which units of a duel count, and when it is over, by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from bracket.domain import DatasetSplit, Judgement, Outcome, Prompt, Round, Sample, Score, Trial, TrialResult
from bracket.errors import StorageError
from bracket.files import write_text
from bracket.report.claims.again import Standing
from bracket.report.claims.scores import Rules, claims_of
from bracket.report.summary import Pair
from bracket.session.asked.seeds import Seeds
from bracket.session.duel.course import (
    OVER,
    Course,
    course_of_pairs,
    course_of_prompts,
    duel_of,
    follow,
    pairs_of,
    score_matrix,
    scores_by_seed,
)
from bracket.session.duel.plan import PLAN, DuelPlan, plan_of, read_plan, rule
from bracket.session.evaluate import keep_judgements
from bracket.session.job import Context

PROMPTS = tuple("abcdefgh")
PLANNED = DuelPlan(
    winner={"lr": 2},
    baseline={"lr": 1},
    alpha=0.05,
    live_share=0.2,
    prompts=PROMPTS,
    pictures=tuple((text, 10 * i + s) for i, text in enumerate(PROMPTS) for s in range(2)),
    pairs=5,
    training_seeds=(7, 8, 9, 10, 11),
)


def _judged(folder: Path, prompt: str, seed: int, score: float) -> Judgement:
    return Judgement(Sample(folder / f"{prompt}-{seed}.png", prompt, seed, 1), "j", score, {})


def _ended(
    folder: Path, origin: str, seed: int, *scores: float, outcome: Outcome = Outcome.OK, lr: int = 0, cause: str = ""
) -> TrialResult:
    config = {"lr": lr or {"winner": 2, "baseline": 1, "runner_up": 3}[origin]}
    trial = Trial(f"{origin}-{seed}", Round.CONFIRMATION, origin, config, seed, 1, folder / f"{origin}-{seed}-{lr}")
    keep_judgements(trial.folder, [_judged(trial.folder, "p", i, s) for i, s in enumerate(scores)])
    return TrialResult(trial, outcome, cause, score=Score(0.5, 0.5, 0.5) if scores else None)


def _pairs(results: Sequence[TrialResult], plan: DuelPlan = PLANNED) -> tuple[tuple[Pair, ...], tuple[int, ...]]:
    return pairs_of(plan, scores_by_seed(plan, results))


def _units(*differences: float | None, planned: int) -> list[dict[str, float] | None]:
    units: list[dict[str, float] | None] = [None if d is None else {"baseline": d} for d in differences]
    return units + [None] * (planned - len(units))


def _course(*differences: float | None, planned: int = 5, two_sided: bool = False) -> Course:
    return follow(PLANNED, _units(*differences, planned=planned), two_sided=two_sided)


# Which pairs count


def test_a_pair_holds_each_arms_mean(tmp_path: Path) -> None:
    ((pair,), left_out) = _pairs([_ended(tmp_path, "baseline", 7, 0.2, 0.4), _ended(tmp_path, "winner", 7, 0.5, 0.9)])
    assert (pair.seed, round(pair.winner, 9), round(pair.baseline, 9), left_out) == (7, 0.7, 0.3, ())


def test_a_pair_is_of_one_training_seed_in_whatever_order_trainings_end(tmp_path: Path) -> None:
    ours, theirs = (0.61, 0.72, 0.83, 0.94, 0.55), (0.1, 0.3, 0.2, 0.5, 0.4)
    seeds = PLANNED.training_seeds
    winners = [_ended(tmp_path, "winner", seed, v) for seed, v in zip(seeds, ours, strict=True)]
    baselines = [_ended(tmp_path, "baseline", seed, v) for seed, v in zip(seeds, theirs, strict=True)]
    wanted = tuple(Pair(*pair) for pair in zip(seeds, ours, theirs, strict=True))
    assert _pairs([*winners[::-1], *baselines]) == _pairs([*baselines[2:], *winners, *baselines[:2]]) == (wanted, ())
    course = course_of_pairs(PLANNED, scores_by_seed(PLANNED, [*winners[::-1], *baselines]))
    assert course.differences["baseline"] == pytest.approx([0.51, 0.42, 0.63, 0.44, 0.15])


def test_an_arm_that_melted_counts_as_the_worst(tmp_path: Path) -> None:
    melted = _ended(tmp_path, "winner", 7, outcome=Outcome.DIVERGED)
    assert _pairs([_ended(tmp_path, "baseline", 7, 0.4), melted]) == ((Pair(7, 0.0, 0.4),), ())


def test_what_crashes_counts_as_the_worst(tmp_path: Path) -> None:
    plan = replace(PLANNED, training_seeds=(7, 8, 9))
    results = [_ended(tmp_path, "winner", 7, outcome=Outcome.CRASHED), _ended(tmp_path, "baseline", 7, 0.4)]
    results += [_ended(tmp_path, "winner", 8, 0.6), _ended(tmp_path, "baseline", 8, outcome=Outcome.OUT_OF_MEMORY)]
    results += [_ended(tmp_path, arm, 9, outcome=Outcome.CRASHED) for arm in ("winner", "baseline")]
    pairs, left_out = _pairs(results, plan)
    assert [(p.difference, p.lost) for p in pairs] == [
        (-0.4, ("winner",)),
        (0.6, ("baseline",)),
        (0.0, ("winner", "baseline")),
    ]
    course = course_of_pairs(plan, scores_by_seed(plan, results))
    assert (left_out, course.counted, course.differences["baseline"]) == ((), (0, 1, 2), (-0.4, 0.6, 0.0))


def test_before_edition_3_a_crash_leaves_its_seed_out_and_one_pair_less_is_planned(tmp_path: Path) -> None:
    plan = replace(PLANNED, training_seeds=(7, 8, 9, 10, 11, 12), edition=2)
    results = [_ended(tmp_path, "winner", 7, outcome=Outcome.CRASHED), _ended(tmp_path, "baseline", 7, 0.4)]
    results += [_ended(tmp_path, arm, s, v) for s in plan.training_seeds[1:] for arm, v in _apart()]
    pairs, left_out = _pairs(results, plan)
    assert [p.seed for p in pairs] == [8, 9, 10, 11, 12] and left_out == (7,)
    claim = claims_of(None, pairs, Rules.of(plan.as_dict(), left_out)).config
    assert claim and claim.complete and claim.watched and claim.watched.planned == 5
    assert claim.p_greater == 1 / 32
    assert course_of_pairs(plan, scores_by_seed(plan, results)).watched["baseline"] == claim.watched


def _apart() -> list[tuple[str, float]]:
    return [("baseline", 0.4), ("winner", 0.6)]


def test_pairs_count_in_the_plans_order_whatever_ends_first(tmp_path: Path) -> None:
    late = [_ended(tmp_path, arm, 9, v) for arm, v in _apart()]
    assert _pairs(late) == ((), ()), "seeds 7 and 8 come first"
    early = [_ended(tmp_path, arm, seed, v) for seed in (7, 8) for arm, v in _apart()]
    assert [p.seed for p in _pairs([*late, *early])[0]] == [7, 8, 9]


def test_a_training_stopped_because_the_duel_was_over_is_not_a_loss_at_random(tmp_path: Path) -> None:
    stopped = _ended(tmp_path, "winner", 7, outcome=Outcome.STOPPED, cause=OVER)
    others = [_ended(tmp_path, arm, 8, v) for arm, v in _apart()]
    assert _pairs([_ended(tmp_path, "baseline", 7, 0.4), stopped, *others]) == ((), ())


def test_trainings_of_another_config_than_the_plans_do_not_count(tmp_path: Path) -> None:
    other = _ended(tmp_path, "winner", 7, 0.9, lr=5)
    assert _pairs([_ended(tmp_path, "baseline", 7, 0.4), other]) == ((), ())


def test_a_runner_up_that_crashed_costs_only_its_own_comparison(tmp_path: Path) -> None:
    plan = replace(PLANNED, runner_up={"lr": 3}, training_seeds=(7, 8, 9, 10, 11, 12), edition=2)
    results = [_ended(tmp_path, arm, seed, v) for seed in plan.training_seeds for arm, v in _apart()]
    results += [_ended(tmp_path, "runner_up", seed, 0.5) for seed in plan.training_seeds[1:]]
    results.append(_ended(tmp_path, "runner_up", 7, outcome=Outcome.CRASHED))
    course = course_of_pairs(plan, scores_by_seed(plan, results))
    assert len(course.differences["baseline"]) == 6 and len(course.differences["runner_up"]) == 5
    assert course.over and course.watched["baseline"].complete and not course.watched["runner_up"].complete
    first = _pairs(results, plan)[0][0]
    assert (first.runner_up, first.lost) == (None, ()), "by these rules nothing counts as 0 for it"


# When it is over


def test_one_lost_pair_of_five_is_hopeless_at_once() -> None:
    course = _course(-0.1)
    assert course.over and course.early and course.counted == (0,)
    assert course.watched["baseline"].hopeless, "only five of five reach 1/32"


def test_it_goes_on_while_a_claim_can_be_reached() -> None:
    assert not _course(0.1, 0.2, 0.1, 0.1).over
    whole = _course(0.1, 0.2, 0.1, 0.1, 0.3)
    assert whole.over and not whole.early


def test_what_was_made_beyond_the_end_does_not_count() -> None:
    assert _course(-0.1, 0.5, 0.5, 0.5, 0.5).counted == (0,)


def test_a_clear_difference_is_decided_early_and_stays_decided() -> None:
    course = _course(*[0.2] * 40, planned=40, two_sided=True)
    at = course.watched["baseline"].decided_at
    assert course.watched["baseline"].decided == "winner" and at and at < 15
    assert course.counted == tuple(range(at)) and course.early


def test_a_duel_too_small_for_any_claim_is_not_cut_short() -> None:
    assert not _course(planned=2).over, "who asks for two pairs knows that they prove nothing, and gets them"
    assert _course(-0.1, 0.1, planned=2).counted == (0, 1)


def test_with_two_comparisons_both_must_be_over() -> None:
    plan = replace(PLANNED, runner_up={"lr": 3})
    units = [{"baseline": -0.1, "runner_up": 0.1}] + [{"baseline": 0.1, "runner_up": 0.1}] * 5
    course = follow(plan, [*units, *[None] * 2], two_sided=False)
    assert not course.over and course.counted == (0, 1, 2, 3, 4, 5)


def test_a_duel_ended_early_if_a_unit_is_neither_counted_nor_left_out() -> None:
    assert not Course(6).over and not Course(6, (0, 1)).early
    assert Course(6, (0, 1), (2,), over=True).early
    assert not Course(6, (1, 2, 3, 4, 5), (0,), over=True).early


def test_an_empty_duel_is_over() -> None:
    assert _course(planned=0).over


# The checkpoints


def _arms(folder: Path, gap: float, prompts: int = 8) -> dict[str, list[Judgement]]:
    pictures = PLANNED.pictures[: 2 * prompts]
    return {
        "winner": [_judged(folder, text, seed, 0.5 + gap + seed / 1000) for text, seed in reversed(pictures)],
        "baseline": [_judged(folder, text, seed, 0.5 + seed / 1000) for text, seed in pictures],
    }


def test_a_prompt_counts_once_both_arms_have_all_its_pictures(tmp_path: Path) -> None:
    arms = _arms(tmp_path, 0.1, prompts=3)
    arms["baseline"].pop()
    course = course_of_prompts(PLANNED, arms)
    assert course.counted == (0, 1) and course.planned == 8 and not course.over
    assert course.differences["baseline"] == pytest.approx((0.1, 0.1))


def test_the_duel_holds_what_counts_in_the_plans_order(tmp_path: Path) -> None:
    found = duel_of(PLANNED, _arms(tmp_path, 0.1, prompts=3))
    assert found and [(j.sample.prompt, j.sample.seed) for j in found.winner] == list(PLANNED.pictures[:6])
    assert duel_of(PLANNED, {"winner": [], "baseline": []}) is None


def test_prompts_of_one_theme_are_one_unit(tmp_path: Path) -> None:
    texts = PLANNED.prompts
    plan = replace(PLANNED, themes={texts[0]: "sea", texts[2]: "sea"})
    assert plan.units[:2] == [(texts[0], texts[2]), (texts[1],)] and plan.unit == "theme"
    arms = _arms(tmp_path, 0.0)
    by_prompt = {texts[0]: 0.3, texts[2]: 0.1, texts[1]: -0.2}
    arms["winner"] = [replace(j, score=j.score + by_prompt.get(j.sample.prompt, 0.0)) for j in arms["winner"]]
    course = course_of_prompts(
        plan, {side: [j for j in found if j.sample.prompt in texts[:3]] for side, found in arms.items()}
    )
    assert (
        course.planned == 7
        and course.counted == (0, 1)
        and course.differences["baseline"] == pytest.approx((0.2, -0.2))
    )
    arms["baseline"] = [j for j in arms["baseline"] if j.sample.prompt != texts[2]]
    assert course_of_prompts(plan, arms).counted == (), "the first theme lacks a prompt"


def test_the_rule_tells_what_a_theme_is() -> None:
    said = rule(8, 0, 0.05, 0.2, 1, "theme")
    assert said.startswith("Prompts that stem from one caption or template are one theme. ") and "over 8 themes" in said


def test_scores_are_laid_out_by_prompt_and_seed_in_the_prompts_order(tmp_path: Path) -> None:
    prompts = [Prompt("b", 1), Prompt("b", 2), Prompt("a", 3), Prompt("a", 4)]
    judged = [_judged(tmp_path, p.text, p.seed, p.seed / 10) for p in reversed(prompts)]
    assert np.array_equal(score_matrix(judged, prompts), [[0.1, 0.2], [0.3, 0.4]])


# The plan


@pytest.mark.parametrize("runner_up", [None, {"lr": 3}])
def test_a_plan_is_what_the_settings_ask_for(runner_up: dict[str, int] | None) -> None:
    confirmation = SimpleNamespace(pairs=9, alpha=0.05, live_share=0.2, keep_at_least=0)
    told = SimpleNamespace(
        settings=SimpleNamespace(confirmation=confirmation, seeds=Seeds(4), seed=4),
        dataset=DatasetSplit(Path("a"), (), (), ("c",), PROMPTS, themes={"a": "sea", "b": "sea", "c": "hill"}),
        verdict_prompts=PLANNED.drawn,
        keep_pictures=tuple,
        baseline={"lr": 1},
    )
    standing = Standing(0.05, 0.04, family="f")
    plan = plan_of(cast(Context, told), {"lr": 2}, runner_up, "a judge", standing)
    assert list(plan.arms) == ["winner", "baseline", *(["runner_up"] if runner_up else [])]
    assert (plan.winner, plan.baseline, plan.runner_up, plan.judge) == ({"lr": 2}, {"lr": 1}, runner_up, "a judge")
    assert (plan.alpha, plan.live_share, plan.edition, plan.order_seed) == (0.04, 0.2, 3, 4)
    assert (plan.whole_alpha, plan.family, plan.earlier, plan.rejudged) == (0.05, "f", (), "")
    assert (plan.prompts, plan.pictures, plan.pairs) == (PROMPTS, PLANNED.pictures, 9)
    assert plan.training_seeds == tuple(Seeds(4).training(Round.CONFIRMATION, 9))
    assert plan.themes == {"a": "sea", "b": "sea"} and "The duel over 7 themes is decided at" in plan.rule
    # Alone nine pairs decide at 1/0.008 = 125, one of two comparisons at 250.
    assert f"The duel over 9 pairs is decided as soon as its e-value reaches {250 if runner_up else 125}" in plan.rule


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_text(tmp_path / PLAN, json.dumps(PLANNED.as_dict()))
    assert read_plan(tmp_path) == PLANNED


def test_a_plan_of_before_duels_could_end_early_is_still_a_plan(tmp_path: Path) -> None:
    new = ("live_share", "comparisons", "rule", "runner_up", "edition")
    old = {k: v for k, v in PLANNED.as_dict().items() if k not in new}
    write_text(tmp_path / PLAN, json.dumps(old))
    assert read_plan(tmp_path) == replace(PLANNED, edition=1)


def test_the_rule_says_what_really_ends_a_duel() -> None:
    few = rule(20, 6, 0.05, 0.2, 1)
    assert "over 20 prompts is decided as soon as its e-value reaches 200, or at its planned end" in few
    assert "sign-flip test needs p <= 0.04 (the smallest p that so many can show is 1.9e-06)" in few
    assert "over 6 pairs is decided at its planned end, where the exact sign-flip test needs p <= 0.05" in few
    assert "(the smallest p that so many can show is 0.016); watching spends nothing" in few
    assert "over 12 pairs is decided as soon as its e-value reaches 200" in rule(20, 12, 0.05, 0.2, 2)
    assert "watching" not in rule(20, 6, 0.05, 0.0, 1)
    assert "crashes" not in rule(8, 0, 0.05, 0.2, 1)


@pytest.mark.parametrize("text", ["{}", "[]", '{"winner": 3}', "{"])
def test_a_damaged_plan_is_one_sentence(tmp_path: Path, text: str) -> None:
    write_text(tmp_path / PLAN, text)
    with pytest.raises(StorageError):
        read_plan(tmp_path)
