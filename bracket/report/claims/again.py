"""Tries of one question: sessions on the same pictures with the same preset and baseline. What earlier ones leave of
alpha to the next, and all of that in words. `stats.duel.tries` has the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from bracket.report.claims.scores import Rules
from bracket.report.words import counted, number
from bracket.stats.duel.record import Record
from bracket.stats.duel.sequential import EDITION
from bracket.stats.duel.tries import can_claim, next_alpha

_NAMED = 5
"""Earlier sessions that a sentence names."""


@dataclass(frozen=True, kw_only=True)
class Earlier(Record):
    """A session that asked the same before.

    Attributes:
        session: its name; planned: when its duel was planned; outcome: the beginning of its verdict.
        files, settings: how many of its duels could have ended in a claim about a file, and about the settings.
    """

    session: str
    planned: str
    outcome: str
    files: int
    settings: int


@dataclass(frozen=True)
class Standing:
    """Where a session stands among the tries of its question.

    Attributes:
        whole: what all of them may err together; alpha: what the duels of this one are held to.
        earlier: other sessions' tries before it, the newest last; family: equal for tries of the same question.
        rejudged: the session whose trainings and pictures these are, judged again; "" for none.
    """

    whole: float
    alpha: float
    earlier: tuple[Earlier, ...] = ()
    family: str = ""
    rejudged: str = ""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """As a plan has it, or what was kept of one.

        Raises:
            KeyError, ValueError, TypeError: it is not what either looks like.
        """
        whole, earlier = whole_alpha(data), earlier_of(data)
        alpha = float(data["alpha"]) if "alpha" in data else first_alpha(whole, earlier)
        return cls(whole, alpha, earlier, str(data.get("family") or ""), str(data.get("rejudged") or ""))

    @property
    def rule(self) -> str:
        """What it has of alpha, for the plan."""
        return (
            "All tries on the same pictures with the same preset and baseline, sessions and added pairs, share an "
            f"alpha of {number(self.whole, 2)}; this one has {number(self.alpha, 2)} of it."
        )

    @property
    def words(self) -> tuple[str, ...]:
        """For a person, a sentence or two each; () where it is the first try."""
        return tuple(text for text in (self._judged_again(), self._tried_before()) if text)

    def _judged_again(self) -> str:
        if not self.rejudged:
            return ""
        return (
            f"This is {self.rejudged} judged again: the same trainings and pictures, seen by another judge. It is no "
            f"new evidence and no try of its own, and is held to no more than {self.rejudged}."
        )

    def _tried_before(self) -> str:
        if not self.earlier:
            return ""
        named = "; ".join(f"{e.session} ({e.planned[:10]}): {e.outcome.rstrip('.')}" for e in self.earlier[-_NAMED:])
        more = f"; and {len(self.earlier) - _NAMED} before these" if len(self.earlier) > _NAMED else ""
        return (
            f"{counted(len(self.earlier), 'earlier session')} asked the same, with the same pictures, preset and "
            f"baseline: {named}{more}. Who tries often enough finds something by chance, so all tries share an alpha "
            f"of {number(self.whole, 2)}, and {number(self.alpha, 2)} is left for this one."
        )


def could_claim(plan: Mapping[str, Any]) -> bool:
    """Whether enough pairs were planned for a claim about the settings."""
    rules = Rules.of(plan)
    return can_claim(rules.pairs, **rules.terms)


def could_claim_file(plan: Mapping[str, Any]) -> bool:
    """Whether enough prompts were planned for a claim about a file."""
    rules = Rules.of(plan)
    return can_claim(rules.prompts, two_sided=True, **rules.terms)


def earlier_of(plan: Mapping[str, Any]) -> tuple[Earlier, ...]:
    """Other sessions' tries that a plan names.

    Raises:
        ValueError, TypeError: it is not what a plan looks like.
    """
    return tuple(Earlier.from_dict(row) for row in plan.get("earlier") or ())


def whole_alpha(plan: Mapping[str, Any]) -> float:
    """What all tries of a plan's question may err together; by the earlier editions the first had all of it."""
    return float(plan.get("whole_alpha") or plan["alpha"])


def first_alpha(whole: float, earlier: Sequence[Earlier]) -> float:
    """What a session's own duels are held to after `earlier` ones: both kinds of claim to the same, by the kind that
    was tried more often."""
    return next_alpha(whole, max(sum(one.files for one in earlier), sum(one.settings for one in earlier)))


def alpha_after(
    plans: Sequence[Mapping[str, Any]], earlier: Sequence[Earlier] | None = None, edition: int = EDITION
) -> float:
    """What one more duel of a session's settings is held to.

    Args:
        plans: the session's so far as they were written down, the confirmation's first.
        earlier: other sessions' tries until then; by default those that the newest plan names.
        edition: of the new duel's rules.
    """
    elsewhere = earlier_of(plans[-1]) if earlier is None else earlier
    able = sum(map(could_claim, plans)) + sum(one.settings for one in elsewhere)
    return next_alpha(whole_alpha(plans[0]), able, edition)
