"""The `clip` judge: any CLIP model's embeddings against the session's own training pictures.

Axes, each 0..1, higher is better (the ends of the first two scales are bent a little, see `axes.Scale`):

- **adherence**: similarity of picture and prompt. 1 is as similar as the training pictures are to their captions, 0 as
  similar as they are to each other's captions. The trigger word, which no CLIP has heard of, is replaced by the class
  word in prompts and captions alike (or dropped).
- **likeness**: similarity to the training pictures beyond what prompt and captions have in common (`axes.Line`), for
  prompts that hold the trigger word. 1 is as alike as the training pictures are to each other; 0 is as alike as
  pictures that have the training pictures' colours and textures but not their subject: the training pictures with
  their tiles shuffled. That floor needs no second dataset, and moves with the model and the pictures as the ceiling.
- **diversity**: how far the samples of one prompt lie apart, relative to neighbours in the training set, times
  adherence, for noise is varied too. Absent where a prompt has one sample, as in search and finals: how far pictures of
  different prompts lie apart says nothing that adherence doesn't.
- **originality**: falls from 1 to 0 as a sample turns into a copy of a training picture.

The score is the weighted mean of the first three (an absent axis leaves the others' weights in proportion), times
originality to the power of its weight. Agreement with people is modest for any CLIP (51 % of hard expert pairs, MMRB2,
arXiv 2512.16899): it ranks settings by means over many pictures and is no arbiter of one pair.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bracket.dataset.reading.prompts import has_word, without_trigger
from bracket.domain import DatasetSplit, Judgement, Preference, Sample
from bracket.errors import JudgeError
from bracket.judges.base import preference, resolve_weights, weighted_mean
from bracket.judges.cache import VectorCache
from bracket.judges.embeddings.axes import Levels, closeness, levels, originality, variety
from bracket.judges.embeddings.encoder import Encoder, Seen
from bracket.judges.embeddings.model import Vectors
from bracket.judges.images import told

NAME = "clip"
WEIGHTS: Mapping[str, float] = {"adherence": 0.45, "likeness": 0.45, "diversity": 0.10, "originality": 1.0}
_FORMULA = 2
"""Part of the fingerprint; goes up when the axes are computed in another way."""


@dataclass(frozen=True)
class Reference:
    """The training pictures as the judge sees them."""

    seen: Seen
    captions: Vectors
    levels: Levels


class ClipJudge:
    """A pointwise judge, see the module.

    Args:
        model: folder or hub id of a CLIP.
        dataset: its training pictures and captions are the reference.
        cache: file that keeps embeddings.
        weights: changes to `WEIGHTS`.
        batch_size: pictures a forward pass; changes speed and memory only.

    Raises:
        JudgeError: a weight names no axis, or no training picture has a caption.
        StorageError: the cache can't be opened.
    """

    name = NAME

    def __init__(
        self, model: str, dataset: DatasetSplit, cache: Path, weights: Mapping[str, float], batch_size: int = 16
    ) -> None:
        self._stills = [p for p in dataset.train if p.width]
        if dataset.train and not self._stills:
            raise JudgeError(
                "this judge compares with the training pictures, and the dataset holds only clips",
                path=dataset.folder,
                remedy="Add a folder of still pictures to it; single frames of the clips will do.",
            )
        if not any(p.caption.strip() for p in self._stills):
            raise JudgeError(
                "no training picture has a caption, so the judge can't tell what a good fit is",
                path=dataset.folder,
                remedy="Put a .txt file with a caption beside each picture.",
            )
        self._weights = resolve_weights(WEIGHTS, weights, "originality")
        self._dataset = dataset
        self._cache = VectorCache(cache)
        self._encoder = Encoder(model, self._cache, batch_size)
        self._reference: Reference | None = None
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        data = [_FORMULA, self._encoder.identity, sorted(self._weights.items())]
        return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        """See `Judge.score`. An empty list gives an empty one."""
        if not samples:
            return []
        with self._lock:
            axes = self._axes(samples)
        return [Judgement(s, NAME, self._total(a), a) for s, a in zip(samples, axes, strict=True)]

    def compare(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Preference]:
        """See `Judge.compare`. Diversity, which is no property of one picture, has no say here."""
        if not pairs:
            return []
        flat = [s for pair in pairs for s in pair]
        with self._lock:
            axes = self._axes(flat)
        totals = [self._total({k: v for k, v in a.items() if k != "diversity"}) for a in axes]
        scored = zip(pairs, totals[::2], totals[1::2], strict=True)
        return [preference(a, b, NAME, score_a, score_b) for (a, b), score_a, score_b in scored]

    exclusive = False

    def park(self) -> None:
        """Nothing to do: it is small, and works on the CPU."""

    def remarks(self) -> list[str]:
        """What had to be done to pictures before they could be judged."""
        return told(self._encoder.notes)

    def close(self) -> None:
        self._cache.close()

    def _total(self, axes: Mapping[str, float]) -> float:
        parts = {k: v for k, v in axes.items() if k != "originality"}
        penalty: float = axes["originality"] ** self._weights["originality"]
        return weighted_mean(parts, self._weights) * penalty

    def _axes(self, samples: Sequence[Sample]) -> list[dict[str, float]]:
        """The axes of each sample, in order."""
        reference = self._reference = self._reference or self._look_at_training()
        seen, scales = self._encoder.pictures([s.path for s in samples]), reference.levels
        texts = self._encoder.texts([self._neutral(s.prompt) for s in samples])
        pairs = (seen.embeddings.astype(np.float64) * texts).sum(1)
        adherence = scales.adherence.read(pairs)
        columns = {"adherence": adherence}
        alike = closeness(seen.embeddings, texts, reference.seen.embeddings, reference.captions, scales.line)
        columns["likeness"] = scales.likeness.read(alike)
        spread = variety(seen.embeddings, [s.prompt for s in samples], scales.near, [s.drawing for s in samples])
        if spread is not None:
            columns["diversity"] = spread * adherence
        columns["originality"] = originality(
            seen.embeddings, seen.thumbnails, reference.seen.embeddings, reference.seen.thumbnails, scales.near
        )
        rows = [
            {n: float(values[i]) for n, values in columns.items() if n != "diversity" or np.isfinite(values[i])}
            for i in range(len(samples))
        ]
        for row, sample in zip(rows, samples, strict=True):
            if not has_word(sample.prompt, self._dataset.trigger_word):
                del row["likeness"]
        return rows

    def _look_at_training(self) -> Reference:
        paths = [p.path for p in self._stills]
        captions = [self._neutral(p.caption) for p in self._stills]
        try:
            seen, broken = self._encoder.pictures(paths), self._encoder.shuffled(paths)
        except JudgeError as error:
            # A path on the error would say that a sample is at fault.
            raise JudgeError(f"a training picture can't be judged: {error}") from error
        texts = self._encoder.texts(captions)
        return Reference(seen, texts, levels(seen.embeddings, texts, captions, broken))

    def _neutral(self, text: str) -> str:
        return without_trigger(text, self._dataset.trigger_word, self._dataset.class_word)
