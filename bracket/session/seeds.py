"""Common random numbers: which seed is used where. Every config of a round sees the same ones.

Search, finals and confirmation draw from disjoint ranges, so what chose the winner never also proves it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bracket.domain import Prompt, Round

_SPAN = 1_000
_OFFSETS = {Round.SEARCH: 0, Round.FINALS: 100, Round.CONFIRMATION: 500}


def training_seeds(session_seed: int, round_: Round, n: int) -> list[int]:
    """The training seeds of a round."""
    start = session_seed * _SPAN + _OFFSETS[round_]
    return [start + i for i in range(n)]


def choosing_prompts(texts: Sequence[str], session_seed: int) -> tuple[Prompt, ...]:
    """One picture per prompt, each with a sample seed of its own, the same for every trial of search and finals."""
    return tuple(Prompt(text, session_seed * _SPAN + i) for i, text in enumerate(texts))


def verdict_prompts(texts: Sequence[str], session_seed: int, sample_seeds: int) -> tuple[Prompt, ...]:
    """`sample_seeds` pictures per verdict prompt, with sample seeds that no trial of search or finals drew."""
    start = 1_000_000_000 + session_seed * 100_000
    return tuple(
        Prompt(text, start + i * sample_seeds + j) for i, text in enumerate(texts) for j in range(sample_seeds)
    )
