"""Whether a trial that ended well melted: its loss, pictures and weights against the base model's own.

What the base has not been asked (its loss before the first step, its pictures of the same prompts) says nothing, and so
does what can't be read: the signs that are there decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bracket.domain import Sample
from bracket.errors import JudgeError
from bracket.judges.images import open_image
from bracket.runner.reading.events import Curve
from bracket.session.job import BEFORE, Context
from bracket.session.stills import still
from bracket.stats.melting import SIDE, Signs, structure_lost
from bracket.trainers.base import drawn_in
from bracket.trainers.loudness import loudness

VALIDATION_TAG = "loss/validation"


def why_melted(
    context: Context, curves: Mapping[str, Curve], samples: Sequence[Sample], checkpoint: Path | None
) -> str:
    """Which signs show that the trial melted, in words; "" where it held, or where there is too little to say so.

    Args:
        curves: the trial's, by house name; one that goes on from another has that one's, too.
        samples: its last pictures.
    """
    signs = Signs(
        loss=validation_loss(curves),
        base_loss=_base_loss(curves),
        structure=_structure(context, samples),
        weights=loudness(checkpoint) if checkpoint else None,
    ).told()
    return f"it melted: {'; '.join(signs)}" if signs else ""


def validation_loss(curves: Mapping[str, Curve]) -> float | None:
    """The loss on held-out pictures at the end; None where there is none, or it is no number."""
    losses = curves.get(VALIDATION_TAG)
    return float(losses[1][-1]) if losses and len(losses[1]) and math.isfinite(losses[1][-1]) else None


def _base_loss(curves: Mapping[str, Curve]) -> float | None:
    """What the base itself had, measured before the first step; None where the trainer doesn't."""
    losses = curves.get(VALIDATION_TAG)
    measured = losses and len(losses[0]) and losses[0][0] == 0 and math.isfinite(losses[1][0])
    return float(losses[1][0]) if losses and measured else None


def _structure(context: Context, samples: Sequence[Sample]) -> float | None:
    """See `structure_lost`; of a clip its middle frame is looked at."""
    drawn = {(s.prompt, s.seed): s.path for s in drawn_in(context.trainer, context.folder / BEFORE)}
    pairs = [(s.path, drawn[s.prompt, s.seed]) for s in samples if (s.prompt, s.seed) in drawn]
    if not pairs:
        return None
    try:
        ours, base = (np.stack([_view(pair[side], context.folder) for pair in pairs]) for side in (0, 1))
    except JudgeError:
        return None  # the judge names the picture that can't be read
    return structure_lost(ours, base)


def _view(path: Path, session: Path) -> NDArray[np.float32]:
    small = open_image(still(path, session)).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)
