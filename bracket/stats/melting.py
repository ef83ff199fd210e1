"""Whether a training that ended well destroyed its model: by its loss, its pictures and its weights.

Each sign is a ratio, and every limit is relative to the base model's own loss and pictures or to an ordinary layer, so
that none belongs to a model or a dataset. A sign that can't be had says nothing. One *sure* sign is enough, or two in
*doubt*. What is left in doubt alone is judged like any other training: a judge makes a bad one lose, while one that is
called melted for nothing is lost to the search.

Limits are round numbers between what held and what melted among trainings of one demo concept that were labelled by eye
(the star in tests/stats/melted.csv), the more careful side where several would do; the other concept checks them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.float32]
"""(pictures, SIDE, SIDE, 3) in 0..1."""

SIDE, _BLOCKS = 64, 8
"""Pixels a side that pictures are looked at in, and blocks a side of their coarse view."""
_FEWEST = 4
"""Pictures below which it says little whether they follow their prompts."""
_BLANK = 0.002
"""Share of the base's variance below which pictures are blank: the thinnest line art has several times as much."""


@dataclass(frozen=True)
class Limits:
    """From where a sign says melted in doubt, and from where surely."""

    doubt: float
    sure: float


LOSS = Limits(1.25, 2.0)
"""Loss on held-out pictures over the base's own, as the same training measured it before its first step. What learned
anything is below 1, and what learned its pictures by heart not far above. Of the labelled, unharmed ones reach 1.04,
damaged ones that held 1.95, and the first that melted has 2.3."""
STRUCTURE = Limits(1.1, 1.7)
"""The base's share of coarse structure over the pictures' own, counted only where these don't follow their prompts. Of
photographs' variance 0.70 is coarse, of noise 0.03 to 0.09; of the demo's own 0.93, of its confetti 0.25. What held
reaches 1.03. By itself it would take a line drawing (0.19) for noise."""
FOLLOWED = Limits(0.8, 0.7)
"""How often a picture is more like the base's of its own prompt than like the base's of another; 0.5 is chance. What
held has 0.88 and more; photographs in grey, as negatives, posterised, dithered or with grain all keep 1, and reduced to
their thinnest contours 0.76."""
WEIGHTS = Limits(1.5, 3.0)
"""How loud the adapter answers in the median layer, where a layer that keeps its inputs' size has 1. What learned well
reaches 0.96, though a LoRA is meant to be a small part of its layer."""


@dataclass(frozen=True)
class Signs:
    """What is known of a training's end; None for what is not.

    Attributes:
        loss, base_loss: on held-out pictures, of the training and of the base itself.
        structure: see `structure_lost`.
        weights: see `WEIGHTS`.
    """

    loss: float | None = None
    base_loss: float | None = None
    structure: float | None = None
    weights: float | None = None

    def told(self) -> tuple[str, ...]:
        """In words, every sign that spoke; empty for a training that held, and where too few did."""
        found = [
            (self._loss_ratio(), LOSS, self._loss_words()),
            (self.structure, STRUCTURE, "its pictures follow their prompts no longer and have lost their structure"),
            (self.weights, WEIGHTS, f"its weights answer {self.weights or 0:.2g} times as loud as a layer"),
        ]
        spoke = [(value >= limits.sure, words) for value, limits, words in found if value and value >= limits.doubt]
        return tuple(words for _, words in spoke) if len(spoke) > 1 or any(sure for sure, _ in spoke) else ()

    def _loss_ratio(self) -> float | None:
        return self.loss / self.base_loss if self.loss is not None and self.base_loss else None

    def _loss_words(self) -> str:
        return f"its loss on held-out pictures is {self.loss or 0:.3g}, the base's own {self.base_loss or 0:.3g}"


def structure_lost(ours: Pictures, base: Pictures) -> float | None:
    """How many times less coarse structure the pictures have than the base's own of the same prompts and seeds.

    0 where they still follow their prompts, and no more than a doubt where that is unsure: a style may turn photographs
    into ink or change every colour, but a forest is then still more like the base's forest than like its beach, or has
    its lines where that has its leaves. Infinite where they are blank. None of fewer than four pictures, or where the
    base's are blank or can't be told apart. Blots larger than an eighth of a side pass for structure.
    """
    variance, share = _structure(base)
    if len(base) < _FEWEST or not share or _followed(base, base) <= FOLLOWED.doubt:
        return None
    followed = _followed(ours, base)
    own_variance, own_share = _structure(ours)
    lost = share / own_share if own_share and own_variance > _BLANK * variance else np.inf
    if followed > FOLLOWED.sure:
        return min(lost, STRUCTURE.doubt) if followed <= FOLLOWED.doubt else 0.0
    return lost


def _structure(pictures: Pictures) -> tuple[float, float]:
    """The variance of all pixels of a set, and which share of it the coarse views have: what is more than texture."""
    variance = _variance(pictures)
    return variance, _variance(_blocks(pictures).mean(axis=2)) / variance if variance > 1e-6 else 0.0


def _followed(ours: Pictures, base: Pictures) -> float:
    """How often a picture is more like the base's of the same prompt than like its one of another: by where its colours
    are or by where its details are, whichever tells more. Ties count half."""
    both = zip(_views(ours), _views(base), strict=True)
    return max(_told_apart(_directions(own), _directions(theirs)) for own, theirs in both)


def _told_apart(ours: NDArray[np.float64], base: NDArray[np.float64]) -> float:
    alike = ours @ base.T
    own = np.diagonal(alike)[:, None]
    others = ~np.eye(len(alike), dtype=bool)
    return float(((own > alike) + 0.5 * (own == alike))[others].mean())


def _directions(views: NDArray[np.float64]) -> NDArray[np.float64]:
    """Views of length 1, without what all of a set share, such as a style's colours."""
    views = views - views.mean(axis=0)
    lengths = np.linalg.norm(views, axis=1, keepdims=True)
    return np.asarray(np.divide(views, lengths, out=np.zeros_like(views), where=lengths > 1e-6))


def _views(pictures: Pictures) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and spread of every block of every picture, flat."""
    blocks = _blocks(pictures)
    return tuple(found.reshape(len(pictures), -1) for found in (blocks.mean(axis=2), blocks.std(axis=2).mean(axis=2)))


def _blocks(pictures: Pictures) -> NDArray[np.float64]:
    """(pictures, 64 blocks, 64 pixels, 3)."""
    wide = SIDE // _BLOCKS
    blocks = pictures.astype(np.float64).reshape(len(pictures), _BLOCKS, wide, _BLOCKS, wide, 3)
    return blocks.swapaxes(2, 3).reshape(len(pictures), _BLOCKS**2, wide**2, 3)


def _variance(values: NDArray[np.floating]) -> float:
    """Summed over the three channels."""
    return float(values.reshape(-1, 3).var(axis=0, dtype=np.float64).sum())
