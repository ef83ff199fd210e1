"""The arithmetic of the judges that compare embeddings: from unit vectors to axes. Pure functions on arrays, no disk.

A raw cosine means nothing by itself: 0.28 is a good fit for one CLIP and a bad one for another. So every axis is read
off a scale whose two ends come from the session's own training pictures (`Levels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Values = NDArray[np.float64]

COPY = (0.98, 0.993)
"""Pixel correlation of thumbnails at which a sample begins to count as a copy, and at which it is one."""
BEND = 0.1
"""Share of a scale at each end that is bent; the ends themselves read 0.04 and 0.96."""
NEIGHBOURS = 3
"""Training pictures that `nearest_cosine` looks at."""
MIN_RANGE = 0.02
"""Least cosine between the ends of a scale, so that a dataset of near-equal pictures doesn't blow up rounding."""


@dataclass(frozen=True)
class Scale:
    """Cosines that mean 0 and 1 on an axis.

    The scale is straight in between and bends within `BEND` of its ends, so that better is always higher: a picture far
    below the low end reads a little less than one just below, and neither reads more than a few hundredths.
    """

    low: float
    high: float

    def read(self, cosines: Values) -> Values:
        x = (cosines - self.low) / max(self.high - self.low, MIN_RANGE)
        below = BEND * np.exp(np.minimum(x - BEND, 0) / BEND)
        above = 1 - BEND * np.exp(np.minimum(1 - BEND - x, 0) / BEND)
        return np.where(x < BEND, below, np.where(x > 1 - BEND, above, x))


@dataclass(frozen=True)
class Line:
    """How similar two pictures of the concept are, by how similar their captions are: base + slope · cosine.

    Pictures whose captions agree (same colours, same place) are the more alike for it, which says nothing of the
    concept. The line takes that out, so a prompt that asks for something unlike the training pictures isn't punished.
    Outside the captions' own range it is level: nothing is known there.
    """

    base: float
    slope: float
    low: float
    high: float

    def expect(self, cosines: Values) -> Values:
        return self.base + self.slope * np.clip(cosines, self.low, self.high)


@dataclass(frozen=True)
class Levels:
    """What the training pictures say of themselves.

    Attributes:
        adherence: 1 is a real picture with its own caption, 0 a real picture with another one's.
        likeness: 1 is a training picture among the others, 0 one whose tiles were shuffled (of `closeness`).
        line: what `closeness` expects.
        near: mean cosine distance of a training picture to its nearest neighbour; 0 when there is only one.
    """

    adherence: Scale
    likeness: Scale
    line: Line
    near: float


def levels(images: Vectors, texts: Vectors, captions: Sequence[str], broken: Vectors) -> Levels:
    """Reference levels of a training set.

    Args:
        images: unit embeddings (N, D) of the training pictures.
        texts: unit embeddings (N, D) of their captions.
        captions: the N captions; "" for none. At least one has words.
        broken: unit embeddings (N, D) of the pictures with shuffled tiles.
    """
    pairs = ~np.eye(len(images), dtype=bool)
    apart = _distances(images, images)[pairs]
    line = fit_line(1.0 - apart, 1.0 - _distances(texts, texts)[pairs])
    alone = np.eye(len(images), dtype=bool) if apart.size else None
    return Levels(
        adherence=adherence_scale(images, texts, captions, broken),
        likeness=Scale(float(closeness(broken, texts, images, texts, line, alone).mean()), 0.0),
        line=line,
        near=float(nearest_distance(images).mean()) if apart.size else 0.0,
    )


def adherence_scale(images: Vectors, texts: Vectors, captions: Sequence[str], broken: Vectors) -> Scale:
    """From a picture with another one's caption to a picture with its own; arguments as those of `levels`."""
    said = np.array([bool(c) for c in captions])
    similarity = images.astype(np.float64) @ texts.astype(np.float64).T
    own = similarity.diagonal()[said].mean()
    other = np.array([[a != b and bool(b) for b in captions] for a in captions]) & said[:, None]
    # One caption for all pictures: the wrong pair is then that caption with a broken picture.
    wrong = similarity[other] if other.any() else (broken * texts)[said].sum(1)
    return Scale(float(wrong.mean()), float(own))


def fit_line(pictures: Values, captions: Values) -> Line:
    """Least squares of the cosines of pairs of pictures (P,) on those of their captions (P,).

    Captions that don't differ, or a slope below 0 (chance), give a level line; no pairs at all (one training picture)
    give the cosine of a picture with itself.
    """
    if not pictures.size:
        return Line(1.0, 0.0, 0.0, 0.0)
    centred = captions - captions.mean()
    variance = float((centred**2).mean())
    slope = max(0.0, float((centred * pictures).mean()) / variance) if variance > 1e-6 else 0.0
    base = float(pictures.mean() - slope * captions.mean())
    return Line(base, slope, float(captions.min()), float(captions.max()))


def closeness(
    pictures: Vectors,
    prompts: Vectors,
    training: Vectors,
    captions: Vectors,
    line: Line,
    leave_out: NDArray[np.bool_] | None = None,
) -> Values:
    """How much more alike each picture (N,) is to the training pictures than `line` expects of its prompt; mean cosine.

    Args:
        pictures, prompts: unit embeddings (N, D) of pictures and of their prompts.
        training, captions: unit embeddings (M, D) of the training pictures and of their captions.
        leave_out: (N, M), pairs that don't count; at least one a row must count.
    """
    excess = 1.0 - _distances(pictures, training) - line.expect(1.0 - _distances(prompts, captions))
    counts = np.ones_like(excess) if leave_out is None else 1.0 - leave_out
    mean: Values = (excess * counts).sum(1) / counts.sum(1)
    return mean


def nearest_distance(pictures: Vectors, counts: NDArray[np.bool_] | None = None) -> Values:
    """Cosine distance (N,) of each picture to the nearest one of those that count ((N, N), all others by default)."""
    pairs = ~np.eye(len(pictures), dtype=bool) if counts is None else counts
    least: Values = np.where(pairs, _distances(pictures, pictures), np.inf).min(1)
    return least


def variety(pictures: Vectors, prompts: Sequence[str], near: float, drawings: Sequence[object] = ()) -> Values | None:
    """How varied each picture (N,) is among those of its prompt (other seeds), 0..1: 1 is as far from them as training
    pictures are from their nearest neighbours, or farther. NaN for one that is alone with its prompt, None where all
    are: how far pictures of different prompts lie apart, adherence has said already.

    Args:
        near: see `Levels`; where it is 0 there is nothing to hold them against, and None is given.
        drawings: which drawing each is of, where the batch mixes several: only pictures of one are each other's like.
    """
    alike = np.array([[a == b for b in prompts] for a in prompts]) & ~np.eye(len(pictures), dtype=bool)
    if drawings:
        alike &= np.array([[a == b for b in drawings] for a in drawings])
    if not alike.any() or near <= 0:
        return None
    counted = alike.sum(1)
    mean = np.where(counted > 0, (_distances(pictures, pictures) * alike).sum(1) / np.maximum(counted, 1), np.nan)
    result: Values = np.clip(mean / max(near, MIN_RANGE), 0.0, 1.0)
    return result


def originality(
    pictures: Vectors, thumbnails: Vectors, training: Vectors, training_thumbnails: Vectors, near: float
) -> Values:
    """1 for a picture of its own, 0 for a copy of a training picture (N,).

    A copy must be both: as near to a training picture as they are to each other (by embedding), and equal to the same
    one in a thumbnail's pixels up to brightness and contrast. Either alone is no copying: the new concept in a
    trained colour is near, and any two pictures of one layout correlate.
    """
    close = _distances(pictures, training) <= max(near, MIN_RANGE)
    equal = thumbnails.astype(np.float64) @ training_thumbnails.astype(np.float64).T
    begin, end = COPY
    copied = np.clip((equal - begin) / (end - begin), 0.0, 1.0)
    result: Values = 1.0 - np.where(close, copied, 0.0).max(1)
    return result


def nearest_cosine(pictures: Vectors, training: Vectors, counts: NDArray[np.bool_] | None = None) -> Values:
    """Mean cosine (N,) of each picture to the `NEIGHBOURS` training pictures that it is most alike.

    Args:
        counts: (N, M), the pairs that count; at least one a row.
    """
    cosines = 1.0 - _distances(pictures, training)
    if counts is not None:
        cosines = np.where(counts, cosines, -np.inf)
    best = -np.sort(-cosines, axis=1)[:, :NEIGHBOURS]
    there = np.isfinite(best)
    mean: Values = np.where(there, best, 0.0).sum(1) / there.sum(1)
    return mean


def bleed(pictures: Vectors, before: Vectors, spread: float) -> Values:
    """How far each picture (N,) moved from what the bare base drew in its place (N, D): 0 not at all, 1 out of sight.

    Args:
        spread: the distance that reads 1: of two pictures that have nothing to do with each other.
    """
    moved = 1.0 - (pictures.astype(np.float64) * before).sum(1)
    result: Values = np.clip(moved / max(spread, MIN_RANGE), 0.0, 1.0)
    return result


def mean_distance(pictures: Vectors, counts: NDArray[np.bool_] | None = None) -> float:
    """Mean cosine distance of two of the pictures; 0 when no pair counts ((N, N), all by default)."""
    pairs = ~np.eye(len(pictures), dtype=bool) if counts is None else counts
    return float(_distances(pictures, pictures)[pairs].mean()) if pairs.any() else 0.0


def _distances(a: Vectors, b: Vectors) -> Values:
    """Cosine distances (N, M) of unit vectors."""
    return 1.0 - a.astype(np.float64) @ b.astype(np.float64).T
