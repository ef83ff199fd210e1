from __future__ import annotations

import json

import numpy as np
import pytest

from bracket.stats.duel.flips import Flips, judge_flips, prompt_flips

BASE = np.full((7, 1), 0.5)
NAMES = [f"p{i}" for i in range(7)]


def won(*differences: float) -> np.ndarray:
    return BASE[: len(differences)] + np.array(differences)[:, None]


def test_seven_prompts_that_all_win_hang_on_none() -> None:
    # 2/128 with all, 2/64 = 0.031 with six.
    found = prompt_flips(won(*[0.1] * 7), BASE, NAMES)
    assert (found.concludes, found.flips, found.count) == (1, (), "0 of 7")


def test_six_prompts_hang_on_each() -> None:
    # Five can't reach 0.05 two-sided: 2/32.
    found = prompt_flips(won(*[-0.1] * 6), BASE[:6], NAMES[:6])
    assert (found.concludes, found.count, found.without) == (-1, "6 of 6", (0,) * 6)


def test_one_loser_that_hides_a_win_is_named() -> None:
    # 0.1 six times and -0.35: the sum 0.25 is reached by flipping nothing, the loser (0.95), or the loser with up to
    # three others (0.75, 0.55, 0.35): 1 + 1 + 6 + 15 + 20 of 128, so nothing. Without the loser 2/64.
    found = prompt_flips(won(*[0.1] * 6, -0.35), BASE, NAMES)
    assert (found.concludes, found.flips, found.count) == (0, ("p6",), "1 of 7")
    assert found.without == (0,) * 6 + (1,)


def test_a_duel_decided_early_is_left_one_shorter() -> None:
    # Nine wins of twelve decide (200 needed, 260 reached); eight reach 136 and eleven planned, so nothing yet.
    found = prompt_flips(np.full((9, 1), 0.6), np.full((9, 1), 0.5), [str(i) for i in range(9)], planned=12)
    assert (found.concludes, found.count) == (1, "0 of 9"), "eight of eight would have been enough as well"
    before = prompt_flips(np.full((9, 1), 0.6), np.full((9, 1), 0.5), [str(i) for i in range(9)], planned=12, edition=2)
    assert (before.concludes, before.count) == (1, "9 of 9"), "against its plan every prompt seemed to carry it"
    surer = prompt_flips(np.full((10, 1), 0.6), np.full((10, 1), 0.5), [str(i) for i in range(10)], planned=12)
    assert surer.count == "0 of 10"


def test_sample_seeds_are_averaged_inside_a_prompt() -> None:
    winner = np.array([[0.7, 0.5]] * 7)
    assert prompt_flips(winner, np.full((7, 2), 0.5), NAMES).concludes == 1


def test_a_panel_that_hangs_on_one_judge() -> None:
    # a sees +0.3 everywhere, b nothing but noise around 0, so b alone concludes nothing and a alone the same as both.
    noise = np.array([0.01, -0.01, 0.02, -0.02, 0.01, -0.01, 0.0])
    members = {"a": (won(*[0.3] * 7), BASE), "b": (won(*noise), BASE), "c": (won(*[-0.4] * 7), BASE)}
    found = judge_flips(members, {"a": 2, "b": 1, "c": 0})
    assert (found.names, found.concludes, found.flips, found.without) == (("a", "b"), 1, ("a",), (0, 1))
    # With shares 1, 0, 1 the mean is (0.3 - 0.4)/2: without c the winner's side, without a the baseline's again.
    other = judge_flips(members, {"a": 1, "b": 0, "c": 1})
    assert (other.concludes, other.without, other.flips, other.count) == (-1, (-1, 1), ("c",), "1 of 2")


def test_the_only_judge_that_counts_leaves_nothing() -> None:
    found = judge_flips({"a": (won(*[0.3] * 7), BASE)}, {"a": 1.0})
    assert (found.concludes, found.without) == (1, (0,))


def test_flips_survive_json() -> None:
    found = prompt_flips(won(*[0.1] * 7), BASE, NAMES)
    assert Flips.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_bad_questions_are_named() -> None:
    with pytest.raises(ValueError, match="6 names for 7 prompts"):
        prompt_flips(won(*[0.1] * 7), BASE, NAMES[:6])
    with pytest.raises(ValueError, match="one shape"):
        prompt_flips(won(*[0.1] * 6), BASE, NAMES)
    with pytest.raises(ValueError, match="judges that count: b"):
        judge_flips({"a": (BASE, BASE)}, {"b": 1.0})
    with pytest.raises(ValueError, match="none does"):
        judge_flips({"a": (BASE, BASE)}, {"a": 0.0})
