"""Seeds that every trainer takes, distinct wherever they must be, and those of earlier sessions as they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bracket.domain import Round
from bracket.presets import DEMO_PRESET, find_preset
from bracket.search.sampling import Proposer
from bracket.search.strategies.halving import Competition
from bracket.session.asked.seeds import LARGEST, Seeds

SESSION_SEEDS = st.integers(0, 2**64 - 1)


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(SESSION_SEEDS, st.integers(1, 40), st.integers(1, 4))
def test_every_seed_is_one_that_all_trainers_take_and_none_comes_twice(seed: int, prompts: int, each: int) -> None:
    seeds, texts = Seeds(seed), [f"prompt {i}" for i in range(prompts)]
    training = {round_: seeds.training(round_, 200) for round_ in Round}
    pictures = [p.seed for p in (*seeds.choosing(texts), *seeds.verdict(texts, each))]
    every = [*(s for of_round in training.values() for s in of_round), *pictures]
    assert len(set(every)) == len(every)
    assert all(1 <= s <= LARGEST - 100_000 for s in every), "some trainers count on from theirs"
    assert seeds.training(Round.CONFIRMATION, 7) == training[Round.CONFIRMATION][:7], "more pairs keep the first ones"
    assert not seeds.problems(1_000, 100_000)


@pytest.mark.parametrize("edition", [1, 2])
def test_what_proves_is_drawn_with_seeds_that_chose_nothing(edition: int) -> None:
    seeds, texts = Seeds(7, edition), ["a", "b", "c"]
    assert not {p.seed for p in seeds.choosing(texts)} & {p.seed for p in seeds.verdict(texts, 3)}
    assert len({seed for round_ in Round for seed in seeds.training(round_, 9)}) == 27


def test_the_seeds_of_today_are_those_of_tomorrow() -> None:
    assert Seeds(0).training(Round.SEARCH, 2) == [407486172, 305012505]
    assert [p.seed for p in Seeds(3).verdict(["a", "b"], 2)] == [1476602087, 1374128420, 1540090209, 1437616542]


def test_sessions_begun_before_keep_theirs() -> None:
    old = Seeds(3, edition=1)
    assert old.training(Round.SEARCH, 1) == [3000]
    assert old.training(Round.FINALS, 2) == [3100, 3101]
    assert old.training(Round.CONFIRMATION, 2) == [3500, 3501]
    assert [p.seed for p in old.choosing(["a", "b"])] == [3000, 3001]
    assert [p.seed for p in old.verdict(["a", "b"], 2)] == [1_000_300_000 + i for i in range(4)]


@pytest.mark.parametrize(("seed", "fits"), [(0, True), (11_474, True), (11_475, False), (4_294_967, False)])
def test_seeds_of_before_that_are_too_large_are_told_beforehand(seed: int, fits: bool) -> None:
    assert (not Seeds(seed, edition=1).problems(5, 40)) == fits


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2**33, 2**64 - 1])
def test_searches_take_any_session_seed(seed: int) -> None:
    for kind in ("random", "tpe"):
        assert Proposer(kind, find_preset(DEMO_PRESET).knob_list(), seed=seed, configs=12).next(3, [], [])
    Competition("hyperband", rungs=2, reduction=3, seed=seed)._new_study()
    assert np.random.default_rng(seed).random() < 1
