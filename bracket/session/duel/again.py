"""Earlier tries of a session's question among its neighbours in the runs folder: found by what was asked, not by name.

The question is the pictures, whatever they are called and wherever they lie, the preset's trainer, model and method,
its weights, and the baseline. A session that was deleted or moved away is not found. What was read of a neighbour is
remembered until its plans change.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path, PurePath

from bracket.dataset import contents_of
from bracket.domain import Config
from bracket.errors import BracketError, StorageError, printable
from bracket.files import read_json, write_json
from bracket.reading import Unreadable, read_text
from bracket.report.claims.again import Earlier, Standing, could_claim, could_claim_file, first_alpha
from bracket.search.rungs import key
from bracket.session.asked.settings import load
from bracket.session.duel.more import added_plans, read_plans
from bracket.session.duel.plan import PLAN, read_plan
from bracket.session.job import Context
from bracket.session.view import VERDICT_FILE

log = logging.getLogger(__name__)

REJUDGED = "rejudged.json"
"""In the folder of a session that was judged again: whose trainings these are, and where that one stood."""
_LONGEST = 200
"""Characters of an outcome."""


@dataclass(frozen=True)
class _Tried:
    """A neighbour's tries. `asked` tells the question of plans from before they had a family."""

    family: str
    asked: tuple[str, str, str]
    earlier: Earlier


def standing_of(context: Context) -> Standing:
    """Where a session stands: as its plan or its mark says, else after the tries that are found now.

    Raises:
        StorageError: its plan or its mark is damaged.
    """
    folder, s = context.folder, context.settings
    whole = s.confirmation.alpha
    if (kept := marked(folder)) is not None:
        return kept
    if (plan := read_plan(folder)) is not None:
        return Standing.of(plan.as_dict())
    family = _family(context)
    earlier = tries_beside(folder, family, _asked(s.preset, s.dataset.folder, context.baseline))
    return Standing(whole, first_alpha(whole, earlier), earlier, family)


def standing(context: Context) -> Standing:
    """As `standing_of`; as if alone where that can't be said."""
    try:
        return standing_of(context.heed())
    except BracketError:  # said by the checks
        return alone(context)


def alone(context: Context) -> Standing:
    """Where a session stands that has no neighbours."""
    alpha = context.settings.confirmation.alpha
    return Standing(alpha, first_alpha(alpha, ()))


def since(folder: Path) -> tuple[Earlier, ...]:
    """Other sessions' tries of the question that the session in `folder` planned its duel for, up to now.

    Raises:
        SettingsError: its settings can't be read.
        StorageError: its plan is damaged.
    """
    plan, s = read_plan(folder), load(folder)
    return tries_beside(folder, plan.family, _asked(s.preset, s.dataset.folder, plan.baseline)) if plan else ()


def mark(context: Context, old: Path) -> None:
    """Say in a session's folder that it is the session in `old`, judged again.

    Raises:
        StorageError: it can't be written, or the plan in `old` is damaged.
    """
    was = standing_of(replace(context, folder=old))
    earlier = [one.as_dict() for one in was.earlier]
    kept = {"rejudged": old.name, "whole_alpha": was.whole, "family": was.family, "earlier": earlier}
    write_json(context.folder / REJUDGED, kept)


def marked(folder: Path) -> Standing | None:
    """Where a session that was judged again stands; None for any other.

    Raises:
        StorageError: its mark is damaged.
    """
    path = folder / REJUDGED
    if not path.exists():
        return None
    try:
        return Standing.of(read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = "what this session judges again is damaged"
        raise StorageError(f"{what}: {error!r}", path=path, remedy="Restore it from a copy.") from error


def tries_beside(folder: Path, family: str, asked: tuple[str, str, str]) -> tuple[Earlier, ...]:
    """The tries of a question among the neighbours of `folder`, the oldest first."""
    found = []
    for path in sorted(folder.parent.glob(f"*/{PLAN}")):
        other = path.parent.parent
        if other == folder or other.name.startswith("."):
            continue
        tried = _tried(other, tuple(_stamps(other)))
        if tried and (tried.family == family if tried.family and family else tried.asked == asked):
            found.append(replace(tried.earlier, outcome=_outcome(other)))
    return tuple(sorted(found, key=lambda one: one.planned))


@lru_cache(maxsize=4096)
def _tried(folder: Path, _plans: tuple[tuple[int, int], ...]) -> _Tried | None:
    """The tries of the session in `folder`; None where there are none, or they can't be read."""
    try:
        settings, plans = load(folder, to_read=True), read_plans(folder)
        written = [plan.as_dict() for plan in plans]
        files, pairs = (sum(map(could, written)) for could in (could_claim_file, could_claim))
        planned = plans[0].planned or _day(folder / PLAN)
    except (BracketError, OSError, ValueError, TypeError, IndexError) as error:
        log.warning("the session %s can't be read, so it does not count as an earlier try: %s", folder.name, error)
        return None
    if not files + pairs:
        return None
    earlier = Earlier(session=printable(folder.name), planned=planned, outcome="", files=files, settings=pairs)
    return _Tried(plans[0].family, _asked(settings.preset, settings.dataset.folder, plans[0].baseline), earlier)


def _stamps(folder: Path) -> Iterator[tuple[int, int]]:
    for path in (folder / PLAN, *added_plans(folder)):
        try:
            found = path.stat()
        except OSError:  # gone since it was listed
            continue
        yield found.st_mtime_ns, found.st_size


def _day(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")


def now() -> str:
    """The moment at which a plan is fixed."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _outcome(folder: Path) -> str:
    """The first sentence of its verdict."""
    try:
        said = read_text(folder / "report" / VERDICT_FILE)
    except (OSError, Unreadable):
        return "no verdict yet"
    return printable(said.replace("**", "").partition(". ")[0])[:_LONGEST]


def _asked(preset: str, folder: str, baseline: Config) -> tuple[str, str, str]:
    return preset, folder, key(baseline)


def _family(context: Context) -> str:
    """Equal for sessions that ask the same; "" where the pictures can't be read any more."""
    try:
        seen = context.seen()
    except BracketError as error:
        log.warning("earlier tries are looked for by the dataset's folder alone: %s", error)
        return ""
    preset = context.preset
    weights = sorted(PurePath(path).name for path in preset.resolve_weights(context.settings.weights).values())
    pictures = contents_of({p.path for p in (*seen.pictures, *seen.validation)})
    asked = [pictures, preset.trainer, preset.model, preset.method, weights, key(context.baseline)]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
