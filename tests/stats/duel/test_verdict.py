from __future__ import annotations

import json

import numpy as np
import pytest

from bracket.stats import (
    CheckpointClaim,
    Comparison,
    ConfigClaim,
    Verdict,
    checkpoint_claim,
    config_claim,
    decide,
    holm,
)

BASE = np.linspace(0.3, 0.6, 12)
WOBBLE = np.array([0.02, -0.02] * 6)

BETTER = checkpoint_claim(BASE + 0.1 + WOBBLE, BASE)
WORSE = checkpoint_claim(BASE - 0.1 + WOBBLE, BASE)
SAME = checkpoint_claim(BASE + WOBBLE, BASE)
FEW = checkpoint_claim(BASE[:4] + 0.1, BASE[:4])

UP = config_claim([0.03, 0.02, 0.04, 0.01, 0.05])
DOWN_FIVE = config_claim([-0.03, -0.02, -0.04, -0.01, -0.05])
DOWN_SIX = config_claim([-0.03, -0.02, -0.04, -0.01, -0.05, -0.02])
LEVEL = config_claim([0.03, -0.02, 0.01, -0.01, 0.02, -0.03])
ONE = config_claim([0.1])


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04, made non-decreasing.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []
    with pytest.raises(ValueError, match=r"0\.\.1"):
        holm([1.2])


@pytest.mark.parametrize(
    ("checkpoint", "config", "kind", "about"),
    [
        (BETTER, None, "checkpoint", "checkpoint"),
        (BETTER, ONE, "checkpoint", "checkpoint"),
        (BETTER, LEVEL, "checkpoint", "checkpoint"),
        (BETTER, UP, "config", "config"),
        (None, UP, "config", "config"),
        (SAME, UP, "config", "config"),
        (WORSE, ONE, "baseline_wins", "checkpoint"),
        (None, DOWN_SIX, "baseline_wins", "config"),
        (BETTER, DOWN_SIX, "baseline_wins", "config"),
        # Against the direction named beforehand five pairs are too few: two-sided p is 2/32.
        (None, DOWN_FIVE, "no_difference", None),
        (SAME, None, "no_difference", None),
        (SAME, ONE, "no_difference", None),
        (FEW, LEVEL, "no_difference", None),
        (FEW, ONE, "not_tested", None),
        (None, None, "not_tested", None),
    ],
)
def test_what_may_be_said(
    checkpoint: CheckpointClaim | None, config: ConfigClaim | None, kind: str, about: str | None
) -> None:
    verdict = decide("t7", "t0", checkpoint=checkpoint, config=config)
    assert (verdict.kind, verdict.about) == (kind, about)


def test_a_baseline_that_leads_needs_no_duel() -> None:
    assert decide("t0", "t0").kind == "baseline_leads"


def test_every_comparison_named_beforehand_counts() -> None:
    # Five of five is 1/32; named together with a second comparison that fails it costs 2/32.
    five = config_claim([0.03, 0.02, 0.04, 0.01, 0.05], comparisons=2)
    other = config_claim([0.01, -0.02, 0.01, 0.02, -0.01], comparisons=2)
    alone, together = decide("a", "b", config=UP), decide("a", "b", config=five, other_configs=[other])
    assert (alone.config_p, alone.kind) == (1 / 32, "config")
    assert (together.config_p, together.kind) == (2 / 32, "not_tested")
    # A second one that holds more surely leaves it at 2/32 too: intervals of Bonferroni's adjustment can be told.
    surer = config_claim([0.02] * 6, comparisons=2)
    verdict = decide("a", "b", config=five, other_configs={"the runner-up": surer})
    assert verdict.config_p == 2 / 32
    assert verdict.others == (
        Comparison(name="the runner-up", about="config", claim=surer, p=2 / 64, holds=True),
    )  # fmt: skip


def test_by_the_earlier_editions_holm_starts_with_the_smallest() -> None:
    five, surer = (config_claim([0.02] * n, comparisons=2, edition=2) for n in (5, 6))
    assert decide("a", "b", config=five, other_configs={"the runner-up": surer}).config_p == 1 / 32


def test_the_two_kinds_of_claim_do_not_pay_for_each_other() -> None:
    verdict = decide("a", "b", checkpoint=SAME, config=UP)
    assert (verdict.kind, verdict.config_p) == ("config", 1 / 32)
    assert verdict.checkpoint_p == SAME.p_two_sided


def test_a_single_training_seed_is_said_to_be_one() -> None:
    assert decide("a", "b", checkpoint=BETTER).single_seed
    assert any("single training seed" in note for note in decide("a", "b", checkpoint=BETTER, config=ONE).notes)
    assert not decide("a", "b", checkpoint=BETTER, training_seeds=3).single_seed
    assert not decide("a", "b", config=UP).single_seed


def test_notes_name_what_is_missing_and_what_disagrees() -> None:
    notes = " ".join(decide("a", "b", checkpoint=FEW, config=ONE).notes)
    assert "4 fresh prompts can't support a claim; at least 6" in notes
    assert "1 paired training seed can't support a claim about the settings; at least 5" in notes
    assert "point different ways" in " ".join(decide("a", "b", checkpoint=BETTER, config=DOWN_SIX).notes)
    # Eleven prompts lost by a little, one won by a lot.
    lopsided = checkpoint_claim(BASE + np.array([0.9] + [-0.01] * 11), BASE)
    assert lopsided.mean_difference > 0 > lopsided.win_rate - 0.5
    assert "few prompts" in " ".join(decide("a", "b", checkpoint=lopsided).notes)


def test_swapping_the_arms_swaps_the_checkpoint_verdict() -> None:
    rng = np.random.default_rng(8)
    for _ in range(30):
        a, b = rng.normal(0.5, 0.1, (2, 10, 1)) + np.array([[[rng.normal(0, 0.08)]], [[0.0]]])
        one, other = (decide("a", "b", checkpoint=checkpoint_claim(*arms)).kind for arms in ((a, b), (b, a)))
        swapped = {"checkpoint": "baseline_wins", "baseline_wins": "checkpoint", "no_difference": "no_difference"}
        assert other == swapped[one]


EIGHT = config_claim([0.03] * 8, planned=12)
LOST_NINE = config_claim([-0.03] * 9, planned=12)
HOPELESS = config_claim([0.03, -0.02], planned=5)
BY_HAND = config_claim([0.03] * 5, planned=6)
NINE_PROMPTS = checkpoint_claim(np.full(9, 0.6), np.full(9, 0.5), planned=40)


@pytest.mark.parametrize(
    ("checkpoint", "config", "kind", "about"),
    [
        (None, EIGHT, "config", "config"),
        (NINE_PROMPTS, None, "checkpoint", "checkpoint"),
        (None, LOST_NINE, "baseline_wins", "config"),
        (None, HOPELESS, "no_difference", None),
        # Five of five would be 1/32, but six were planned: stopping when pleased claims nothing.
        (None, BY_HAND, "not_tested", None),
        (BETTER, BY_HAND, "checkpoint", "checkpoint"),
    ],
)
def test_what_a_duel_that_ended_early_may_say(
    checkpoint: CheckpointClaim | None, config: ConfigClaim | None, kind: str, about: str | None
) -> None:
    verdict = decide("t7", "t0", checkpoint=checkpoint, config=config)
    assert (verdict.kind, verdict.about) == (kind, about)
    assert verdict.config_p is None
    stopped = [note for note in verdict.notes if "Stopped by hand after 5 of 6 paired training seeds" in note]
    assert bool(stopped) == (config is BY_HAND)


def test_p_is_held_to_what_watching_left() -> None:
    # 12 of 256 = 0.047: enough for 0.05, not for 0.04.
    claim = next(
        claim
        for seed in range(500)
        if 0.04 < (claim := config_claim(np.random.default_rng(seed).normal(0.4, 1, 8) / 9)).p_greater <= 0.05
    )
    unwatched = config_claim(np.zeros(8) + claim.mean_difference, live_share=0.0)
    assert decide("a", "b", config=claim).kind == "no_difference"
    assert decide("a", "b", config=claim).final_alpha == pytest.approx(0.04)
    assert decide("a", "b", config=unwatched).final_alpha == 0.05


def test_a_comparison_that_was_decided_leaves_the_family_and_one_that_failed_does_not() -> None:
    six = config_claim([0.02] * 6, comparisons=2)
    # Nine equal wins: (1.6^9 + 1.8^9 + 2^9)/3 = 260, above 2 · 100.
    decided = config_claim([0.03] * 9, planned=12, comparisons=2)
    hopeless = config_claim([-0.03, 0.01], planned=6, comparisons=2)
    assert decide("a", "b", config=six, other_configs={"runner_up": decided}).config_p == 2 / 64
    before = [config_claim(d, planned=p, comparisons=2, edition=2) for d, p in (([0.02] * 6, 6), ([0.03] * 9, 12))]
    assert decide("a", "b", config=before[0], other_configs={"runner_up": before[1]}).config_p == 1 / 64
    assert decide("a", "b", config=six, other_configs={"runner_up": hopeless}).config_p == 2 / 64
    # Named, and never run.
    assert decide("a", "b", config=six).config_p == 2 / 64
    others = decide("a", "b", config=six, other_configs={"runner_up": decided}).others
    assert [(other.name, other.p, other.holds) for other in others] == [("runner_up", None, True)]


def test_a_claim_made_for_fewer_comparisons_is_refused() -> None:
    with pytest.raises(ValueError, match="as one of 1, the verdict has 2"):
        decide("a", "b", config=UP, other_configs=[UP])


TWO = decide(
    "a", "b", config=config_claim([0.02] * 6, comparisons=2), other_configs=[config_claim([0.1, 0.2], comparisons=2)]
)


@pytest.mark.parametrize("verdict", [TWO, decide("a", "b", checkpoint=BETTER, config=ONE), decide("a", "b")])
def test_verdict_survives_json(verdict: Verdict) -> None:
    assert Verdict.from_dict(json.loads(json.dumps(verdict.as_dict(), allow_nan=False))) == verdict


def test_a_verdict_with_a_strange_field_is_refused() -> None:
    with pytest.raises(ValueError, match="mood"):
        Verdict.from_dict({**decide("a", "b").as_dict(), "mood": "good"})


def test_claims_of_another_alpha_are_refused() -> None:
    with pytest.raises(ValueError, match=r"alpha 0\.01"):
        decide("a", "b", config=config_claim([0.1] * 8, alpha=0.01))
