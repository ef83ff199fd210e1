"""The recorded trainings as arrays, and a simulator that replays trials from them in no time."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bracket.domain import Config, Outcome, Round, Trial, TrialResult, Wanted
from bracket.session.asked.settings import ScoreSettings
from bracket.session.score import at_length, combine_parts
from bracket.stats.melting import Signs
from tests.benchmarks.tabular.grid import BATCH_SIZES, CONCEPTS, LADDER, LEARNING_RATES, RANKS, SEEDS, Point

DATA = Path(__file__).with_name("embedded.npz")
PROMPTS = 12
Floats = NDArray[np.float32]
Cell = tuple[int, int, int]
"""Places of a config on the three axes of the grid: learning rate, rank, batch size."""
_CELLS = (len(LEARNING_RATES), len(RANKS), len(BATCH_SIZES))
_NORMAL = 100.0
"""Validation losses above it say no more than that it is melted; float16 ends not far above."""


@dataclass(frozen=True)
class Table:
    """One concept's trainings.

    Attributes:
        score, truth: of every picture, by the judge and by the checker, 0..1; (seeds, *cells, rungs, prompts). NaN from
            where a training diverged. The judge's are of its formula 1, to which a lone picture's diversity was its
            adherence once more.
        loss: validation loss (seeds, *cells, rungs).
        made: whether the training is there (seeds, *cells).
    """

    score: Floats
    truth: Floats
    loss: Floats
    made: Floats

    @property
    def final(self) -> Floats:
        """How good a config really is (*cells): the checker's mean at full length, over all seeds. A melted training
        counts as 0."""
        return np.asarray(np.nan_to_num(self.truth[..., -1, :], nan=0.0).mean(axis=(0, -1)), np.float32)

    @property
    def base_loss(self) -> float:
        """The base's own validation loss, as nearly as the table has it: of the lowest learning rate's first rung."""
        return float(self.loss[:, 0, ..., 0].mean())

    @property
    def seeds(self) -> int:
        return len(self.score)


def cell_of(config: Config) -> Cell:
    """The grid's point for a config: the nearest learning rate on a log scale; the other two are the grid's own."""
    rate = np.log(float(config["learning_rate"]))
    nearest = int(np.abs(np.log(LEARNING_RATES) - rate).argmin())
    return nearest, RANKS.index(int(config["rank"])), BATCH_SIZES.index(int(config["batch_size"]))


@cache
def load(concept: str, path: Path = DATA) -> Table:
    """The table of one concept, with the training seeds for which the whole grid is there."""
    whole = read(concept, path)
    kept = whole.made.reshape(len(whole.made), -1).all(axis=1)
    return Table(*(getattr(whole, name)[kept] for name in _NAMES))


def misleading(table: Table) -> Table:
    """A made-up world beside it: among the good half the lower the loss, the worse the pictures, at every length; and
    early pictures show already what late ones do, as else nobody could know."""
    loss, late = table.loss.copy(), table.score[..., -1, :].mean(axis=-1)
    for seed in range(table.seeds):
        order = np.argsort(-np.nan_to_num(late[seed], nan=-1.0).ravel(), kind="stable")
        good = np.unravel_index(order[: order.size // 2], late[seed].shape)
        for rung in range(len(LADDER)):
            values = np.sort(table.loss[(seed, *good, rung)])
            loss[(seed, *good, rung)] = values[::-1]
    held = np.isfinite(table.score)
    score = np.where(held, np.nan_to_num(table.score[..., -1:, :], nan=0.0), np.nan).astype(np.float32)
    return Table(score, table.truth, loss, table.made)


@cache
def read(concept: str, path: Path = DATA) -> Table:
    """All that the data file holds of one concept; nothing where there is no file."""
    if not path.exists():
        return _empty()
    with np.load(path) as data:
        return Table(*(data[f"{concept}_{name}"].astype(np.float32) for name in _NAMES))


_NAMES = ("score", "truth", "loss", "made")


def made(point: Point, path: Path = DATA) -> bool:
    """Whether the data file holds this training."""
    return bool(read(point.concept, path).made[(point.seed, *cell_of(point.config))])


def pack(rows: Sequence[Mapping[str, Any]], path: Path = DATA) -> str:
    """Add the rows that `make` left to the data file; says how much of the grid it covers."""
    tables = {concept: copy.deepcopy(read(concept, path)) for concept in CONCEPTS}
    for row in rows:
        _fill(tables[row["concept"]], row)
    arrays = {f"{c}_{n}": getattr(t, n).astype(np.float16) for c, t in tables.items() for n in _NAMES}
    np.savez_compressed(path, **arrays)
    made, every = (sum(int(f(t.made)) for t in tables.values()) for f in (np.sum, np.size))
    return f"{made} of {every} trainings, {path.stat().st_size:,} bytes"


def _empty() -> Table:
    whole = (len(SEEDS), *_CELLS, len(LADDER))
    return Table(
        np.full((*whole, PROMPTS), np.nan, np.float32),
        np.full((*whole, PROMPTS), np.nan, np.float32),
        np.full(whole, np.nan, np.float32),
        np.zeros(whole[:-1], np.float32),
    )


def _fill(table: Table, row: Mapping[str, Any]) -> None:
    place = (row["seed"], *cell_of(row))
    table.made[place] = 1.0
    for rung in row["rungs"]:
        if rung["steps"] not in LADDER:
            continue
        number = LADDER.index(rung["steps"])
        table.score[(*place, number)] = rung["score"]
        table.truth[(*place, number)] = rung["truth"]
        table.loss[(*place, number)] = min(rung["loss"], _NORMAL)


class Simulator:
    """An executor, trainer and judge in one: trials wanted become trials that ended, from the table.

    Args:
        seeds: the table's training seed behind each of a session's, by the session's own number.
        score: how judged samples and validation loss count, as in a real session.
    """

    def __init__(self, table: Table, seeds: Mapping[int, int], score: ScoreSettings) -> None:
        self.table, self._seeds, self._score = table, seeds, score
        self._base_loss = table.base_loss
        self.steps = 0
        """Training steps spent so far."""
        self.results: list[TrialResult] = []
        self._references: dict[tuple[Round, int, int], float | None] = {}

    def run(self, wanted: Sequence[Wanted]) -> list[TrialResult]:
        """Train, look and score. A trial that continues another pays only for its further steps."""
        for w in wanted:
            self.results.append(self._end(w))
        return self.results[-len(wanted) :] if wanted else []

    def _end(self, wanted: Wanted) -> TrialResult:
        name = f"{wanted.round.value}-{wanted.rung}-{len(self.results):05d}"
        folder = Path(name)
        before = next((r for r in self.results if r.trial.id == wanted.continues), None) if wanted.continues else None
        self.steps += wanted.steps - (before.trial.steps if before else 0)
        w = wanted
        trial = Trial(name, w.round, w.origin, w.config, w.seed, w.steps, folder, w.schedule, rung=w.rung)
        place = (self._seeds[wanted.seed], *cell_of(wanted.config), LADDER.index(wanted.steps))
        judged, loss = float(self.table.score[place].mean()), float(self.table.loss[place])
        # No training of the table ended in NaN; those that melted are told as a session tells them, by the loss.
        melted = not np.isfinite(judged) or bool(Signs(loss=loss, base_loss=self._base_loss).told())
        key = (w.round, w.rung, w.seed)
        if wanted.origin == "baseline":
            self._references[key] = None if melted else loss
        if melted:
            return TrialResult(trial, Outcome.DIVERGED)
        weights = at_length(self._score, w.steps, LADDER[-1])
        full = self._score.sample_weight
        score = combine_parts(weights, 1.0 - judged, loss, self._references.get(key), full)
        return TrialResult(trial, Outcome.OK, score=score, validation_loss=loss, checkpoint=folder)
