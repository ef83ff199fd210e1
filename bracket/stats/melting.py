"""Whether a training that ended well destroyed its model: by its loss, its pictures and its weights.

Each sign is a ratio that is about 1 or less in a training that held, and every limit is relative to the base model's
own loss and pictures or to an ordinary layer, so that none belongs to a model or a dataset. A sign that can't be had
says nothing. One *sure* sign is enough, or two in *doubt*.

The limits were chosen on hand-labelled trainings of one demo concept (tests/stats/melted.csv; its `half` column says
which) among those that are reasonable for any model, and are checked on the other one.
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
_BLANK = 0.01
"""Share of the base's variance below which pictures are blank: line art on white paper has ten times as much."""
_FOLLOWS = 0.8
"""How surely a picture is told to be of its own prompt: 0.5 is chance. In trainings that held, 0.89 and more."""


@dataclass(frozen=True)
class Limits:
    """From where a sign is in doubt, and from where it is sure."""

    doubt: float
    sure: float


LOSS = Limits(1.25, 2.0)
"""Loss on held-out pictures over the base's own. A training that learned anything is below 1, one that learned its
pictures by heart some hundredths or tenths above; who errs twice as much as the untrained model lost what that knew."""
STRUCTURE = Limits(1 / 0.9, 1 / 0.6)
"""The base's share of coarse structure over the pictures' own, counted only where these follow their prompts no longer.
Of a photograph's variance three quarters are coarse, of an ink drawing's a half, of noise a tenth or less."""
WEIGHTS = Limits(0.5, 1.0)
"""How loud the adapter answers in the median layer; a layer that keeps its input's variance has 1. Adapters people use
have 0.01 to 0.3: from 1 on the adapter speaks over the layer it was to adjust."""


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
            (
                self.weights,
                WEIGHTS,
                f"its weights answer {self.weights or 0:.2g} times as loud as a layer",
            ),
        ]
        spoke = [(value >= limits.sure, words) for value, limits, words in found if value and value >= limits.doubt]
        return tuple(words for _, words in spoke) if len(spoke) > 1 or any(sure for sure, _ in spoke) else ()

    def _loss_ratio(self) -> float | None:
        return self.loss / self.base_loss if self.loss is not None and self.base_loss else None

    def _loss_words(self) -> str:
        return f"its loss on held-out pictures is {self.loss or 0:.3g}, the base's own {self.base_loss or 0:.3g}"


def structure_lost(ours: Pictures, base: Pictures) -> float | None:
    """How many times less coarse structure the pictures have than the base's own of the same prompts and seeds.

    0 where they still follow their prompts: a style may turn photographs into ink or change every colour, but a forest
    is then still more like the base's forest than like its beach. Infinite where they are blank. None of fewer than
    four pictures, or where the base's are blank or can't be told apart themselves.
    """
    variance, share = _structure(base)
    if len(base) < _FEWEST or not share or _followed(base, base) <= _FOLLOWS:
        return None
    own_variance, own_share = _structure(ours)
    if own_variance < _BLANK * variance:
        return np.inf
    return 0.0 if _followed(ours, base) > _FOLLOWS else share / max(own_share, 1e-9)


def _structure(pictures: Pictures) -> tuple[float, float]:
    """The variance of all pixels of a set, and which share of it the coarse views have: what is more than texture."""
    variance = _variance(pictures)
    return variance, _variance(_coarse(pictures)) / variance if variance > 1e-6 else 0.0


def _followed(ours: Pictures, base: Pictures) -> float:
    """How often a picture's coarse view is more like the base's of the same prompt than like its one of another, ties
    counted half. What all pictures of a set share, such as a style's colours, is taken off, and contrast is none."""
    alike = _directions(ours) @ _directions(base).T
    own = np.diagonal(alike)[:, None]
    others = ~np.eye(len(alike), dtype=bool)
    return float(((own > alike) + 0.5 * (own == alike))[others].mean())


def _directions(pictures: Pictures) -> NDArray[np.float64]:
    views = _coarse(pictures).reshape(len(pictures), -1)
    views = views - views.mean(axis=0)
    lengths = np.linalg.norm(views, axis=1, keepdims=True)
    return np.asarray(np.divide(views, lengths, out=np.zeros_like(views), where=lengths > 1e-6))


def _coarse(pictures: Pictures) -> NDArray[np.float64]:
    """(pictures, 8, 8, 3): means of blocks."""
    wide = SIDE // _BLOCKS
    blocks = pictures.reshape(len(pictures), _BLOCKS, wide, _BLOCKS, wide, 3)
    return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float64))


def _variance(pictures: NDArray[np.floating]) -> float:
    """Summed over the three channels."""
    return float(pictures.reshape(-1, 3).var(axis=0, dtype=np.float64).sum())
