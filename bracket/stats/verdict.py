"""What may be said at the end of a session, and of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from bracket.stats.claims import CheckpointClaim, ConfigClaim, PairedClaim
from bracket.stats.record import Record

Kind = Literal[
    "config", "checkpoint", "baseline_wins", "no_difference", "not_tested", "baseline_leads", "judge_refused"
]
About = Literal["config", "checkpoint"]


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
        checkpoint_p: two-sided, Holm-adjusted over the named comparisons of checkpoints.
        config_p: one-sided (winner above baseline), Holm-adjusted over the named comparisons of configs.
        alpha: error rate each kind of claim is held to.
        single_seed: the winner was chosen on one training seed and no fresh pairs of runs were added.
        notes: sentences a reader must not miss.
        gate: why the judge may not crown a winner; "" when it may.
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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`.

        Raises:
            ValueError: a field is missing or unknown, here or in a claim.
        """
        kinds: dict[str, type[PairedClaim]] = {"checkpoint": CheckpointClaim, "config": ConfigClaim}
        claims = {name: kind.from_dict(data[name]) for name, kind in kinds.items() if data.get(name)}
        return super().from_dict({**data, **claims})


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
    other_checkpoints: Sequence[CheckpointClaim] = (),
    other_configs: Sequence[ConfigClaim] = (),
    alpha: float = 0.05,
    gate: str = "",
) -> Verdict:
    """Weighs the duel's claims. Every claim must come from prompts and seeds that took no part in choosing the winner.

    A checkpoint claim holds when its two-sided p is at most alpha, in the direction of the mean difference. A config
    claim for the winner holds one-sided, as it was named beforehand; one for the baseline was not, so it must hold
    two-sided. Each kind of claim has its own alpha, since they answer different questions; within a kind Holm's
    adjustment covers all comparisons named beforehand. Evidence about settings outranks evidence about one file.

    Args:
        winner, baseline: their ids; equal when nothing beat the baseline in the search.
        checkpoint, config: what the duel found, None where it was not run.
        training_seeds: seeds the winner was chosen on.
        other_checkpoints, other_configs: further comparisons named before the duel, e.g. winner against runner-up.
        gate: why the judge whose scores these are may not crown a winner (`agreement.gate`); "" when it may.

    Raises:
        ValueError: a claim made with another alpha.
    """
    for claim in (checkpoint, config, *other_checkpoints, *other_configs):
        if claim is not None and claim.alpha != alpha:
            raise ValueError(f"a claim was made with alpha {claim.alpha}, the verdict asks for {alpha}")
    checkpoint_p, checkpoint_side = _weigh_checkpoint(checkpoint, other_checkpoints, alpha)
    config_p, config_side = _weigh_config(config, other_configs, alpha)
    kind, about = _kind(winner == baseline, checkpoint, config, checkpoint_side, config_side)
    if gate and about:
        kind, about = "judge_refused", None
    single = training_seeds < 2 and (config is None or config.pairs < 2)
    notes = _notes(checkpoint, config, checkpoint_side, config_side, single)
    return Verdict(
        kind, about, winner, baseline, checkpoint, config, checkpoint_p, config_p, alpha, single, tuple(notes), gate
    )


def _weigh_checkpoint(
    claim: CheckpointClaim | None, others: Sequence[CheckpointClaim], alpha: float
) -> tuple[float | None, int]:
    """Adjusted two-sided p, and the side that wins: 1 the winner, -1 the baseline, 0 neither."""
    if claim is None:
        return None, 0
    p = holm([claim.p_two_sided, *(other.p_two_sided for other in others)])[0]
    return p, int(np.sign(claim.mean_difference)) if p <= alpha else 0


def _weigh_config(claim: ConfigClaim | None, others: Sequence[ConfigClaim], alpha: float) -> tuple[float | None, int]:
    """Adjusted one-sided p for the winner, and the side that wins."""
    if claim is None:
        return None, 0
    p = holm([claim.p_greater, *(other.p_greater for other in others)])[0]
    if p <= alpha:
        return p, 1
    two_sided = holm([claim.p_two_sided, *(other.p_two_sided for other in others)])[0]
    return p, -1 if two_sided <= alpha and claim.mean_difference < 0 else 0


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
        least = checkpoint.prompts + checkpoint.prompts_needed
        notes.append(
            f"{plural(checkpoint.prompts, 'fresh prompt')} can't support a claim; at least {least} are needed."
        )
    if config and not config.can_support:
        least = config.pairs + config.pairs_needed
        notes.append(
            f"{plural(config.pairs, 'paired training seed')} can't support a claim about the settings; "
            f"at least {least} are needed."
        )
    if checkpoint and (checkpoint.win_rate - 0.5) * checkpoint.mean_difference < 0:
        notes.append("The win rate and the mean score point different ways: few prompts with large differences decide.")
    if checkpoint_side * config_side < 0:
        notes.append("This one file and its settings point different ways; the settings were judged on fresh training.")
    return notes


def plural(n: int, noun: str) -> str:
    """A count with its noun: "1 prompt", "5 prompts"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
