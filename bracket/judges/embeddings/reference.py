"""The `reference` judge: metrics from any local vision model, against the training pictures and the bare base's own.

The model is a CLIP, or one of pictures alone (DINOv2, ViT…); only a CLIP reads prompts. Axes, each 0..1, higher is
better:

- **adherence** (CLIP-T): similarity of picture and prompt, on the scale of the `clip` judge. Absent without a CLIP, and
  where no training picture has a caption.
- **likeness** (CLIP-I, DINO): mean similarity to the three nearest training pictures. 1 is as alike as a training
  picture is to the others, 0 as alike as training pictures with their tiles shuffled. Absent for prompts without the
  trigger word, where there is one.
- **diversity**: how far the samples of one prompt lie apart, relative to neighbours in the training set; times
  adherence (else likeness, where they are there), for noise is varied too. Absent where a prompt has one sample.
- **originality**: falls from 1 to 0 as a sample turns into a copy of a training picture.
- **containment**: 1 minus trigger bleed (`axes.bleed`). Without the trigger word a picture ought to stay the base's: 1
  is the base's own picture of that prompt and seed, 0 is as far from it as the base's pictures are from each other.
  Absent for prompts that hold the trigger word, without a trigger word, and where the base has no such picture.
- **steadiness** and **motion**, of clips alone: 1 minus `frames.flicker`, and `frames.motion`.

A clip counts by `FRAMES` of its frames: by the mean over them, and by one embedding of them all for diversity and
containment.

The score is the weighted mean of all but originality (an absent axis leaves the others' weights in proportion), times
originality to the power of its weight. By default only axes count whose both ends the session's own pictures give;
steadiness and motion have no such ends (a good clip may move little or much), so they stand in the report alone.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bracket.dataset.reading.prompts import has_word, without_trigger
from bracket.domain import DatasetSplit, Judgement, Preference, Problem, Sample
from bracket.errors import JudgeError
from bracket.judges.base import JudgeSettings, preference, resolve_weights, weighted_mean
from bracket.judges.cache import VectorCache
from bracket.judges.embeddings.axes import (
    Scale,
    Values,
    adherence_scale,
    bleed,
    mean_distance,
    nearest_cosine,
    nearest_distance,
    originality,
    variety,
)
from bracket.judges.embeddings.encoder import Embedder, Encoder
from bracket.judges.embeddings.model import ClipModel, Vectors, check_model, kind_of
from bracket.judges.embeddings.vision import VisionModel, check_vision
from bracket.judges.frames import flicker, frames_of, is_clip, motion, strip
from bracket.judges.images import content_key, told

NAME = "reference"
WEIGHTS: Mapping[str, float] = {
    "adherence": 0.45, "likeness": 0.45, "diversity": 0.10, "containment": 0.10, "steadiness": 0.0, "motion": 0.0,
    "originality": 1.0,
}  # fmt: skip
FRAMES = 8
"""Frames of a clip that are looked at."""
UNDECIDED = 0.5
"""Score of a sample none of whose axes counts, such as a lone one whose prompt doesn't name the concept."""
_FORMULA = 2
"""Part of the fingerprint; goes up when the axes are computed in another way."""
_MOVING = "moving-1"
"""Where flicker and motion stand in the cache; its number goes up with their formulas."""


@dataclass(frozen=True)
class Shown:
    """Pictures and clips as vectors.

    Attributes:
        embeddings, thumbnails: of every picture and frame, (P, D) and (P, 3072).
        owner: which item each of these P is of, (P,).
        whole: one unit embedding an item, (N, D).
    """

    embeddings: Vectors
    thumbnails: Vectors
    owner: NDArray[np.intp]
    whole: Vectors

    def mean(self, values: Values) -> Values:
        """Mean (N,) over each item's frames of values (P,)."""
        return np.bincount(self.owner, values) / np.bincount(self.owner)


@dataclass(frozen=True)
class Training:
    """The training pictures as the judge sees them, and the ends of its scales; `adherence` is None without texts."""

    shown: Shown
    adherence: Scale | None
    likeness: Scale
    spread: float
    near: float


def check_reference(settings: JudgeSettings) -> list[Problem]:
    """What keeps a reference judge of these settings from working, without loading anything heavy."""
    problems = check_model(settings.model, check_vision, "a CLIP or an image model")
    try:
        resolve_weights(WEIGHTS, settings.weights, "originality")
    except JudgeError as error:
        problems.append(Problem("error", error.message, error.remedy))
    return problems


class ReferenceJudge:
    """A pointwise judge, see the module.

    Args:
        settings: `model` (folder or hub id), `weights` (changes to `WEIGHTS`) and `batch_size` count.
        dataset: its training pictures and clips are the reference.
        cache: file that keeps embeddings; frames of clips are kept beside it.
        before: the bare base's pictures. Looked up at every call, so a list may be filled later; what it holds is, like
            the dataset, no part of the fingerprint.

    Raises:
        JudgeError: a weight names no axis, or there is no training picture.
        StorageError: the cache can't be opened.
    """

    name = NAME
    exclusive = False

    def __init__(
        self, settings: JudgeSettings, dataset: DatasetSplit, cache: Path, before: Sequence[Sample] = ()
    ) -> None:
        if not dataset.train:
            raise JudgeError(
                "this judge compares with training pictures, and there are none",
                path=dataset.folder,
                remedy="Add pictures to the dataset, or choose another judge.",
            )
        self._weights = resolve_weights(WEIGHTS, settings.weights, "originality")
        self._dataset, self._before = dataset, before
        self._frames = cache.with_name("frames")
        self._cache = VectorCache(cache)
        self._encoder = Encoder(settings.model, self._cache, settings.batch_size, _load, check_vision)
        self._lost: set[Path] = set()
        self._undecided: set[Path] = set()
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        data = [NAME, _FORMULA, FRAMES, self._encoder.identity, sorted(self._weights.items())]
        return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        """See `Judge.score`. An empty list gives an empty one."""
        if not samples:
            return []
        with self._lock:
            axes = self._axes(samples)
            self._undecided |= {s.path for s, a in zip(samples, axes, strict=True) if not self._counts(a)}
        return [
            Judgement(s, NAME, self._total(a), a, how="" if self._counts(a) else "no axis applies")
            for s, a in zip(samples, axes, strict=True)
        ]

    def compare(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Preference]:
        """See `Judge.compare`. Diversity, which is no property of one picture, has no say here."""
        if not pairs:
            return []
        with self._lock:
            axes = self._axes([s for pair in pairs for s in pair])
        totals = [self._total({k: v for k, v in a.items() if k != "diversity"}) for a in axes]
        scored = zip(pairs, totals[::2], totals[1::2], strict=True)
        return [preference(a, b, NAME, score_a, score_b) for (a, b), score_a, score_b in scored]

    def park(self) -> None:
        """Nothing to do: it is small, and works on the CPU."""

    def remarks(self) -> list[str]:
        """What had to be done to pictures, and what couldn't be measured."""
        said = told(self._encoder.notes)
        if self._lost:
            said.append(f"{len(self._lost)} of the base's pictures can't be read: containment is not told of them.")
        if self._undecided:
            said.append(f"{len(self._undecided)} samples had no axis that counts: they stand at {UNDECIDED}.")
        if self._reads and not any(self._captions):
            said.append("No training picture has a caption: adherence is not told.")
        return said

    def close(self) -> None:
        self._cache.close()

    @cached_property
    def _reads(self) -> bool:
        return kind_of(self._encoder.folder) == "clip"

    @cached_property
    def _captions(self) -> list[str]:
        return [self._neutral(p.caption) for p in self._dataset.train]

    def _counts(self, axes: Mapping[str, float]) -> bool:
        return any(self._weights[k] > 0 for k in axes if k != "originality")

    def _total(self, axes: Mapping[str, float]) -> float:
        parts = {k: v for k, v in axes.items() if k != "originality"}
        penalty: float = axes["originality"] ** self._weights["originality"]
        return (weighted_mean(parts, self._weights) if self._counts(axes) else UNDECIDED) * penalty

    def _axes(self, samples: Sequence[Sample]) -> list[dict[str, float]]:
        """The axes of each sample, in order."""
        training, paths = self._training, [s.path for s in samples]
        shown = self._show(paths)
        rows: list[dict[str, float]] = [{} for _ in samples]
        if training.adherence:
            texts = self._encoder.texts([self._neutral(s.prompt) for s in samples])
            cosines = (shown.embeddings.astype(np.float64) * texts[shown.owner]).sum(1)
            _fill(rows, "adherence", shown.mean(training.adherence.read(cosines)))
        alike = nearest_cosine(shown.embeddings, training.shown.embeddings)
        _fill(rows, "likeness", shown.mean(training.likeness.read(alike)), [self._named(s.prompt) for s in samples])
        spread = variety(shown.whole, [s.prompt for s in samples], training.near, [s.drawing for s in samples])
        if spread is not None:
            fit = [row.get("adherence", row.get("likeness", 1.0)) for row in rows]
            _fill(rows, "diversity", spread * fit, np.isfinite(spread).tolist())
        own = originality(
            shown.embeddings, shown.thumbnails, training.shown.embeddings, training.shown.thumbnails, training.near
        )
        _fill(rows, "originality", shown.mean(own))
        for row, path in zip(rows, paths, strict=True):
            if is_clip(path):
                row["steadiness"], row["motion"] = self._moving(path)
        self._contain(samples, shown, rows)
        return rows

    def _contain(self, samples: Sequence[Sample], shown: Shown, rows: list[dict[str, float]]) -> None:
        """Add containment where the base has a picture of the same prompt and seed, and the prompt no trigger word."""
        if not self._dataset.trigger_word or not self._before:
            return
        wanted = {(s.prompt, s.seed) for s in samples if not self._named(s.prompt)}
        if not wanted & {(b.prompt, b.seed) for b in self._before}:
            return
        base = {(b.prompt, b.seed): vector for b, vector in self._look_before().items()}
        every = np.stack(list(base.values())) if base else np.empty((0, 1), np.float32)
        spread = mean_distance(every) if len(every) > 1 else self._training.spread
        for sample, vector, row in zip(samples, shown.whole, rows, strict=True):
            key = (sample.prompt, sample.seed)
            if key in wanted and key in base:
                row["containment"] = 1.0 - float(bleed(vector[None], base[key][None], spread)[0])

    def _look_before(self) -> dict[Sample, NDArray[np.float32]]:
        """The base's pictures that can be read, with their embeddings."""
        found: dict[Sample, NDArray[np.float32]] = {}
        for sample in self._before:
            try:
                found[sample] = self._show([sample.path]).whole[0]
            except JudgeError as error:
                if error.path is None:
                    raise
                self._lost.add(sample.path)
        return found

    def _show(self, paths: Sequence[Path]) -> Shown:
        views = self._views(paths)
        owner = np.repeat(np.arange(len(views)), [len(v) for v in views])
        seen = self._encoder.pictures([p for view in views for p in view])
        sums = np.zeros((len(views), seen.embeddings.shape[1]), np.float32)
        np.add.at(sums, owner, seen.embeddings)
        return Shown(seen.embeddings, seen.thumbnails, owner, sums / np.linalg.norm(sums, axis=1, keepdims=True))

    def _views(self, paths: Sequence[Path]) -> list[list[Path]]:
        """What is looked at of each file: a picture itself, a clip's frames."""
        return [frames_of(p, FRAMES, self._frames) if is_clip(p) else [p] for p in paths]

    @cached_property
    def _training(self) -> Training:
        try:
            paths = [p.path for p in self._dataset.train]
            views = [p for view in self._views(paths) for p in view]
            shown, broken = self._show(paths), self._encoder.shuffled(views)
        except JudgeError as error:
            # A path on the error would say that a sample is at fault.
            raise JudgeError(f"a training picture can't be judged: {error}") from error
        adherence = None
        if self._reads and any(self._captions):
            captions = [self._captions[i] for i in shown.owner]
            adherence = adherence_scale(shown.embeddings, self._encoder.texts(captions), captions, broken)
        return _measured(shown, broken, adherence)

    def _moving(self, path: Path) -> tuple[float, float]:
        """Steadiness and motion of a clip, from the cache or its frames."""
        key = content_key(path)
        known = self._cache.get(_MOVING, [key])
        if key not in known:
            frames = strip(path)
            known = {key: np.array([1.0 - flicker(frames), motion(frames)], np.float32)}
            self._cache.put(_MOVING, known)
        steadiness, moved = known[key]
        return float(steadiness), float(moved)

    def _named(self, prompt: str) -> bool:
        """Whether the prompt asks for the concept; without a trigger word every prompt does."""
        return not self._dataset.trigger_word or has_word(prompt, self._dataset.trigger_word)

    def _neutral(self, text: str) -> str:
        return without_trigger(text, self._dataset.trigger_word, self._dataset.class_word)


def _measured(shown: Shown, broken: Vectors, adherence: Scale | None) -> Training:
    """What the training pictures say of each other; frames of one clip are alike anyway and don't count as a pair."""
    seen = shown.embeddings
    apart = shown.owner[:, None] != shown.owner[None, :]
    if not apart.any():
        floor = float(nearest_cosine(broken, seen).mean())
        return Training(shown, adherence, Scale(floor, 1.0), spread=0.0, near=0.0)
    likeness = Scale(*(float(nearest_cosine(v, seen, apart).mean()) for v in (broken, seen)))
    near = float(nearest_distance(seen, apart).mean())
    return Training(shown, adherence, likeness, mean_distance(seen, apart), near)


def _load(folder: Path) -> Embedder:
    return ClipModel(folder) if kind_of(folder) == "clip" else VisionModel(folder)


def _fill(
    rows: list[dict[str, float]], name: str, values: Sequence[float] | Values, where: Sequence[bool] = ()
) -> None:
    for i, row in enumerate(rows):
        if not where or where[i]:
            row[name] = float(values[i])
