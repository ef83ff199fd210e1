"""How soon does each way of searching find good settings? `python -m tests.benchmarks.bench_search [--sessions 1000]`.

Replays whole sessions on recorded trainings of the embedded demo (`tests/benchmarks/tabular`): bracket's strategies
through their own code, Optuna's samplers and pruners through Optuna's. What a session names is graded by the procedural
checker's mean over the recorded training seeds, which no strategy sees; "found" is within 2 % of the best recorded
config. Costs are training steps in full-length trainings, baseline and finals included. No curated configs: they would
give the answer away. Strategies were tuned on the concept "star" (`--concept star`); "crescent" is for reporting.

`--table embedded-hard` has seven knobs and four pictures; `--world` makes another world of a table: where the loss
misleads, where the best lies at the edge of its range, or is the baseline already. `--methods brief:17 botorch:17`
plays just these and compares each with the first, session by session. With `--keep FILE` what was played is not played
again: a thousand sessions may be made in pieces.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from bracket.domain import Config, TrialResult
from bracket.runner.devices import workers
from bracket.search.rungs import Rung, key
from bracket.search.strategies.protocol import rungs_of
from bracket.search.surrogate import Surrogate
from bracket.session.asked.settings import ScoreSettings
from tests.benchmarks.tabular.flows import LOSS_ONLY, Flow, pruned, search
from tests.benchmarks.tabular.grid import CONCEPTS, EASY, PLANS
from tests.benchmarks.tabular.play import Grade, Kept, graded, shortfalls
from tests.benchmarks.tabular.rivals import BOTORCH, BoTorch, OptunaGP, botorch_is_there
from tests.benchmarks.tabular.table import WORLDS, Table, load

SHARES = (0.5, 0.75, 0.9)
FINALISTS = 3
CHUNK = 5
"""Sessions that a process plays before it says what they ended with."""


@dataclass(frozen=True)
class Method:
    """One way of searching at one size."""

    kind: str
    size: int

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.size}"

    @property
    def title(self) -> str:
        return f"{METHODS[self.kind][0]}, {self.size} configs"

    def flow(self, ladder: Sequence[int]) -> Flow:
        """How it searches where trainings are looked at after so many steps."""
        n, full = self.size, ladder[-1]
        if self.kind in ("random", "tpe"):
            return search(self.kind, [Rung(n, full)])
        if self.kind in ALONE:
            return search("screen", [Rung(n, full)], proposer=ALONE[self.kind])
        if self.kind == "classic":
            return search("tpe", [Rung(n, ladder[-2])], FINALISTS, seeds=2, score=ScoreSettings(ramp=False))
        if self.kind in BRIEFLY:
            rungs = rungs_of("screen", configs=n, steps=full // 4, rounds=2, reduction=6, finalists=2)
            return search("screen", rungs, 2, **BRIEFLY[self.kind])
        if self.kind in TOGETHER:
            rungs = rungs_of(self.kind, configs=n, steps=full // 4, rounds=2, reduction=6, finalists=FINALISTS)
            return search(self.kind, rungs, FINALISTS)
        return pruned(self.kind, n)


SIZES = (13, 17, 21, 25, 33, 41)
METHODS = {
    "tournament": ("bracket: tournament", SIZES),
    "screen": ("bracket: screen (all briefly, keep 3)", SIZES),
    "brief": ("bracket: screen, keep 2", SIZES),
    "loss": ("all briefly, keep the 2 with the lowest loss", SIZES),
    "gp": ("screen, keep 2, proposals by Optuna's GP", SIZES),
    "botorch": ("screen, keep 2, proposals by BoTorch", SIZES),
    "random": ("random search at full length", (11, 21, 41, 81)),
    "tpe": ("TPE at full length", (11, 21, 41, 81)),
    "gp-alone": ("Optuna's GP at full length", (5, 8, 11, 21)),
    "botorch-alone": ("BoTorch at full length", (5, 8, 11, 21)),
    "classic": ("baseline → TPE on the last rung but one → finals", (11, 21, 41, 61, 81)),
    "hyperband": ("Optuna: TPE + HyperbandPruner", (10, 20, 40, 60)),
    "halving": ("Optuna: TPE + SuccessiveHalvingPruner", (10, 20, 40, 60)),
}
TOGETHER = ("tournament", "screen", "brief")
"""They ask the same process the same for as long as their scores agree."""
BRIEFLY: Mapping[str, dict[str, Any]] = {
    "brief": {},
    "loss": {"score": LOSS_ONLY},
    "gp": {"proposer": OptunaGP},
    "botorch": {"proposer": BoTorch},
}
ALONE = {"gp-alone": OptunaGP, "botorch-alone": BoTorch}
ASKED_FOR = ("loss", "gp", "botorch", "gp-alone", "botorch-alone")
"""Played only where `--methods` names them."""
USUAL = [Method(kind, size) for kind, (_, sizes) in METHODS.items() if kind not in ASKED_FOR for size in sizes]


@dataclass(frozen=True)
class Job:
    """Some sessions of methods that are played in one process."""

    table: str
    concept: str
    world: str
    sessions: Mapping[Method, Sequence[int]]

    @property
    def played_on(self) -> Table:
        return WORLDS[self.world](load(PLANS[self.table], self.concept))

    def play(self) -> list[dict[str, Any]]:
        """What they ended with. Methods share what the Gaussian process proposes where they ask it the same."""
        table, found = self.played_on, []
        with patch.object(Surrogate, "next", remembered(Surrogate.next)):
            for method, sessions in self.sessions.items():
                flow = method.flow(table.plan.ladder)
                for session in sessions:
                    ended = flow(table, session)
                    line = {"method": method.name, "session": session, "steps": ended.steps}
                    found.append({**line, "config": dict(ended.config)})
        return found


def jobs(methods: Sequence[Method], count: int, kept: Kept, on: tuple[str, str, str]) -> Iterator[Job]:
    """The sessions that were not played yet, a few at a time: the first of every method before the next."""
    groups: dict[str, list[Method]] = {}
    for m in methods:
        groups.setdefault(f"together:{m.size}" if m.kind in TOGETHER else m.name, []).append(m)
    for first in range(0, count, CHUNK):
        numbers = range(first, min(first + CHUNK, count))
        for group in groups.values():
            missing = {m: [n for n in numbers if n not in kept.sessions(m.name)] for m in group}
            if any(missing.values()):
                yield Job(*on, missing)


def remembered(ask: Callable[..., Config | None]) -> Callable[..., Config | None]:
    """A sampler's `next` that answers at once what it was asked before: it is a pure function of its arguments."""
    known: dict[Hashable, Config | None] = {}

    def answer(self: Surrogate, number: int, told: Sequence[TrialResult], *rest: Sequence[object]) -> Config | None:
        assert not any(rest), "one trial after the other"
        history = tuple((key(r.trial.config), r.score.total if r.score else None) for r in told)
        asked = (type(self), self._seed, self._configs, number, hash(history))
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


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> str:
    """Two methods over the sessions that both played, by how far each fell short: how often the second named the better
    config, and the mean difference with an interval of two standard errors."""
    both = sorted(one.keys() & other.keys())
    gain = np.array([one[n] - other[n] for n in both])
    better, worse = int((gain > 1e-9).sum()), int((gain < -1e-9).sum())
    error = 2 * float(gain.std(ddof=1)) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
    counts = f"better in {better}, worse in {worse}, alike in {len(both) - better - worse} of {len(both)}"
    return f"{counts}; {gain.mean():+.1%} ± {error:.1%} of the best"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--table", choices=PLANS, default=EASY.name)
    parser.add_argument("--concept", choices=CONCEPTS, default=CONCEPTS[-1])
    parser.add_argument("--world", choices=WORLDS, default="recorded", help="see `tabular.table`")
    parser.add_argument("--methods", nargs="+", type=method, default=USUAL, metavar="KIND:CONFIGS")
    parser.add_argument("--keep", type=Path, help="JSONL that ended sessions are added to, and not played again from")
    parser.add_argument("--workers", type=int, default=workers())
    given = parser.parse_args()
    if any("botorch" in m.kind for m in given.methods) and not botorch_is_there():
        sys.exit(f"BoTorch is not there. Install it for this comparison: {BOTORCH}")
    on = (given.table, given.concept, given.world)
    if not load(PLANS[given.table], given.concept).plan.configs:
        sys.exit(f"The table {given.table} holds nothing of {given.concept}. Record it: see `tabular.make`")
    table = Job(*on, {}).played_on
    found = float((table.final >= 0.98 * table.final.max()).mean())
    print(f"{' '.join(on)}: {table.final.size} configs, {table.seeds} seeds, {found:.1%} within 2 % of the best")
    methods = [m for m in given.methods if fits(m, table)]
    if left := [m.name for m in given.methods if m not in methods]:
        print(f"Left out, too large for so few recorded configs: {', '.join(left)}")
    kept = Kept(given.keep, PLANS[given.table], given.concept, given.world)
    _play(list(jobs(methods, given.sessions, kept, on)), kept, given.workers)
    ended = {m: {n: e for n, e in kept.sessions(m.name).items() if n < given.sessions} for m in methods}
    grades = {m: graded(m.title, list(of.values()), table) for m, of in ended.items()}
    for one in grades.values():
        print(one)
    if methods == USUAL:
        _report({kind: [g for m, g in grades.items() if m.kind == kind] for kind in METHODS}, given.sessions)
        return
    first, *others = methods
    short = {m: dict(zip(of, shortfalls(list(of.values()), table), strict=True)) for m, of in ended.items()}
    for other in others:
        print(f"{other.name} against {first.name}: {paired(short[first], short[other])}")


def fits(one: Method, table: Table) -> bool:
    """Whether a session leaves half of the recorded configs untried, where it has each only once."""
    return not table.plan.alone or 2 * one.size <= len(table.plan.configs)


def method(text: str) -> Method:
    """A method as `KIND:CONFIGS` says it."""
    kind, _, size = text.partition(":")
    if kind not in METHODS or not size.isdecimal() or int(size) < 2:
        raise argparse.ArgumentTypeError(f"{text!r}: write one of {', '.join(METHODS)} and a number, as in brief:17")
    return Method(kind, int(size))


def _play(waiting: Sequence[Job], kept: Kept, processes: int) -> None:
    with ProcessPoolExecutor(processes) as pool:
        for number, ended in enumerate(as_completed([pool.submit(job.play) for job in waiting]), 1):
            kept.add(ended.result())
            print(f"{number} of {len(waiting)}", end="\r", file=sys.stderr, flush=True)


def _report(grades: Mapping[str, Sequence[Grade]], sessions: int) -> None:
    grades = {kind: of for kind, of in grades.items() if of}
    print(
        f"\nFull-length trainings until so many sessions have found it{'':<10}" + "".join(f"{s:>9.0%}" for s in SHARES)
    )
    cost = {(kind, share): needed(grades[kind], share) for kind, share in product(grades, SHARES)}
    for kind in grades:
        cells = [f"{c:9.1f}" if (c := cost[kind, s]) else f"{'never':>9}" for s in SHARES]
        print(f"{METHODS[kind][0]:<68}" + "".join(cells))
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
