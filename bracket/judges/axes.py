"""The arithmetic of the `clip` judge: from unit embeddings to axes. Pure functions on arrays, no model, no disk.

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

NEIGHBOURS = 5
"""Likeness looks at this many of the most similar training pictures: one alone may be odd, all would punish variety."""
COPY = (0.97, 0.995)
"""Pixel correlation of thumbnails at which a sample begins to count as a copy, and at which it is one."""
MIN_RANGE = 0.02
"""Least cosine between the ends of a scale, so that a dataset of near-equal pictures doesn't blow up rounding."""


@dataclass(frozen=True)
class Scale:
    """Cosines that mean 0 and 1 on an axis; what lies outside is cut off."""

    low: float
    high: float

    def read(self, cosines: Values) -> Values:
        return np.clip((cosines - self.low) / max(self.high - self.low, MIN_RANGE), 0.0, 1.0)


@dataclass(frozen=True)
class Levels:
    """What the training pictures say of themselves.

    Attributes:
        adherence: 1 is a real picture with its own caption, 0 a real picture with another one's.
        likeness: 1 is a training picture among the others, 0 one whose tiles were shuffled.
        spread: mean cosine distance between two training pictures.
        near: mean cosine distance of a training picture to its nearest neighbour; 0 when there is only one.
    """

    adherence: Scale
    likeness: Scale
    spread: float
    near: float


def levels(images: Vectors, texts: Vectors, captions: Sequence[str], broken: Vectors) -> Levels:
    """Reference levels of a training set.

    Args:
        images: unit embeddings (N, D) of the training pictures.
        texts: unit embeddings (N, D) of their captions.
        captions: the N captions; "" for none. At least one has words.
        broken: unit embeddings (N, D) of the pictures with shuffled tiles.
    """
    said = np.array([bool(c) for c in captions])
    similarity = images.astype(np.float64) @ texts.astype(np.float64).T
    own = similarity.diagonal()[said].mean()
    other = np.array([[a != b and bool(b) for b in captions] for a in captions]) & said[:, None]
    # One caption for all pictures: the wrong pair is then that caption with a broken picture.
    wrong = similarity[other] if other.any() else (broken * texts)[said].sum(1)
    distance = _distances(images, images)
    apart = distance[~np.eye(len(images), dtype=bool)]
    return Levels(
        adherence=Scale(float(wrong.mean()), float(own)),
        likeness=_likeness_scale(images, broken),
        spread=float(apart.mean()) if apart.size else 0.0,
        near=float(nearest_distance(images).mean()) if apart.size else 0.0,
    )


def _likeness_scale(images: Vectors, broken: Vectors) -> Scale:
    """Both ends leave a picture's own self out, so that both are compared with equally many others."""
    if len(images) == 1:
        return Scale(float((broken @ images.T)[0, 0]), 1.0)
    alone = np.eye(len(images), dtype=bool)
    return Scale(
        float(closeness(broken, images, leave_out=alone).mean()),
        float(closeness(images, images, leave_out=alone).mean()),
    )


def closeness(pictures: Vectors, training: Vectors, leave_out: NDArray[np.bool_] | None = None) -> Values:
    """Mean cosine (N,) of each picture to its `NEIGHBOURS` most similar training pictures.

    `leave_out` (N, M) masks training pictures that don't count; at least one a row must count.
    """
    cosines = pictures.astype(np.float64) @ training.astype(np.float64).T
    if leave_out is not None:
        cosines = np.where(leave_out, -np.inf, cosines)
    count = min(NEIGHBOURS, int((~np.isneginf(cosines)).sum(1).min()))
    mean: Values = np.sort(cosines, 1)[:, -count:].mean(1)
    return mean


def nearest_distance(pictures: Vectors) -> Values:
    """Cosine distance (N,) of each picture to the nearest other one; N is 2 or more."""
    distance = _distances(pictures, pictures)
    np.fill_diagonal(distance, np.inf)
    least: Values = distance.min(1)
    return least


def variety(pictures: Vectors, prompts: Sequence[str], reference: Levels) -> Values | None:
    """How varied each picture (N,) is among its like, 0..1, capped at what the training set shows; None for a lone one.

    Pictures of one prompt (other seeds) are held against the training set's nearest neighbours, since they ought to be
    alike in what the prompt says; where a prompt has one picture, it is held against the batch, and that against the
    training set's whole spread.
    """
    if len(pictures) < 2:
        return None
    distance = _distances(pictures, pictures)
    same: NDArray[np.bool_] = np.array([[a == b for b in prompts] for a in prompts])
    np.fill_diagonal(same, False)
    everyone = ~np.eye(len(pictures), dtype=bool)
    siblings = np.asarray(same.any(axis=1))
    others = np.where(siblings[:, None], same, everyone)
    mean = (distance * others).sum(1) / others.sum(1)
    expected = np.where(siblings, reference.near, reference.spread)
    result: Values = np.clip(mean / np.maximum(expected, MIN_RANGE), 0.0, 1.0)
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


def _distances(a: Vectors, b: Vectors) -> Values:
    """Cosine distances (N, M) of unit vectors."""
    return 1.0 - a.astype(np.float64) @ b.astype(np.float64).T
