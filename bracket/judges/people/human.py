"""A person's votes as a judge like the others, and beside another judge's choices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bracket.domain import Judgement, Preference, Sample
from bracket.errors import JudgeError, JudgeUnavailable
from bracket.judges.base import preference
from bracket.judges.people.votes import NAME, VoteBook


class HumanJudge:
    """A person's votes as a judge. It knows only what was voted on; the rest waits for more votes."""

    name = NAME
    exclusive = False

    def __init__(self, book: VoteBook) -> None:
        self._book = book

    @property
    def fingerprint(self) -> str:
        """Changes with every vote."""
        return f"{NAME}-{self._book.fingerprint()}"

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        """The share of its votes that each sample's arm won, ties half: one number an arm.

        Raises:
            JudgeError: a sample is of no arm.
            JudgeUnavailable: nobody has voted on a pair of its arm yet.
        """
        arm_of = {sample.path: arm for arm, theirs in self._book.arms.items() for sample in theirs}
        won: dict[str, list[float]] = {}
        for choice in self._book.preferences():
            won.setdefault(arm_of[choice.a.path], []).append(choice.value)
            won.setdefault(arm_of[choice.b.path], []).append(1 - choice.value)
        found = []
        for sample in samples:
            if sample.path not in arm_of:
                raise JudgeError("this picture is not one of those voted on", path=sample.path)
            votes = won.get(arm_of[sample.path])
            if not votes:
                raise JudgeUnavailable("nobody has voted on these pictures yet", remedy="Vote on some pairs first.")
            how = f"share of {len(votes)} votes"
            found.append(Judgement(sample, NAME, sum(votes) / len(votes), {}, how=how))
        return found

    def compare(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Preference]:
        """What was voted; a sample against itself is a tie.

        Raises:
            JudgeUnavailable: nobody has voted on one of the pairs yet.
        """
        known = {_key(choice): choice for choice in self._book.preferences()}
        found = []
        for a, b in pairs:
            choice = known.get(frozenset((a.path, b.path)))
            if a.path != b.path and choice is None:
                raise JudgeUnavailable(
                    f"nobody has voted on {a.path.name} against {b.path.name} yet", remedy="Vote on that pair first."
                )
            found.append(Preference(a, b, NAME, _turned(choice, a) if choice else 0.5))
        return found

    def park(self) -> None:
        """Eyes need no GPU."""

    def remarks(self) -> list[str]:
        progress = self._book.progress()
        said = [
            f"A person voted on {progress.voted} of {progress.total} pairs and saw no difference in {progress.ties}."
        ]
        if progress.missing:
            said.append(f"{progress.missing} pairs could not be voted on: a picture of theirs is gone.")
        return said

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class Aligned:
    """Judged and voted pairs as `bracket.stats.people.agreement` and `corrected_rate` take them.

    Attributes:
        judged: the judge's choices, one a pair.
        votes: the person's on some of these, turned the same way round.
        voted: which ones, as indices into `judged`.
    """

    judged: tuple[float, ...]
    votes: tuple[float, ...]
    voted: tuple[int, ...]

    @property
    def judged_where_voted(self) -> tuple[float, ...]:
        return tuple(self.judged[i] for i in self.voted)


def aligned(model: Iterable[Preference], votes: Iterable[Preference]) -> Aligned:
    """A judge's preferences with the person's on the same pairs, turned as the judge's are: 1 prefers its `a`.

    For a win rate let `a` always be the winner's sample. Of several preferences on one pair the first counts; votes on
    pairs the judge didn't look at are left out.
    """
    judged: dict[frozenset[Path], Preference] = {}
    for choice in model:
        judged.setdefault(_key(choice), choice)
    person = {_key(vote): vote for vote in votes}
    both = [(i, key) for i, key in enumerate(judged) if key in person]
    return Aligned(
        judged=tuple(choice.value for choice in judged.values()),
        votes=tuple(_turned(person[key], judged[key].a) for _, key in both),
        voted=tuple(i for i, _ in both),
    )


def preferences_from_scores(
    judgements: Iterable[Judgement], pairs: Iterable[tuple[Sample, Sample]]
) -> list[Preference]:
    """What a judge that gives scores prefers: the higher one, or neither within `base.TIE_BAND`.

    Pairs of which it didn't score both are left out.
    """
    by_path = {judgement.sample.path: judgement for judgement in judgements}
    return [
        preference(a, b, by_path[a.path].judge, by_path[a.path].score, by_path[b.path].score)
        for a, b in pairs
        if a.path in by_path and b.path in by_path
    ]


def _key(choice: Preference) -> frozenset[Path]:
    return frozenset((choice.a.path, choice.b.path))


def _turned(choice: Preference, a: Sample) -> float:
    """The choice's value for `a` as the first of its pair."""
    return choice.value if choice.a.path == a.path else 1 - choice.value
