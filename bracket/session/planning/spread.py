"""How much scores differ from training to training and from prompt to prompt: measured by the duels of this machine's
sessions, remembered for the next plan."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bracket import locks
from bracket.environment import user_cache
from bracket.errors import StorageError
from bracket.files import read_json, write_json

FEWEST = 4
"""Differences that a spread rests on at least, over all sessions."""
_KEEP = 20


@dataclass(frozen=True)
class Spread:
    """Standard deviation of paired differences in score, winner minus baseline, and how many differences made it.

    `pairs` are of fresh trainings, `prompts` of two checkpoints' pictures, sample seeds averaged; None when unknown.
    """

    pairs: float | None = None
    prompts: float | None = None


def remember(question: str, session: str, pairs: Sequence[float], prompts: Sequence[float]) -> None:
    """Keep a session's spreads. The same session replaces what it said before; what can't be written is lost, no more.

    Args:
        question: preset and judge (`key`): scores of another judge are of another scale.
        session: the session's fingerprint.
        pairs, prompts: differences in score.
    """
    found = {name: _measured(d) for name, d in (("pairs", pairs), ("prompts", prompts)) if len(d) > 1}
    if not found:
        return
    path = user_cache() / "spreads.json"
    try:
        with locks.alone(path):
            known = _read()
            mine = {k: v for k, v in known.get(question, {}).items() if k != session}
            known[question] = dict([*mine.items(), (session, found)][-_KEEP:])
            write_json(path, known)
    except (StorageError, OSError):
        return


def remembered(question: str) -> Spread:
    """What earlier sessions measured, pooled: the root of the mean variance, weighted by degrees of freedom."""
    try:
        sessions = list(_read().get(question, {}).values())
        return Spread(*(_pooled([s[name] for s in sessions if name in s]) for name in ("pairs", "prompts")))
    except (StorageError, TypeError, KeyError, AttributeError):
        return Spread()


def key(preset: str, judges: Sequence[str]) -> str:
    return "|".join((preset, *judges))


@dataclass(frozen=True)
class _Measured:
    n: int
    sd: float


def _measured(differences: Sequence[float]) -> dict[str, float]:
    return asdict(_Measured(len(differences), statistics.stdev(differences)))


def _pooled(found: Sequence[Mapping[str, float]]) -> float | None:
    freedom = sum(m["n"] - 1 for m in found)
    if freedom < FEWEST - 1:
        return None
    return math.sqrt(sum((m["n"] - 1) * m["sd"] ** 2 for m in found) / freedom)


def _read() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    path = user_cache() / "spreads.json"
    data = read_json(path) if path.exists() else {}
    return data if isinstance(data, dict) else {}
