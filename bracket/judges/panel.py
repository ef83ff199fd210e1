"""Several judges as one: each keeps its own columns, the score is their mean by share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from bracket.domain import Judgement, Preference, Sample
from bracket.errors import JudgeError
from bracket.judges.base import Judge, weighted_mean

NAME = "panel"


@dataclass(frozen=True)
class Member:
    """One judge of a panel: what it is called there, and what it counts."""

    label: str
    judge: Judge
    share: float


class Panel:
    """Judges together. An axis is called `member.axis`, a member's whole score `member`.

    Args:
        members: at least one with a share above 0.

    Raises:
        JudgeError: nobody counts.
    """

    name = NAME

    def __init__(self, members: Sequence[tuple[Judge, float]]) -> None:
        if not any(share > 0 for _, share in members):
            raise JudgeError("no judge counts: all shares are 0", remedy="Give one of them a share above 0.")
        names = [judge.name for judge, _ in members]
        self.members = [
            Member(j.name if names.count(j.name) == 1 else f"{j.name}-{n}", j, share)
            for n, (j, share) in enumerate(members, 1)
        ]
        self._shares = {m.label: m.share for m in self.members}

    @property
    def fingerprint(self) -> str:
        data = [[m.label, m.judge.fingerprint, m.share] for m in self.members]
        return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]

    @property
    def exclusive(self) -> bool:
        return any(m.judge.exclusive for m in self.members)

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        """See `Judge.score`. A judge that is away keeps all of them waiting: half a panel is another judge."""
        columns = [(m.label, m.judge.score(samples)) for m in self.members]
        return [self._together(s, {label: found[i] for label, found in columns}) for i, s in enumerate(samples)]

    def compare(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Preference]:
        """The members' mean preference by share; flipped where a member with a share was."""
        columns = [(m, m.judge.compare(pairs)) for m in self.members if m.share > 0]
        return [
            Preference(
                a,
                b,
                NAME,
                weighted_mean({m.label: found[i].value for m, found in columns}, self._shares),
                any(found[i].flipped for _, found in columns),
            )
            for i, (a, b) in enumerate(pairs)
        ]

    def park(self) -> None:
        for member in self.members:
            member.judge.park()

    def remarks(self) -> list[str]:
        return [f"{m.label}: {remark}" for m in self.members for remark in m.judge.remarks()]

    def close(self) -> None:
        for member in self.members:
            member.judge.close()

    def _together(self, sample: Sample, said: dict[str, Judgement]) -> Judgement:
        scores = {label: j.score for label, j in said.items()}
        axes = {f"{label}.{axis}": value for label, j in said.items() for axis, value in j.axes.items()}
        spread = weighted_mean({label: j.spread**2 for label, j in said.items()}, self._shares) ** 0.5
        return Judgement(sample, NAME, weighted_mean(scores, self._shares), {**scores, **axes}, spread)
