from __future__ import annotations

import numpy as np
import pytest

from bracket.stats import knob_importance
from bracket.stats.search.importance import Value, average_ranks


def _search(trials: int, effect: float, seed: int) -> tuple[list[dict[str, Value]], list[float]]:
    """Six knobs, of which only the learning rate matters: a parabola in its logarithm."""
    rng = np.random.default_rng(seed)
    configs: list[dict[str, Value]] = [
        {
            "learning_rate": float(10 ** rng.uniform(-5, -3)),
            "rank": int(rng.choice([8, 16, 32, 64])),
            "alpha": int(rng.choice([4, 8, 16])),
            "optimizer": str(rng.choice(["adamw", "lion", "prodigy"])),
            "cosine": bool(rng.random() < 0.5),
            "warmup": float(rng.uniform(0, 200)),
        }
        for _ in range(trials)
    ]
    scores = [effect * (np.log10(float(c["learning_rate"])) + 3.7) ** 2 + 0.1 * rng.normal() for c in configs]
    return configs, scores


def test_ranks_by_hand() -> None:
    assert average_ranks(np.array([3.0, 1.0, 3.0, 9.0])).tolist() == [2.5, 1.0, 2.5, 4.0]


def test_the_learning_rate_stands_out() -> None:
    first = knob_importance(*_search(24, 0.5, 1), log={"learning_rate", "rank"})[0]
    assert first.knob == "learning_rate" and first.clear and first.share > 0.3 and first.share > first.noise_floor


def test_a_choice_stands_out() -> None:
    configs, _ = _search(24, 0.0, 3)
    scores = [0.3 if config["optimizer"] == "lion" else 0.5 for config in configs]
    found = knob_importance(configs, np.add(scores, np.random.default_rng(0).normal(0, 0.03, 24)))
    assert [one.knob for one in found if one.clear] == ["optimizer"]


@pytest.mark.slow
def test_noise_is_called_noise_in_nineteen_of_twenty_searches() -> None:
    claimed = [
        any(one.clear for one in knob_importance(*_search(14, 0.0, seed), permutations=299, seed=seed))
        for seed in range(300)
    ]
    assert np.mean(claimed) <= 0.085


def test_one_melted_run_does_not_decide() -> None:
    configs, scores = _search(20, 0.5, 2)
    worst = int(np.argmax(scores))
    melted = [1e6 if i == worst else score for i, score in enumerate(scores)]
    assert knob_importance(configs, melted) == knob_importance(configs, scores)


def test_only_many_trials_can_say_that_a_knob_did_not_matter() -> None:
    assert not any(one.negligible for one in knob_importance(*_search(30, 0.5, 1), log={"learning_rate"}))
    found = {one.knob: one for one in knob_importance(*_search(80, 0.5, 1), log={"learning_rate"}, permutations=199)}
    assert not found["learning_rate"].negligible
    assert sum(one.negligible for one in found.values()) >= 3


def test_a_very_long_search_is_thinned() -> None:
    configs, scores = _search(3_000, 0.5, 1)
    found = knob_importance(configs, scores, log={"learning_rate"}, permutations=19)
    assert found[0].knob == "learning_rate" and found[0].share > 0.5


def test_direction_and_order_do_not_matter() -> None:
    configs, scores = _search(16, 0.5, 5)
    one = {found.knob: found.share for found in knob_importance(configs, scores)}
    other = {found.knob: found.share for found in knob_importance(configs, [-score for score in scores])}
    assert one == pytest.approx(other)


def test_knobs_that_do_not_vary_or_are_absent_are_left_out_or_average() -> None:
    configs, scores = _search(16, 0.5, 6)
    for number, config in enumerate(configs):
        config["fixed"] = 1
        if number % 3:
            config["momentum"] = 0.1 * number
    names = {found.knob for found in knob_importance(configs, scores)}
    assert "fixed" not in names and "momentum" in names


def test_too_little_to_go_by_is_an_empty_answer() -> None:
    configs, scores = _search(16, 0.5, 7)
    assert knob_importance(configs[:5], scores[:5]) == []
    assert knob_importance(configs, [0.5] * 16) == []
    assert knob_importance([{"a": 1}] * 8, list(range(8))) == []
    with pytest.raises(ValueError, match="16 configs but 15 scores"):
        knob_importance(configs, scores[1:])
