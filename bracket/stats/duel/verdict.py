"""What may be said at the end of a session, and of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

import numpy as np

from bracket.stats.duel.claims import INVERSION, CheckpointClaim, ConfigClaim, PairedClaim
from bracket.stats.duel.keep import Kept
from bracket.stats.duel.record import Record
from bracket.stats.duel.sequential import SLACK

Kind = Literal[
    "config", "checkpoint", "baseline_wins", "no_difference", "not_tested", "baseline_leads", "judge_refused"
]
About = Literal["config", "checkpoint"]
_Claim = TypeVar("_Claim", CheckpointClaim, ConfigClaim)


@dataclass(frozen=True, kw_only=True)
class Comparison(Record):
    """A further duel of the winner that was named beforehand, with the runner-up say.

    Attributes:
        name: of the one it was compared with.
        about: which kind of claim it is.
        claim: winner minus the other.
        p: adjusted as `Verdict.checkpoint_p` and `Verdict.config_p` are; None where the exact test never ran.
        holds: whether the claim holds that the winner is better.
    """

    name: str
    about: About
    claim: CheckpointClaim | ConfigClaim
    p: float | None
    holds: bool

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`.

        Raises:
            ValueError: a field is missing or unknown, here or in the claim.
        """
        kind = _KINDS.get(data.get("about", ""))
        if kind is None or not isinstance(data.get("claim"), Mapping):
            raise ValueError(f"a comparison needs a claim about one of {', '.join(_KINDS)}")
        return super().from_dict({**data, "claim": kind.from_dict(data["claim"])})


_KINDS: dict[str, type[CheckpointClaim] | type[ConfigClaim]] = {"checkpoint": CheckpointClaim, "config": ConfigClaim}


@dataclass(frozen=True)
class Verdict(Record):
    """The outcome of a duel between a session's winner and its baseline.

    Attributes:
        kind: "config": these settings beat the baseline's. "checkpoint": this file draws better pictures than the
            baseline's file. "baseline_wins": the baseline beats the winner. "no_difference": a duel that could have
            found one found none. "not_tested": no duel, or one too small to find anything. "baseline_leads": nothing
            beat the baseline in the search, so there was nothing to confirm. "judge_refused": a claim may hold, but a
            person's votes show no more than chance in the judge it rests on.
        about: the claim that decided ("config" or "checkpoint"); None when neither did.
        winner, baseline: ids, of trials or configs as the caller has them.
        checkpoint, config: the claims, whole.
        checkpoint_p: of the exact two-sided test, adjusted over the named comparisons of checkpoints; None where
            the duel ended before its last planned unit, so that the test never ran.
        config_p: one-sided (winner above baseline), adjusted over the named comparisons of configs; None as above.
        alpha: error rate each kind of claim is held to, watching included; p is held to `final_alpha`.
        single_seed: the winner was chosen on one training seed and no fresh pairs of runs were added.
        notes: sentences a reader must not miss.
        gate: why the judge may not crown a winner; "" when it may.
        others: further duels of the winner that were named beforehand.
        kept: what the files still draw of what the base could; None where the plan names no prompts for that.
    """

    kind: Kind
    about: About | None
    winner: str
    baseline: str
    checkpoint: CheckpointClaim | None
    config: ConfigClaim | None
    checkpoint_p: float | None
    config_p: float | None
    alpha: float
    single_seed: bool
    notes: tuple[str, ...]
    gate: str = ""
    others: tuple[Comparison, ...] = ()
    kept: Kept | None = None

    @property
    def recommended(self) -> bool:
        """Whether the winner keeps as much of what the base could as was asked, if anything was."""
        return self.kept is None or self.kept.enough

    @property
    def final_alpha(self) -> float:
        """What an exact test's p is held to; of so few units as can't decide early where there is no claim."""
        claim = self.config or self.checkpoint
        return claim.final_alpha if claim else self.alpha

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`.

        Raises:
            ValueError: a field is missing or unknown, here or in a claim.
        """
        claims = {name: kind.from_dict(data[name]) for name, kind in _KINDS.items() if data.get(name)}
        others = [Comparison.from_dict(other) for other in data.get("others", ())]
        kept = Kept.from_dict(data["kept"]) if data.get("kept") else None
        return super().from_dict({**data, **claims, "others": others, "kept": kept})

    def as_dict(self) -> dict[str, Any]:
        """As `Record` does; a verdict that has nothing to say of what is kept is as it was before any had."""
        found = super().as_dict()
        return found if self.kept else {name: value for name, value in found.items() if name != "kept"}


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): rejecting where the result ≤ alpha keeps the familywise error at alpha.

    The i-th smallest of m is multiplied by m - i + 1, then made no smaller than the ones before it, and capped at 1.

    Args:
        p_values: of the comparisons named beforehand, in any order; the result keeps it.

    Raises:
        ValueError: a value outside 0..1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"p-values must lie in 0..1, got {list(p_values)}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    return [float(value) for value in adjusted]


def decide(
    winner: str,
    baseline: str,
    *,
    checkpoint: CheckpointClaim | None = None,
    config: ConfigClaim | None = None,
    training_seeds: int = 1,
    other_checkpoints: Mapping[str, CheckpointClaim] | Sequence[CheckpointClaim] = (),
    other_configs: Mapping[str, ConfigClaim] | Sequence[ConfigClaim] = (),
    alpha: float = 0.05,
    config_alpha: float | None = None,
    gate: str = "",
    kept: Kept | None = None,
) -> Verdict:
    """Weighs the duel's claims. Every claim must come from prompts and seeds that took no part in choosing the winner.

    A claim holds when the e-process decided it while it was watched, or when the duel ran to its planned end and the
    exact test's p is at most `final_alpha`, what watching left of alpha. A duel that ended otherwise, hopeless or by
    hand, claims nothing for either side. A checkpoint claim is tested two-sided, in the direction of the mean
    difference. A config claim for the winner is tested one-sided, as it was named beforehand; one for the baseline was
    not, so it must hold two-sided. Each kind of claim has its own alpha, since they answer different questions; within
    a kind Bonferroni's adjustment covers all comparisons named beforehand. Evidence about settings outranks evidence
    about one file.

    Args:
        winner, baseline: their ids; equal when nothing beat the baseline in the search.
        checkpoint, config: what the duel found, None where it was not run.
        training_seeds: seeds the winner was chosen on.
        other_checkpoints, other_configs: further comparisons named before the duel, e.g. winner against runner-up, by
            name. Claims of a kind must have been made with as many `comparisons` as are given here, or more: one that
            was named and never run counts as one that failed.
        alpha: of both kinds of claim; config_alpha: of those about settings where it is another, see `tries`.
        gate: why the judge whose scores these are may not crown a winner (`agreement.gate`); "" when it may.
        kept: what the files keep of what the base could; it decides about no claim.

    Raises:
        ValueError: a claim made with another alpha, or for fewer comparisons than are given.
    """
    checkpoints, configs = _named(checkpoint, other_checkpoints), _named(config, other_configs)
    _check(list(checkpoints.values()), alpha)
    _check(list(configs.values()), alpha if config_alpha is None else config_alpha)
    checkpoint_ps, config_ps = _two_sided(checkpoints), _one_sided(configs)
    checkpoint_sides = {name: _checkpoint_side(claim, checkpoint_ps[name]) for name, claim in checkpoints.items()}
    both_ways = _two_sided(configs)
    config_sides = {name: _config_side(claim, config_ps[name], both_ways[name]) for name, claim in configs.items()}
    checkpoint_side, config_side = checkpoint_sides.get("", 0), config_sides.get("", 0)
    kind, about = _kind(winner == baseline, checkpoint, config, checkpoint_side, config_side)
    if gate and about:
        kind, about = "judge_refused", None
    single = training_seeds < 2 and (config is None or config.pairs < 2)
    return Verdict(
        kind,
        about,
        winner,
        baseline,
        checkpoint,
        config,
        checkpoint_ps.get(""),
        config_ps.get(""),
        alpha,
        single,
        tuple(_notes(checkpoint, config, checkpoint_side, config_side, single)),
        gate,
        (
            *_comparisons("checkpoint", checkpoints, checkpoint_ps, checkpoint_sides),
            *_comparisons("config", configs, config_ps, config_sides),
        ),
        kept,
    )


def _named(first: _Claim | None, others: Mapping[str, _Claim] | Sequence[_Claim]) -> dict[str, _Claim]:
    """The duel with the baseline under "", the others under their names."""
    if not isinstance(others, Mapping):
        others = {f"comparison {number}": claim for number, claim in enumerate(others, start=2)}
    return {**({"": first} if first else {}), **others}


def _check(family: Sequence[PairedClaim], alpha: float) -> None:
    for claim in family:
        if claim.alpha != alpha:
            raise ValueError(f"a claim was made with alpha {claim.alpha}, the verdict asks for {alpha}")
        if claim.watched and claim.watched.comparisons < len(family):
            raise ValueError(f"a claim was made as one of {claim.watched.comparisons}, the verdict has {len(family)}")


def _two_sided(family: Mapping[str, _Claim]) -> dict[str, float | None]:
    decided = [name for name, claim in family.items() if claim.decided]
    return _adjusted(family, {name: claim.p_two_sided for name, claim in family.items()}, decided)


def _one_sided(family: Mapping[str, _Claim]) -> dict[str, float | None]:
    decided = [name for name, claim in family.items() if claim.decided == "winner"]
    return _adjusted(family, {name: claim.p_greater for name, claim in family.items()}, decided)


def _adjusted(family: Mapping[str, _Claim], p: Mapping[str, float], decided: Sequence[str]) -> dict[str, float | None]:
    """The adjustment where the exact test ran, None elsewhere: Bonferroni's, which the intervals follow; Holm's by the
    earlier editions of the rules.

    What the e-process decided is rejected already, by its own part of alpha, and leaves the family; a duel that ended
    otherwise before its last unit, or never ran, can't be rejected any more and counts as a p of 1.
    """
    tested: list[str] = [name for name, claim in family.items() if claim.complete and name not in decided]
    named = max((claim.watched.comparisons for claim in family.values() if claim.watched), default=len(family))
    lost: int = max(named, len(family)) - len(tested) - len(decided)
    if any(claim.interval_method == INVERSION for claim in family.values()):
        found = [min(1.0, max(named, len(family)) * p[name]) for name in tested]
    else:
        found = holm([p[name] for name in tested] + [1.0] * lost)
    adjusted: dict[str, float | None] = dict.fromkeys(family)
    adjusted.update(zip(tested, found, strict=False))
    # A duel that was decided and went on to its end has a p as well; nothing rests on it.
    adjusted.update({name: p[name] for name in decided if family[name].complete})
    return adjusted


def _checkpoint_side(claim: CheckpointClaim, p: float | None) -> int:
    """The side that wins: 1 the winner, -1 the other, 0 neither."""
    if claim.decided:
        return 1 if claim.decided == "winner" else -1
    return int(np.sign(claim.mean_difference)) if _reached(p, claim) else 0


def _config_side(claim: ConfigClaim, p: float | None, p_two_sided: float | None) -> int:
    if claim.decided:
        return 1 if claim.decided == "winner" else -1
    if _reached(p, claim):
        return 1
    return -1 if _reached(p_two_sided, claim) and claim.mean_difference < 0 else 0


def _reached(p: float | None, claim: PairedClaim) -> bool:
    return p is not None and p <= claim.final_alpha + SLACK


def _comparisons(
    about: About, family: Mapping[str, _Claim], p: Mapping[str, float | None], sides: Mapping[str, int]
) -> list[Comparison]:
    return [
        Comparison(name=name, about=about, claim=claim, p=p[name], holds=sides[name] > 0)
        for name, claim in family.items()
        if name
    ]


def _kind(
    same: bool, checkpoint: CheckpointClaim | None, config: ConfigClaim | None, checkpoint_side: int, config_side: int
) -> tuple[Kind, About | None]:
    if same:
        return "baseline_leads", None
    if config_side:
        return ("config" if config_side > 0 else "baseline_wins"), "config"
    if checkpoint_side:
        return ("checkpoint" if checkpoint_side > 0 else "baseline_wins"), "checkpoint"
    able = any(claim is not None and claim.can_support for claim in (checkpoint, config))
    return ("no_difference" if able else "not_tested"), None


def _notes(
    checkpoint: CheckpointClaim | None,
    config: ConfigClaim | None,
    checkpoint_side: int,
    config_side: int,
    single: bool,
) -> list[str]:
    notes = []
    if single:
        notes.append("The winner was chosen on a single training seed; another seed of the same settings may differ.")
    if checkpoint and not checkpoint.can_support:
        notes.append(_lacking(checkpoint, f"fresh {checkpoint.unit}", "a claim", checkpoint.prompts_needed))
    if config and not config.can_support:
        notes.append(_lacking(config, "paired training seed", "a claim about the settings", config.pairs_needed))
    if checkpoint and (checkpoint.win_rate - 0.5) * checkpoint.mean_difference < 0:
        notes.append("The win rate and the mean score point different ways: few prompts with large differences decide.")
    if checkpoint_side * config_side < 0:
        notes.append("This one file and its settings point different ways; the settings were judged on fresh training.")
    return notes


def _lacking(claim: PairedClaim, unit: str, what: str, needed: int) -> str:
    units = claim.prompts if isinstance(claim, CheckpointClaim) else getattr(claim, "pairs", 0)
    if claim.complete:
        return f"{plural(units, unit)} can't support {what}; at least {units + needed} are needed."
    planned = claim.watched.planned if claim.watched else units
    return f"Stopped by hand after {units} of {plural(planned, unit)}, before it was decided: no support for {what}."


def plural(n: int, noun: str) -> str:
    """A count with its noun: "1 prompt", "5 prompts"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
