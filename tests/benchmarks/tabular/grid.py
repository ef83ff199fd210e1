"""What the table holds: the demo preset's own space as a grid, at a ladder of steps, with several training seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONCEPTS = ("star", "crescent")
"""The first is for tuning strategies, the second for reporting on them."""
LEARNING_RATES = tuple(float(f"{x:.3g}") for x in np.logspace(-5, -1, 19))
RANKS = (2, 4, 8, 16)
BATCH_SIZES = (2, 4)
LADDER = (12, 24, 48, 96)
"""Steps at which a training was looked at; the last is its full length."""
SEEDS = (0, 1, 2)
SAMPLER_STEPS = 8
SHUFFLED = 7
"""Seed of the order in which configs are trained: a table cut short is a random part of the whole."""


@dataclass(frozen=True)
class Point:
    """One training: a concept, a training seed, a config of the grid."""

    concept: str
    seed: int
    learning_rate: float
    rank: int
    batch_size: int

    @property
    def config(self) -> dict[str, float | int | str | bool]:
        return {"learning_rate": self.learning_rate, "rank": self.rank, "batch_size": self.batch_size}

    @property
    def name(self) -> str:
        return f"{self.concept}-{self.seed}-{self.learning_rate:g}-{self.rank}-{self.batch_size}"


def points() -> list[Point]:
    """Every training of the table, in the order they are made: seed after seed, the concept for reporting first."""
    found = []
    for seed in SEEDS:
        for concept in reversed(CONCEPTS):
            cells = [(lr, r, b) for lr in LEARNING_RATES for r in RANKS for b in BATCH_SIZES]
            order = np.random.default_rng([SHUFFLED, seed]).permutation(len(cells))
            found += [Point(concept, seed, *cells[i]) for i in order]
    return found
