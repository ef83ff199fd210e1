from __future__ import annotations

from pathlib import Path

import pytest

from bracket.domain import Judgement, Sample
from bracket.report.claims.scores import Rules, claims_of, flips_of, matrices, shares_of
from bracket.report.summary import Duel, Pair
from bracket.stats import CheckpointClaim, decide
from bracket.stats.duel.wording import sentence

OURS = [("b", 7, 0.9), ("b", 3, 0.8), ("a", 3, 0.7), ("a", 7, 0.6)]


def test_both_sides_take_the_winners_order() -> None:
    theirs = [("a", 7, 0.1), ("a", 3, 0.2), ("b", 3, 0.3), ("b", 7, 0.4)]
    first, second = matrices(OURS, theirs)
    assert first.tolist() == [[0.9, 0.8], [0.7, 0.6]]
    assert second.tolist() == [[0.4, 0.3], [0.2, 0.1]]


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        (OURS, OURS[:-1], "'a' with sample seed 7 was judged on one side only"),
        (OURS[:-1], OURS[:-1], "different numbers"),
        ([*OURS, OURS[0]], OURS, "more than once"),
        ([], [], "nothing was judged"),
    ],
)
def test_what_is_not_paired_is_refused(ours: list, theirs: list, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        matrices(ours, theirs)


def judged(
    scores: list[float], members: list[tuple[float, float]] | None = None, judge: str = "clip"
) -> tuple[Judgement, ...]:
    axes = [{"clip": a, "qwen2.5-vl": b} for a, b in members] if members else [{} for _ in scores]
    return tuple(
        Judgement(Sample(Path(f"{i}.png"), f"p{i}", 7, 9), judge, score, axes[i]) for i, score in enumerate(scores)
    )


PLAN = {
    "pictures": [[f"p{i}", 7] for i in range(9)], "training_seeds": [500, 501, 502, 503, 504, 505, 506], "alpha": 0.05,
}  # fmt: skip


def test_the_plan_says_how_much_there_was_to_be() -> None:
    assert Rules.of(PLAN) == Rules(prompts=9, pairs=7, edition=1)
    assert Rules.of({**PLAN, "edition": 2}) == Rules(prompts=9, pairs=7, edition=2)
    assert [Rules.of({**PLAN, "edition": n}).final_alpha(7, two_sided=False) for n in (1, 2)] == pytest.approx(
        [0.04, 0.05]
    )
    named = Rules.of({**PLAN, "comparisons": ["baseline", "runner_up"], "live_share": 0.4}, left_out=[502])
    assert (named.pairs, named.comparisons, named.live_share) == (6, ("baseline", "runner_up"), 0.4)


def test_prompts_of_a_theme_count_as_one_in_every_claim() -> None:
    rules = Rules.of({**PLAN, "themes": {"p0": "sea", "p1": "sea", "p2": "sea"}, "edition": 3})
    assert rules.prompts == 7
    duel = Duel(judged([0.8, 0.6, 0.7, *[0.6] * 6]), judged([0.5] * 9))
    claim = claims_of(duel, [], rules).checkpoint
    assert claim is not None and (claim.unit, claim.prompts, claim.sample_seeds) == ("theme", 7, 1)
    assert claim.mean_difference == pytest.approx((0.2 + 6 * 0.1) / 7)
    assert claim.p_two_sided == pytest.approx(2 / 2**7)
    assert CheckpointClaim.from_dict(claim.as_dict()) == claim
    by_prompt, _ = flips_of(duel, rules, {})
    assert by_prompt.unit == "theme" and by_prompt.names == ("sea", *(f"p{i}" for i in range(3, 9)))
    assert "7 fresh themes" in sentence(decide("w", "b", checkpoint=claim), "w")


def test_every_claim_is_made_under_the_plans_rules() -> None:
    rules = Rules.of({**PLAN, "comparisons": ["baseline", "runner_up"]})
    # The runner-up's duel ended after seven of nine prompts, and after one of seven pairs.
    duel = Duel(judged([0.6] * 9), judged([0.5] * 9), judged([0.4] * 7))
    pairs = [Pair(500, 0.6, 0.5, 0.7), Pair(501, 0.6, 0.5)]
    found = claims_of(duel, pairs, rules)
    assert found.checkpoint is not None and found.config is not None
    assert (found.checkpoint.prompts, found.checkpoint.watched.planned, found.checkpoint.watched.comparisons) == (
        9,
        9,
        2,
    )
    other = found.other_checkpoints["runner_up"]
    assert (other.prompts, other.watched.planned, other.mean_difference) == (7, 9, pytest.approx(0.2))
    assert (found.config.pairs, found.config.watched.planned) == (2, 7)
    assert found.other_configs["runner_up"].mean_difference == pytest.approx(-0.1)
    assert claims_of(None, [], rules).arguments == {
        "checkpoint": None, "config": None, "other_checkpoints": {}, "other_configs": {},
    }  # fmt: skip


def panel(scores: list[tuple[float, float]]) -> tuple[Judgement, ...]:
    return judged([(3 * a + b) / 4 for a, b in scores], scores, "panel")


SETTINGS = {"judge": {"share": 3.0}, "other_judges": [{"share": 1.0}]}


def test_a_panels_shares_are_those_that_give_its_scores_again() -> None:
    duel = Duel(panel([(0.9, 0.1)] * 9), panel([(0.5, 0.5)] * 9))
    assert shares_of(duel, SETTINGS) == {"clip": 3.0, "qwen2.5-vl": 1.0}
    assert shares_of(duel, {"judge": {"share": 1.0}, "other_judges": [{"share": 1.0}]}) == {}
    assert shares_of(Duel(judged([0.9]), judged([0.5])), SETTINGS) == {}


def test_the_judge_that_carries_a_claim_is_named() -> None:
    duel = Duel(panel([(0.9, 0.1)] * 9), panel([(0.5, 0.5)] * 9))
    by_prompt, by_judge = flips_of(duel, Rules.of(PLAN), shares_of(duel, SETTINGS))
    assert by_prompt.count == "0 of 9"
    assert by_judge is not None
    assert (by_judge.flips, by_judge.without) == (("clip",), (-1, 1))
    assert flips_of(duel, Rules.of(PLAN), {})[1] is None
