from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bracket.stats import Verdict, checkpoint_claim, decide, sentence, short_sentence
from bracket.stats.duel.keep import FEWEST, Kept, keep_of
from bracket.stats.duel.signflip import ends, ratio_ends


def test_a_ratio_by_hand() -> None:
    # Ratios of the 15 subsets: 0.5, 0.75, 1 (three), 7/6, 1.25 (three), 4/3, 1.5 (three), 1.75, 2; the second from each
    # end at alpha 4/16.
    assert ratio_ends([1, 2, 3, 4], [2, 2, 2, 2], alpha=0.25) == (0.75, 1.75, 0.75)


def test_the_ends_are_those_of_the_test_of_the_differences() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.uniform(0.1, 0.9, 9), rng.uniform(0.3, 1.0, 9)
    low, high, level = ratio_ends(ours, theirs, alpha=0.05)
    assert low is not None and high is not None and level == 1 - 24 / 512
    for ratio, excluded in ((low - 1e-6, True), (low + 1e-6, False), (high - 1e-6, False), (high + 1e-6, True)):
        under, over = ends(ours - ratio * theirs, low=0.025, high=0.025)
        assert under is not None and over is not None
        assert (under > 0 or over < 0) == excluded


def test_a_base_that_can_do_nothing_in_some_prompts_leaves_the_upper_end_open() -> None:
    low, high, _ = ratio_ends([0.5] * 6, [0.5] * 5 + [0.0], alpha=0.05)
    assert (low, high) == (1.0, None)


@pytest.mark.parametrize("prompts", [6, 8, 20])
def test_the_interval_holds_what_it_says(prompts: int) -> None:
    rng, held = np.random.default_rng(prompts), 0
    for _ in range(400):
        base = rng.uniform(0.4, 1.0, prompts)
        low, high, _ = ratio_ends(0.8 * base + rng.normal(0, 0.15, prompts), base, alpha=0.05)
        assert low is not None and high is not None
        held += low <= 0.8 <= high
    assert 0.93 <= held / 400 <= 1


def test_what_is_kept_by_hand() -> None:
    # Prompts' means: 0.3 and 0.5 against 0.6 and 0.4.
    found = keep_of([[0.2, 0.4], [0.5, 0.5]], [[0.6, 0.6], [0.3, 0.5]])
    assert (found.prompts, found.sample_seeds, found.file, found.base) == (2, 2, pytest.approx(0.4), pytest.approx(0.5))
    assert found.share == pytest.approx(0.8)
    assert (found.low, found.high) == (None, None), "two prompts are too few"
    assert keep_of([0.3], [0.0]).share is None


FORGETS = keep_of([0.5] * 5 + [0.68], [0.8] * 6)
"""3.18 of 4.8: 66.25 %."""
KEEPS = keep_of([0.8] * 6, [0.8] * 6)
WON = checkpoint_claim(np.linspace(0.5, 0.9, 20), np.linspace(0.3, 0.6, 20))


def _verdict(kept: Kept | None) -> Verdict:
    return decide("w", "baseline", checkpoint=WON, kept=kept, training_seeds=2)


def test_the_guard_asks_for_a_share_and_what_is_not_told_does_not_reach_it() -> None:
    made = Kept(winner=FORGETS, baseline=KEEPS)
    assert made.enough and replace(made, at_least=66).enough and not replace(made, at_least=67).enough
    assert not Kept(winner=None, baseline=None, at_least=1).enough
    assert _verdict(None).recommended and not _verdict(replace(made, at_least=90)).recommended


def test_it_is_said_and_no_claim_depends_on_it() -> None:
    kept = Kept(winner=FORGETS, baseline=KEEPS, at_least=90)
    with_it, without = _verdict(kept), _verdict(None)
    assert (with_it.kind, with_it.checkpoint_p) == (without.kind, without.checkpoint_p)
    said = sentence(with_it, "lr 1e-3")
    assert (
        "Its file keeps 66 % of what the base could (6 prompts without the trigger word, 96.9 % interval 62 % to 85 %)"
        "; the baseline's keeps 100 %. At least 90 % were asked, so it is not recommended." in said
    )
    assert short_sentence(with_it, "lr 1e-3") == (
        f"{short_sentence(without, 'lr 1e-3')}; not recommended, as it keeps 66 % of what the base could and 90 % were "
        "asked"
    )
    assert "recommended" not in sentence(_verdict(replace(kept, at_least=0)), "lr 1e-3")
    few = keep_of([0.5, 0.6], [0.8, 0.8])
    assert (
        "keeps 69 % of what the base could (2 prompts without the trigger word, too few for an interval)."
        in sentence(_verdict(Kept(winner=few, baseline=None)), "lr 1e-3")
    )
    untold = sentence(_verdict(Kept(winner=None, baseline=None, at_least=90)), "lr 1e-3")
    assert "was not told; 90 % were asked, so it is not recommended." in untold
    assert few.prompts < FEWEST == 6


def test_a_verdict_comes_back_equal_and_one_that_has_none_is_as_it_was() -> None:
    kept = Kept(winner=FORGETS, baseline=None, at_least=90)
    assert Verdict.from_dict(_verdict(kept).as_dict()) == _verdict(kept)
    assert "kept" not in _verdict(None).as_dict()
    assert Verdict.from_dict(_verdict(None).as_dict()) == _verdict(None)
