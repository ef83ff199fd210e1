"""How soon does each way of searching find good settings? `python -m tests.benchmarks.bench_search [--sessions 1000]`.

Replays whole sessions on recorded trainings of the embedded demo (`tests/benchmarks/tabular`): bracket's strategies
through their own code, Optuna's pruners through Optuna's. What a session names is graded by the procedural checker's
mean over the recorded training seeds, which no strategy sees; "found" is within 2 % of the best config of the whole
grid. Costs are training steps in full-length trainings, baseline and finals included. No curated configs: they would
give the answer away. Strategies were tuned on the concept "star" (`--concept star`); "crescent" is for reporting.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from unittest.mock import patch

import numpy as np

from bracket.domain import Config, TrialResult
from bracket.runner.devices import workers
from bracket.search.rungs import Rung, key
from bracket.search.strategies.protocol import rungs_of
from bracket.search.surrogate import Surrogate
from tests.benchmarks.tabular.flows import FULL, Flow, pruned, search
from tests.benchmarks.tabular.grid import CONCEPTS
from tests.benchmarks.tabular.play import Grade, grade
from tests.benchmarks.tabular.table import load, misleading

SHARES = (0.5, 0.75, 0.9)
FINALISTS = 3


@dataclass(frozen=True)
class Method:
    """One way of searching at one size."""

    kind: str
    size: int

    def flow(self) -> Flow:
        n = self.size
        if self.kind == "random":
            return search("random", [Rung(n, FULL)])
        if self.kind == "tpe":
            return search("tpe", [Rung(n, FULL)])
        if self.kind == "classic":
            return search("tpe", [Rung(n, FULL // 2)], FINALISTS, seeds=2, ramp=False)
        if self.kind in TOGETHER:
            name, finalists = ("screen", 2) if self.kind == "brief" else (self.kind, FINALISTS)
            rungs = rungs_of(name, configs=n, steps=FULL // 4, rounds=2, reduction=6, finalists=finalists)
            return search(name, rungs, finalists)
        return pruned(self.kind, n)


METHODS = {
    "tournament": ("bracket: tournament", (13, 17, 21, 25, 33, 41)),
    "screen": ("bracket: screen (all briefly, keep 3)", (13, 17, 21, 25, 33, 41)),
    "brief": ("bracket: screen, keep 2", (13, 17, 21, 25, 33, 41)),
    "random": ("random search at full length", (11, 21, 41, 81)),
    "tpe": ("TPE at full length", (11, 21, 41, 81)),
    "classic": ("baseline → TPE at half length → finals", (11, 21, 41, 61, 81)),
    "hyperband": ("Optuna: TPE + HyperbandPruner", (10, 20, 40, 60)),
    "halving": ("Optuna: TPE + SuccessiveHalvingPruner", (10, 20, 40, 60)),
}


TOGETHER = ("tournament", "screen", "brief")
JOBS = [[Method(kind, size) for kind in TOGETHER] for size in METHODS["tournament"][1]]
JOBS += [[Method(kind, n)] for kind, (_, sizes) in METHODS.items() for n in sizes if kind not in TOGETHER]


def play(concept: str, sessions: int, misled: bool, methods: Sequence[Method]) -> list[Grade]:
    """All sessions of some methods, which share what the Gaussian process proposes where they ask it the same."""
    table = misleading(load(concept)) if misled else load(concept)
    titles = [f"{METHODS[m.kind][0]}, {m.size} configs" for m in methods]
    with patch.object(Surrogate, "next", remembered(Surrogate.next)):
        return [grade(t, m.flow(), table, range(sessions)) for t, m in zip(titles, methods, strict=True)]


def remembered(ask: Callable[..., Config | None]) -> Callable[..., Config | None]:
    """A sampler's `next` that answers at once what it was asked before: it is a pure function of its arguments."""
    known: dict[Hashable, Config | None] = {}

    def answer(self: Surrogate, number: int, told: Sequence[TrialResult], *rest: Sequence[object]) -> Config | None:
        assert not any(rest), "one trial after the other"
        history = tuple((key(r.trial.config), r.score.total if r.score else None) for r in told)
        asked = (self._seed, self._configs, number, hash(history))
        if asked not in known:
            known[asked] = ask(self, number, told, *rest)
        return known[asked]

    return answer


def needed(grades: Sequence[Grade], share: float) -> float | None:
    """The smallest cost at which so large a share of sessions has found it; None when no size has."""
    return min((g.cost for g in grades if g.reached >= share), default=None)


def compared(ours: Sequence[Grade], theirs: Sequence[Grade], sessions: int) -> list[str]:
    """Where they, at some cost, found more than ours would have for that cost, between two of its sizes in proportion;
    beyond two standard errors. Costs below ours are left out: there we have no session to offer."""
    costs, found = zip(*sorted((g.cost, g.reached) for g in ours), strict=True)
    worse = []
    for their in theirs:
        expected = float(np.interp(their.cost, costs, found))
        error = 2 * (2 * their.reached * (1 - their.reached) / sessions) ** 0.5
        if their.cost >= costs[0] and expected < their.reached - error:
            worse.append(f"{their.cost:.1f} ({their.reached:.0%} against {expected:.0%})")
    return worse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--concept", choices=CONCEPTS, default=CONCEPTS[-1])
    parser.add_argument("--misleading", action="store_true", help="in a made-up world, see `tabular.table.misleading`")
    given = parser.parse_args()
    truth = load(given.concept).final
    found = float((truth >= 0.98 * truth.max()).mean())
    print(f"{given.concept}: {truth.size} configs, {found:.1%} of them within 2 % of the best")
    print(f"{given.sessions} sessions of each method\n")
    grades: dict[str, list[Grade]] = {kind: [] for kind in METHODS}
    played = partial(play, given.concept, given.sessions, given.misleading)
    with ProcessPoolExecutor(workers()) as pool:
        for methods, found in zip(JOBS, pool.map(played, JOBS), strict=True):
            for method, graded in zip(methods, found, strict=True):
                grades[method.kind].append(graded)
                print(graded, flush=True)
    _report(grades, given.sessions)


def _report(grades: dict[str, list[Grade]], sessions: int) -> None:
    print(
        f"\nFull-length trainings until so many sessions have found it{'':<10}" + "".join(f"{s:>9.0%}" for s in SHARES)
    )
    cost = {(kind, share): needed(grades[kind], share) for kind, share in product(grades, SHARES)}
    for kind, (title, _) in METHODS.items():
        cells = [f"{c:9.1f}" if (c := cost[kind, s]) else f"{'never':>9}" for s in SHARES]
        print(f"{title:<68}" + "".join(cells))
    print()
    for kind in ("random", "tpe", "classic"):
        for share in SHARES:
            ours, theirs = cost["tournament", share], cost[kind, share]
            if ours:
                most = max(g.cost for g in grades[kind])
                ratio = f"{theirs / ours:.1f}" if theirs else f"more than {most / ours:.1f} (not within {most:.0f})"
                print(f"{METHODS[kind][0]} needs for {share:.0%} of sessions, times the tournament's steps: {ratio}")
    for kind in ("screen", "hyperband", "halving"):
        worse = compared(grades["tournament"], grades[kind], sessions)
        print(
            f"Tournament against {METHODS[kind][0]}: " + (f"worse at {', '.join(worse)}" if worse else "nowhere worse")
        )


if __name__ == "__main__":
    main()
