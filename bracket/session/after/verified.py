"""How far a certificate can be trusted, level by level: its numbers, its pictures, its judgements.

The numbers need the certificate alone. The pictures need the session's folder: every judged file by its hash, and the
plans, settings and votes that the certificate tells of. The judgements need the judge and the training pictures too: it
is asked again, with nothing remembered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from bracket.dataset import split_from_json
from bracket.domain import TIE_BAND, Round, Sample
from bracket.errors import CertificateError, SettingsError, StorageError
from bracket.files import read_json
from bracket.judges import Judge
from bracket.report.claims import certificate
from bracket.report.claims.added_check import left_out_of
from bracket.report.claims.again import earlier_of, first_alpha
from bracket.report.claims.evidence import SIDES, plain
from bracket.report.words import judged
from bracket.session.asked import foreign
from bracket.session.asked.judges import session_judge
from bracket.session.asked.settings import load
from bracket.session.duel import stamp
from bracket.session.duel.again import marked
from bracket.session.duel.calibrate import calibrate
from bracket.session.duel.fight import read_fight
from bracket.session.duel.more import added_plans
from bracket.session.duel.plan import BASELINE, PLAN, RUNNER_UP, DuelPlan
from bracket.session.job import BEFORE, keep_pictures, resolve, with_own_seeds
from bracket.session.planning.memory import DATASET_FILE
from bracket.session.running import stages
from bracket.session.store import FILE as LEDGER_FILE
from bracket.session.store import Store
from bracket.stats.duel.sequential import EDITION
from bracket.stats.duel.tries import SERIES
from bracket.trainers.base import drawn_in

Level = Literal["numbers", "pictures", "judgements"]
LEVELS: tuple[Level, ...] = ("numbers", "pictures", "judgements")
MEANS = {
    "numbers": "every number and sentence of the verdict follows from the judgements in it",
    "pictures": "every judged picture is here as it was judged, and plans, settings and votes are the session's",
    "judgements": "the same judge, asked again, gives the same scores",
}
NOT_SHOWN = (
    "No level shows that the pictures came from the trainings named, that a person cast the votes, that no earlier "
    "try was deleted, or, without a time stamp, that the plan was written before the first picture: for that, run the "
    "session again."
)
_NOISE = 3.0
"""A score may be so many standard deviations of the judge's own noise from what it was."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Held:
    """What was found: the highest level that holds (None: not even the numbers), and why the next one doesn't."""

    level: Level | None
    mismatches: tuple[str, ...] = ()


def verify(path: Path, upto: Level = "numbers") -> Held:
    """Holds a certificate to each level in turn, up to the one asked for or the first that fails.

    Raises:
        CertificateError: the certificate is missing or damaged.
        BracketError: the judge, or what it needs, can't be had.
    """
    checks = {"numbers": certificate.verify, "pictures": _pictures, "judgements": _judgements}
    reached: Level | None = None
    for level in LEVELS[: LEVELS.index(upto) + 1]:
        if found := checks[level](path):
            return Held(reached, tuple(found))
        reached = level
    return Held(reached)


def stamped(path: Path) -> str:
    """What a time-stamp authority said of a certificate's plan, in words; "" where none was asked.

    Raises:
        CertificateError: as `verify`.
    """
    return stamp.check(path.resolve().parent.parent, str(certificate.load(path).get("plan_sha256"))).words


# Pictures


def _pictures(path: Path) -> list[str]:
    data, folder = certificate.load(path), path.resolve().parent.parent
    with certificate.undamaged(path):
        return certificate.check_pictures(path) or [*_check_files(data, folder)]


def _check_files(data: Row, folder: Path) -> Iterator[str]:
    """Whether the session's own files say what the certificate does."""
    try:
        settings = load(folder)
    except SettingsError as error:
        yield f"The session's settings can't be read: {error}"
        return
    if plain(settings.question()) != data["settings"]:
        yield "session.yaml has other settings than the certificate."
    if not (stamped := stamp.check(folder, data["plan_sha256"])).holds:
        yield stamped.words
    paths = [folder / PLAN, *added_plans(folder)]
    plans = [data["plan"], *(row["plan"] for row in data.get("additions", ()))]
    if data["duel"] or data["pairs"] or paths[0].exists():
        for place, plan in zip(paths, plans, strict=False):
            # A session that was judged again is held to what its settings plan, and has none on disk.
            if place.exists() and _read(place) != plan:
                yield f"{place.relative_to(folder).as_posix()} is not the plan that the certificate has."
        if len(paths) != len(plans):
            yield f"The session planned {len(paths)} duels of its settings, the certificate has {len(plans)}."
        yield from _check_follows(data, folder)
    yield from _check_ledger(data, folder)


def _check_follows(data: Row, folder: Path) -> Iterator[str]:
    """Whether the plan is the one that settings and prompts give."""
    plan, settings = data["plan"], load(folder)
    asked, seeds = settings.confirmation, settings.seeds
    given: dict[str, Any] = {} if (folder / PLAN).exists() else {"edition": EDITION}
    given |= {
        "alpha": asked.alpha,
        "live_share": asked.live_share,
        "training_seeds": seeds.training(Round.CONFIRMATION, asked.pairs),
        "order_seed": settings.seed,
        "keep_at_least": asked.keep_at_least,
    }
    if isinstance(split := _read(folder / DATASET_FILE), dict):
        dataset = split_from_json(split)
        pictures = with_own_seeds(seeds.verdict(dataset.verdict_prompts, asked.sample_seeds), dataset)
        given["prompts"] = list(dataset.verdict_prompts)
        given["pictures"] = [[p.text, p.seed] for p in pictures]
        given["themes"] = dataset.shared_themes(dataset.verdict_prompts)
        given["plain"] = [[p.text, p.seed] for p in keep_pictures(dataset, seeds, asked.sample_seeds)]
    if shared := plan.get("edition", 1) >= SERIES:
        given |= {"whole_alpha": asked.alpha, "alpha": first_alpha(asked.alpha, earlier_of(plan))}
    if (again := marked(folder)) is not None:
        given |= {"rejudged": again.rejudged, "earlier": [one.as_dict() for one in again.earlier]}
    for name, value in given.items():
        # Plans of earlier editions lack what came later.
        if plan.get(name, None if shared else value) != value and not (name == "order_seed" and plan[name] is None):
            yield f"The plan's {name.replace('_', ' ')} are not those that the session's settings give."
    if data["choosing"]["winner_training_seeds"] > settings.finals.seeds:
        yield "The winner was chosen on more training seeds than the finals had."


def _read(path: Path) -> object:
    try:
        return read_json(path)
    except StorageError:
        return None


def _check_ledger(data: Row, folder: Path) -> Iterator[str]:
    """Whether pairs, left-out seeds, comparisons and votes are those that the session's own files give."""
    if not (folder / LEDGER_FILE).is_file():
        yield f"{LEDGER_FILE} is not in the session's folder, so nobody can tell how its trainings ended."
        return
    plan = DuelPlan.from_dict(data["plan"]) if data["duel"] or data["pairs"] else None
    store = Store(folder)
    try:
        fight = read_fight(folder, store, plan)
        found = calibrate(folder, store, fight.duel)
        second = stages.runner_up(store.results(Round.FINALS)) if load(folder).confirmation.runner_up else None
    finally:
        store.close()
    if plan is not None and plan.others != ((BASELINE, RUNNER_UP) if second else (BASELINE,)):
        yield "The plan's comparisons are not those that the session's settings and finals give."
    fought = [(fight.pairs, fight.left_out), *((added.pairs, added.left_out) for added in fight.additions)]
    for duel, (pairs, left_out) in zip((data, *data.get("additions", ())), fought, strict=False):
        told_pairs = [(row["seed"], tuple(row.get("lost", ()))) for row in duel["pairs"]]
        if told_pairs != [(pair.seed, pair.lost) for pair in pairs]:
            yield "The pairs are not those that the session's ledger has."
        if left_out_of(duel) != left_out:
            yield "The seeds that were left out are not those that the session's ledger gives."
    votes = data["votes"] or {"pictures": (), "voted": ()}
    told = [([row["file"] for row in pair], v) for pair, v in zip(votes["pictures"], votes["voted"], strict=True)]
    cast = zip(found.pictures, found.voted, strict=True) if found else ()
    if told != [([j.sample.path.relative_to(folder).as_posix() for j in pair], v) for pair, v in cast]:
        yield "The votes are not those that were cast; where some came later, write the certificate anew."


# Judgements


def _judgements(path: Path) -> list[str]:
    data, folder = certificate.load(path), path.resolve().parent.parent
    first = _asked(data, folder)
    if isinstance(first, str):
        return [first]
    gaps = [abs(row["score"] - again) for row, again in first]
    if max(gaps, default=0.0) <= TIE_BAND:
        return []
    second = _asked(data, folder)
    assert not isinstance(second, str), "the judge was the same a moment ago"
    apart = np.array([one - other for (_, one), (_, other) in zip(first, second, strict=True)])
    # Two askings differ by the noise of both.
    allowed = max(TIE_BAND, _NOISE * float(np.sqrt(np.mean(apart**2) / 2)))
    return [
        f"{row['file']} was judged {judged(row['score'])}; the same judge now says {judged(again)}."
        for (row, again), gap in zip(first, gaps, strict=True)
        if gap > allowed
    ]


def _asked(data: Row, folder: Path) -> list[tuple[Row, float]] | str:
    """Each judgement with what the session's judge says now, with nothing remembered; why that can't be, in words."""
    settings = load(folder)
    foreign.heed(settings, folder)
    if not (folder / DATASET_FILE).is_file():
        raise CertificateError(
            "the judge compares with the training pictures, and which these were is gone",
            path=folder / DATASET_FILE,
            remedy="Restore it from a copy.",
        )
    context, dataset = resolve(settings, folder), split_from_json(read_json(folder / DATASET_FILE))
    before = drawn_in(context.trainer, folder / BEFORE)
    with TemporaryDirectory(prefix="bracket-") as cache:
        judge = session_judge(context.judges, dataset, Path(cache), before)
        try:
            here = f"{judge.name} {judge.fingerprint}"
            if here != data["judge"]:
                return f"The judge was {data['judge']}; here it is {here}, which may score otherwise."
            return [pair for batches in _batches(data) for pair in _nearest(judge, batches, folder)]
        finally:
            judge.close()


def _batches(data: Row) -> Iterator[list[list[Row]]]:
    """Groups of judgements that are asked for together, each in the ways in which the session may have done so: a
    training's pictures at once, a duel's by prompt or by arm. A picture's score may rest on those beside it."""
    for rows in (*(data["duel"] or {}).values(), *data.get("keep", {}).values()):
        by_prompt: dict[str, list[Row]] = {}
        for row in rows:
            by_prompt.setdefault(row["prompt"], []).append(row)
        yield [*by_prompt.values()] if len(by_prompt) > 1 else [list(rows)]
    for duel in (data, *data.get("additions", ())):
        for pair in duel["pairs"]:
            yield from ([rows] for side in SIDES if (rows := pair.get(f"{side}_judgements")))


def _nearest(judge: Judge, batches: Sequence[Sequence[Row]], folder: Path) -> list[tuple[Row, float]]:
    """What the judge says of the groups one by one or, where that is nearer to what it said, all at once."""
    apart = [pair for rows in batches for pair in _scores(judge, rows, folder)]
    if len(batches) == 1 or _farthest(apart) <= TIE_BAND:
        return apart
    return min(apart, _scores(judge, [row for rows in batches for row in rows], folder), key=_farthest)


def _scores(judge: Judge, rows: Sequence[Row], folder: Path) -> list[tuple[Row, float]]:
    samples = [Sample(folder / row["file"], row["prompt"], row["sample_seed"], 0) for row in rows]
    return [(row, judgement.score) for row, judgement in zip(rows, judge.score(samples), strict=True)]


def _farthest(pairs: Sequence[tuple[Row, float]]) -> float:
    gaps = [abs(row["score"] - again) for row, again in pairs]
    return max((math.inf if math.isnan(gap) else gap for gap in gaps), default=0.0)
