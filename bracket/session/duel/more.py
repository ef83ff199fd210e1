"""The plans of the duels of a session's settings: the confirmation's own, and those that were added since."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from bracket.domain import Round
from bracket.errors import StorageError
from bracket.report.claims.again import Earlier, Standing, alpha_after
from bracket.session.asked.seeds import Seeds
from bracket.session.duel.plan import FOLDER, PLAN, DuelPlan, read_plan_at, rule
from bracket.stats.duel.sequential import EDITION

_ADDED = "plan-{}.json"
_ADDED_NAME = re.compile(r"plan-(\d+)\.json")


def read_plans(folder: Path) -> tuple[DuelPlan, ...]:
    """The confirmation's plan and those of the duels that were added, in their order; () before there is one.

    Raises:
        StorageError: one of them is damaged, or missing while a later one is there: what the later ones are held to
            follows from it.
    """
    paths = [folder / PLAN, *added_plans(folder)]
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None and len(paths) > 1:
        what = "the plan of an earlier duel is missing, and with it what later ones are held to"
        raise StorageError(what, path=missing, remedy="Restore it from a copy.")
    return () if missing else tuple(map(read_plan_at, paths))


def added_plans(folder: Path) -> list[Path]:
    """Where the plans of the added duels lie: from `confirm/plan-2.json` to the last there is."""
    found = [_ADDED_NAME.fullmatch(path.name) for path in (folder / FOLDER).glob(_ADDED.format("*"))]
    last = max((int(match[1]) for match in found if match), default=1)
    return [folder / FOLDER / _ADDED.format(number) for number in range(2, last + 1)]


def next_plan(folder: Path) -> Path:
    """Where the plan of the next duel to be added belongs."""
    return folder / FOLDER / _ADDED.format(len(added_plans(folder)) + 2)


def further(
    earlier: Sequence[DuelPlan],
    pairs: int,
    session_seed: int,
    begun: Collection[int] = (),
    edition: int = 1,
    elsewhere: Sequence[Earlier] = (),
) -> DuelPlan:
    """One more duel of the settings, winner against baseline, on fresh seeds; `stats.duel.tries` has its rules.

    Args:
        earlier: the plans so far; elsewhere: other sessions' tries of the same question so far.
        begun: training seeds that the ledger has of the confirmation, whether or not a plan names them.
        edition: of the session's seeds.
    """
    first, used = earlier[0], {*begun, *(seed for plan in earlier for seed in plan.training_seeds)}
    seeds = Seeds(session_seed, edition).training(Round.CONFIRMATION, len(used) + pairs)
    whole = first.whole_alpha or first.alpha
    standing = Standing(whole, alpha_after([plan.as_dict() for plan in earlier], elsewhere), tuple(elsewhere))
    alpha = standing.alpha
    return DuelPlan(
        winner=dict(first.winner),
        baseline=dict(first.baseline),
        judge=first.judge,
        alpha=alpha,
        live_share=first.live_share,
        edition=EDITION,
        prompts=(),
        pictures=(),
        pairs=pairs,
        training_seeds=tuple([seed for seed in seeds if seed not in used][:pairs]),
        rule=f"{standing.rule} {rule(0, pairs, alpha, first.live_share, 1)} Only the pairs of this plan count in its "
        "duel.",
        order_seed=session_seed,
        whole_alpha=whole,
        family=first.family,
        earlier=standing.earlier,
    )
