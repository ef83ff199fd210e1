"""What a person adds to a trainer's settings (`fixed`, `sample`, extra arguments), held against what bracket does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from bracket.domain import Problem
from bracket.strict import nearest
from bracket.trainers.base import Job


def taken(job: Job, ours: Collection[str], extra: Iterable[str]) -> list[Problem]:
    """Additions that would take away what bracket relies on, or undo what the search varies.

    Args:
        ours: settings that bracket makes itself, because it looks for what they name or counts on them.
        extra: the settings that the extra arguments make.
    """
    own, searched = set(given(job)), dict(by_knobs(job))
    found = []
    for key in dict.fromkeys([*own, *extra]):
        where = "fixed" if key in own else "the extra arguments"
        if key in ours:
            found.append(Problem("error", f"{key} can't be added: bracket decides that", f"Take it out of {where}."))
        elif key in searched:
            mend = f"Take it out of {where}, and give the knob bounds instead."
            if key in own:
                what = f"{key} under fixed changes nothing: the search decides that, by the knob {searched[key]}"
                found.append(Problem("warning", what, mend))
            else:
                what = f"{key} can't be added: the search decides that, by the knob {searched[key]}"
                found.append(Problem("error", what, mend))
    return found


def given(job: Job) -> Iterator[str]:
    """The fixed settings that are not the preset's."""
    told = [job.preset.fixed, *(p.settings for p in job.preset.vram)]
    for key, value in job.fixed.items():
        if all(key not in said or said[key] != value for said in told):
            yield key


def by_knobs(job: Job) -> Iterator[tuple[str, str]]:
    """Every setting that some config makes, with its knob."""
    for knob in job.knobs:
        for target in knob.targets:
            yield target, knob.name
        for meant in knob.means.values():
            yield from ((key, knob.name) for key in meant)


def unknown_samples(job: Job, known: Iterable[str], title: str) -> list[Problem]:
    """Sample settings that a trainer has no word for and would leave out without saying so."""
    words = {*known, *job.preset.sample}
    return [
        Problem("error", f"a trial's pictures have no setting {key} in {title}{nearest(key, words)}", "Take it out.")
        for key in job.sample
        if key not in words
    ]


def unknown_settings(job: Job, is_known: Callable[[str], bool], known: Iterable[str], title: str) -> list[Problem]:
    """Fixed settings that a trainer doesn't know."""
    words = [*known]
    return [
        Problem("error", f"{title} has no setting {key}{nearest(key, words)}", "Take it out, or correct its name.")
        for key in given(job)
        if not is_known(key)
    ]


def numbers(sample: Mapping[str, object], sides: int = 8) -> list[Problem]:
    """How pictures are drawn, in numbers that no trainer can take. Sides are multiples of `sides`."""
    found = []
    for key, (low, high, whole) in _SAMPLE.items():
        value = sample.get(key, high)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not isinstance(value, int | float) or not number or (whole and value != int(value)):
            what = f"sample.{key}: a {'whole ' if whole else ''}number is needed, not {value!r}"
        elif not low <= value <= high:
            what = f"sample.{key}: {value} is not from {low:g} to {high:g}"
        elif key in ("width", "height") and value % sides:
            what = f"sample.{key}: {value} is no multiple of {sides}, which the model needs"
        else:
            continue
        found.append(Problem("error", what, "Mend it in the settings under `sample`."))
    return found


_SAMPLE: Mapping[str, tuple[float, float, bool]] = {
    "width": (16, 8_192, True),
    "height": (16, 8_192, True),
    "steps": (1, 1_000, True),
    "guidance": (0, 1_000, False),
    "frames": (1, 10_000, True),
    "fps": (1, 1_000, False),
    "flow_shift": (0, 1_000, False),
    "batch_size": (1, 1_024, True),
}
"""Lowest, highest, and whether it is a whole number."""
