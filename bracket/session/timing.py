"""How long things take: measured on this machine from the trials so far, remembered for the next session."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bracket import locks
from bracket.environment import user_cache
from bracket.errors import StorageError
from bracket.files import read_json, write_json

_KEEP = 40


@dataclass(frozen=True)
class Speed:
    """Seconds a step takes and a whole trial takes beside its steps (start, pictures). `measured` trials made it."""

    step: float
    overhead: float
    measured: int = 0

    def trial(self, steps: int) -> float:
        """Seconds one trial of so many steps takes."""
        return self.overhead + steps * self.step


@dataclass(frozen=True)
class Measure:
    """One finished trial's cost: its steps, seconds from start to end, and seconds per step while training."""

    steps: int
    seconds: float
    step: float


def estimate(measures: Sequence[Measure], guess: Speed) -> Speed:
    """The speed that the measured trials show (medians), or the guess when there are none."""
    usable = [m for m in measures if m.steps > 0 and m.step > 0]
    if not usable:
        return guess
    overhead = statistics.median(max(0.0, m.seconds - m.steps * m.step) for m in usable)
    return Speed(statistics.median(m.step for m in usable), overhead, len(usable))


def remembered(preset: str, device: str) -> list[Measure]:
    """What earlier sessions of this preset measured on this kind of device; [] when nothing is known."""
    try:
        return [Measure(int(m["steps"]), m["seconds"], m["step"]) for m in _read().get(f"{preset}|{device}", [])]
    except (StorageError, TypeError, KeyError):
        return []


def remember(preset: str, device: str, measures: Sequence[Measure]) -> None:
    """Keep the newest measures for the next plan. What can't be written is only an estimate lost."""
    if not measures:
        return
    path, key = user_cache() / "timings.json", f"{preset}|{device}"
    try:
        with locks.alone(path):
            try:
                known: dict[str, list[Mapping[str, float]]] = _read()
            except StorageError:
                known = {}
            known[key] = [*known.get(key, []), *(asdict(m) for m in measures)][-_KEEP:]
            write_json(path, known)
    except (StorageError, OSError):
        return


def _read() -> dict[str, list[Mapping[str, float]]]:
    path = user_cache() / "timings.json"
    data = read_json(path) if path.exists() else {}
    return data if isinstance(data, dict) else {}
