"""What a judge is, how its axes make one score, and how judgements are kept as lines of JSON."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bracket.domain import TIE_BAND, Judgement, Preference, Sample
from bracket.errors import JudgeError


class JudgeSettings(Protocol):
    """What a judge needs of a session's settings (`bracket.session.asked.settings.JudgeSettings` has it)."""

    @property
    def kind(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def weights(self) -> Mapping[str, float]: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def rubric(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def key_variable(self) -> str: ...
    @property
    def repeats(self) -> int: ...
    @property
    def references(self) -> int: ...
    @property
    def quantize(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def timeout(self) -> float: ...
    @property
    def concurrency(self) -> int: ...


class Judge(Protocol):
    """Looks at samples and says how good they are: 0 is worst, 1 is best.

    Calls may come from several threads, one after the other or at once.
    """

    @property
    def name(self) -> str:
        """Short name, stored with every judgement."""
        ...

    @property
    def fingerprint(self) -> str:
        """Same fingerprint, same samples, same dataset: same judgements. Covers model, weights and formulas."""
        ...

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        """One judgement a sample, in the order given. Give all samples of a trial at once: they show its variety. Those
        of several may be mixed: `Sample.drawing` says which are of one.

        Raises:
            JudgeError: a sample can't be read (`path` names it), or the judge can't work (`path` is None).
            JudgeUnavailable: it can't be asked now; the caller keeps the samples and asks again later.
        """
        ...

    def compare(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Preference]:
        """One preference a pair, in the order given; swapping a pair gives 1 minus the value.

        Raises:
            JudgeError: as `score`.
        """
        ...

    @property
    def exclusive(self) -> bool:
        """Whether it needs the GPU for itself while it looks, so that nothing may train there meanwhile."""
        ...

    def park(self) -> None:
        """Free the GPU for a training; the next call takes it back, without a download."""
        ...

    def remarks(self) -> list[str]:
        """What a reader of its scores must know, in sentences with counts (refusals, flips, batches voided)."""
        ...

    def close(self) -> None:
        """Let go of the model and the cache; the judge isn't used after that."""
        ...


def resolve_weights(defaults: Mapping[str, float], changes: Mapping[str, float], penalty: str = "") -> dict[str, float]:
    """The defaults with the changes applied. `penalty` is an axis that only takes from what the others give.

    Raises:
        JudgeError: a change names no axis, or is negative or not finite, or nothing would count.
    """
    for axis, weight in changes.items():
        if axis not in defaults:
            raise JudgeError(f"the judge has no axis called {axis!r}", remedy=nearest(axis, list(defaults), "weights"))
        if not math.isfinite(weight) or weight < 0:
            raise JudgeError(f"the weight of {axis} is {weight}", remedy="Give a number of 0 or more.")
    weights = {**defaults, **changes}
    if sum(weight for axis, weight in weights.items() if axis != penalty) <= 0:
        raise JudgeError("all weights of the judge are 0", remedy="Give at least one axis a weight above 0.")
    return weights


def weighted_mean(axes: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Mean of the axes present, by their weights; 0 when none of those present counts."""
    total = sum(weights[a] for a in axes if a in weights)
    return sum(weights[a] * axes[a] for a in axes if a in weights) / total if total > 0 else 0.0


def preference(a: Sample, b: Sample, judge: str, score_a: float, score_b: float) -> Preference:
    """A pointwise judge's choice: the higher score, or a tie within `TIE_BAND`. Symmetric, so one order says both."""
    gap = score_a - score_b
    value = 0.5 if abs(gap) < TIE_BAND else float(gap > 0)
    return Preference(a, b, judge, value)


def nearest(word: str, known: Sequence[str], what: str) -> str:
    """A remedy that names the nearest known word, or all of them."""
    near = difflib.get_close_matches(word, known, 1)
    return f"Did you mean {near[0]!r}?" if near else f"Known {what}: {', '.join(known)}."


def judgement_to_json(judgement: Judgement, folder: Path) -> dict[str, Any]:
    """A judgement as plain data; the sample's path is relative to `folder` when it lies under it."""
    path = judgement.sample.path
    inside = path.relative_to(folder) if path.is_relative_to(folder) else path
    return {
        "path": inside.as_posix(),
        "prompt": judgement.sample.prompt,
        "seed": judgement.sample.seed,
        "step": judgement.sample.step,
        "judge": judgement.judge,
        "score": judgement.score,
        "axes": dict(judgement.axes),
        **({"spread": judgement.spread} if judgement.spread else {}),
        **({"how": judgement.how} if judgement.how else {}),
    }


def judgement_from_json(data: Any, folder: Path) -> Judgement:
    """The reverse of `judgement_to_json`.

    Raises:
        JudgeError: the data is not what that function writes.
    """
    try:
        sample = Sample(folder / str(data["path"]), str(data["prompt"]), int(data["seed"]), int(data["step"]))
        axes = {str(k): float(v) for k, v in data["axes"].items()}
        spread, how = float(data.get("spread", 0.0)), str(data.get("how", ""))
        return Judgement(sample, str(data["judge"]), float(data["score"]), axes, spread, how)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JudgeError(
            f"a line of judgements can't be understood: {error}",
            path=folder,
            remedy="Delete the file of judgements: the pictures will be judged again.",
        ) from error
