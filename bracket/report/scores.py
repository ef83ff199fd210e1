"""A duel's judgements as the two matrices that `bracket.stats.checkpoint_claim` compares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bracket.domain import Judgement

Floats = NDArray[np.float64]
Scored = tuple[str, int, float]
"""Prompt, sample seed, score."""


def paired_scores(winner: Iterable[Judgement], baseline: Iterable[Judgement]) -> tuple[Floats, Floats]:
    """Scores of the two sides, each of shape (prompts, sample seeds), entry by entry the same prompt and seed.

    Prompts and seeds come in the order in which the winner's judgements have them. Flips drawn above 16 prompts depend
    on the prompts' order, so a session and its certificate must have them in the same one.

    Raises:
        ValueError: see `matrices`.
    """
    return matrices(*([(j.sample.prompt, j.sample.seed, j.score) for j in side] for side in (winner, baseline)))


def matrices(winner: Sequence[Scored], baseline: Sequence[Scored]) -> tuple[Floats, Floats]:
    """`paired_scores` of plain tuples.

    Raises:
        ValueError: a picture was judged twice or on one side only, or prompts have different numbers of seeds.
    """
    ours, theirs = _by_key(winner), _by_key(baseline)
    if odd := [key for key in (*ours, *theirs) if (key in ours) != (key in theirs)]:
        prompt, seed = odd[0]
        raise ValueError(f"prompt {prompt!r} with sample seed {seed} was judged on one side only")
    prompts = dict.fromkeys(prompt for prompt, _ in ours)
    seeds = {prompt: [s for p, s in ours if p == prompt] for prompt in prompts}
    if len({len(of_prompt) for of_prompt in seeds.values()}) != 1:
        raise ValueError("prompts have different numbers of judged sample seeds" if seeds else "nothing was judged")
    first, second = (np.array([[side[p, s] for s in seeds[p]] for p in prompts]) for side in (ours, theirs))
    return first, second


def _by_key(rows: Sequence[Scored]) -> dict[tuple[str, int], float]:
    found = {(prompt, seed): score for prompt, seed, score in rows}
    if len(found) != len(rows):
        raise ValueError("a picture of one prompt and sample seed was judged more than once")
    return found
