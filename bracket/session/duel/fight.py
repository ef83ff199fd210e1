"""A session's duels as far as they count, and the verdict that follows: the confirmation, and what was added to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bracket.domain import Config, Round
from bracket.files import read_json
from bracket.report.claims.added import weigh
from bracket.report.claims.evidence import training_seeds
from bracket.report.claims.scores import Claims, Rules, claims_of, kept_of
from bracket.report.summary import Addition, Calibration, Duel, Pair, Plain, Ranked
from bracket.session.duel.course import duel_of, pairs_of, read_arms, read_plain, scores_by_seed
from bracket.session.duel.more import added_plans, read_plans
from bracket.session.duel.plan import PLAN, DuelPlan
from bracket.session.store import Store
from bracket.stats import Verdict, decide


@dataclass(frozen=True)
class Fight:
    """The confirmation as far as it counts, and the duels that were added.

    `plan` as it was written down; a session judged again has none on disk, and is held to what its settings plan.
    """

    plan: Mapping[str, Any] | None = None
    duel: Duel | None = None
    pairs: tuple[Pair, ...] = ()
    left_out: tuple[int, ...] = ()
    runner_up: Config | None = None
    claims: Claims = field(default_factory=Claims)
    additions: tuple[Addition, ...] = ()
    plain: Plain | None = None


def read_fight(folder: Path, store: Store, unwritten: DuelPlan | None = None) -> Fight:
    """The fight in a session's folder.

    Args:
        unwritten: the plan to hold it to where none is on disk.

    Raises:
        StorageError, JudgeError: a plan or a file of judgements is damaged.
    """
    path = folder / PLAN
    plan, *later = read_plans(folder) or (unwritten,)
    if plan is None:
        return Fight()
    results = store.results(Round.CONFIRMATION)
    duel = duel_of(plan, read_arms(folder, plan))
    pairs, left_out = pairs_of(plan, scores_by_seed(plan, results))
    if not (duel or pairs or path.exists()):
        return Fight()
    fixed = read_json(path) if path.exists() else plan.as_dict()
    written = zip(added_plans(folder), [p for p in later if p is not None], strict=True)
    additions = tuple(Addition(read_json(at), *pairs_of(p, scores_by_seed(p, results))) for at, p in written)
    claims = claims_of(duel, pairs, Rules.of(fixed, left_out))
    return Fight(fixed, duel, pairs, left_out, plan.runner_up, claims, additions, read_plain(folder, plan))


def verdict_of(
    winner: Ranked | None, baseline: Ranked | None, fight: Fight, calibration: Calibration | None, alpha: float
) -> Verdict:
    """What may be said at the end of the session.

    Args:
        winner, baseline: of the finals; None before there are any.
        alpha: the session's, where no plan was fixed.
    """
    alpha = float(fight.plan["alpha"]) if fight.plan else alpha
    if winner is None or baseline is None:
        return decide("none", "baseline", alpha=alpha)
    if winner is baseline or winner.origin == "baseline":
        return decide("baseline", "baseline", alpha=alpha, training_seeds=training_seeds(winner))
    return weigh(
        winner.label,
        "baseline",
        fight.claims,
        fight.additions,
        training_seeds=training_seeds(winner),
        alpha=alpha,
        gate="" if calibration is None or calibration.gate.may_crown else calibration.gate.reason,
        kept=kept_of(fight.plain, fight.plan),
    )
