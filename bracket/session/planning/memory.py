"""What earlier sessions of the same preset lend to a new one: found on disk, chosen once, and kept in its folder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import groupby
from math import sqrt
from pathlib import Path
from statistics import median

from bracket.dataset import split_from_json
from bracket.domain import Config, DatasetSplit, Outcome, Round, TrialResult
from bracket.errors import BracketError, StorageError
from bracket.files import read_json, write_json
from bracket.report.words import counted, number
from bracket.search.memory import LIMIT, Borrowed, Data, Earlier, borrow
from bracket.session.asked.judges import judges_of
from bracket.session.asked.settings import FILE as SETTINGS_FILE
from bracket.session.asked.settings import JudgeSettings, ScoreSettings, load
from bracket.session.job import Context
from bracket.session.store import FILE as LEDGER_FILE
from bracket.session.store import SOON, Store

log = logging.getLogger(__name__)

FILE = "memory.json"
"""In a session's folder: what it borrowed when its search began."""
DATASET_FILE = "dataset.json"
NEWEST = 20
"""Sessions of the preset that are read, the newest first."""
WITHOUT = ("random", "nsga2")
"""Strategies that have no use for other sessions' ranks."""


@dataclass(frozen=True)
class Memory:
    """What a session borrows. `sessions` is how many earlier ones of the preset were read, `unread` the names of those
    that could not be."""

    borrowed: tuple[Borrowed, ...] = ()
    sessions: int = 0
    unread: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What was borrowed, in words."""
        left_out = f" Can't be read and left out: {', '.join(self.unread)}." if self.unread else ""
        if not self.sessions:
            return f"No earlier session of this preset to learn from.{left_out}"
        earlier = counted(self.sessions, "earlier session")
        if not self.borrowed:
            return f"Borrows nothing from {earlier} of this preset: too unlike, or outside these bounds.{left_out}"
        by_source: dict[str, list[Borrowed]] = {}
        for one in self.borrowed:
            by_source.setdefault(one.source, []).append(one)
        ranked = sorted(by_source.items(), key=lambda item: (-item[1][0].weight, item[0]))
        named = [f"{name} (weight {number(b[0].weight, 2)}, {counted(len(b), 'config')})" for name, b in ranked]
        lenders = counted(len(named), "earlier session")
        total = counted(len(self.borrowed), "config")
        return f"Borrows {total} from {lenders} of this preset: {', '.join(named)}.{left_out}"


def planned(context: Context) -> str:
    """What a session borrows, in words; "" where it asks for nothing.

    Raises:
        BracketError: the dataset or the session's `memory.json` can't be read.
    """
    s = context.settings.search
    if not s.memory:
        return ""
    if not learns(context):
        return f"The strategy {s.strategy} borrows nothing from earlier sessions."
    return told(context.folder) or _found(context.heed()).sentence


def session_memory(context: Context) -> Memory | None:
    """What this session borrowed: chosen when its search begins and kept, so that a resume proposes the same whatever
    became of the earlier sessions. None where it asks for nothing.

    Raises:
        StorageError: `memory.json` is damaged or can't be written.
    """
    path = context.folder / FILE
    if not learns(context):
        return None
    if path.exists():
        return _kept(path)
    memory = _found(context)
    write_json(path, asdict(memory))
    log.info("%s", memory.sentence)
    return memory


def told(folder: Path) -> str:
    """What the session in `folder` borrowed, in words; "" where it asked for nothing.

    Raises:
        StorageError: `memory.json` is damaged.
    """
    return _kept(folder / FILE).sentence if (folder / FILE).exists() else ""


def learns(context: Context) -> bool:
    """Whether the session asks for earlier ones and its strategy can use them."""
    s = context.settings.search
    return s.memory and s.strategy not in WITHOUT


def earlier_sessions(
    runs: Path, preset: str, itself: Path | None = None
) -> tuple[dict[str, tuple[Earlier, ...]], tuple[str, ...]]:
    """The rungs of the newest sessions of a preset under `runs`, by the session's name, finished or not; and the names
    of those that could not be read.

    Args:
        itself: a session's folder that is not looked at.
    """
    found: dict[str, tuple[Earlier, ...]] = {}
    unread = []
    ledgers = {path: path.stat().st_mtime for path in runs.glob(f"*/{LEDGER_FILE}") if path.parent.name[0] != "."}
    for ledger in sorted(ledgers, key=lambda path: (-ledgers[path], path)):
        folder = ledger.parent
        if folder == itself or len(found) == NEWEST:
            continue
        rungs = _rungs(folder, preset, _stamp(folder))
        if rungs is None:
            unread.append(folder.name)
        elif rungs:
            found[folder.name] = rungs
    return found, tuple(sorted(unread))


def data_of(split: DatasetSplit) -> Data:
    """What a dataset's likeness is measured by: no picture is opened."""
    pictures = [*split.train, *split.validation]
    edges = [sqrt(p.width * p.height) for p in pictures if p.width]
    named = sorted((p.path.name, p.width, p.height, p.caption) for p in pictures)
    digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16]
    edge = median(edges) if edges else 0.0
    return Data(len(pictures), edge, str(split.folder), digest, split.trigger_word, split.class_word)


def judge_of(judges: Sequence[JudgeSettings], score: ScoreSettings) -> str:
    """A text that is equal for sessions whose scores are made alike."""
    counting = ("kind", "model", "weights", "share", "rubric", "references")
    asked = [j.model_dump(mode="json", include=set(counting)) for j in judges]
    return json.dumps([asked, score.model_dump(mode="json")], sort_keys=True)


def _found(context: Context) -> Memory:
    s = context.settings
    found, unread = earlier_sessions(context.folder.parent, s.preset, context.folder)
    first, *_ = s.search_rungs()
    borrowed = borrow(
        [rung for rungs in found.values() for rung in rungs],
        context.knobs,
        steps=first.steps,
        data=data_of(context.dataset),
        judge=judge_of(context.judges, s.score),
        seed=s.seed,
        limit=min(LIMIT, first.configs),  # more would never be in the sampler's study at once
    )
    return Memory(borrowed, len(found), unread)


def _kept(path: Path) -> Memory:
    data = read_json(path)
    try:
        return Memory(tuple(Borrowed(**one) for one in data["borrowed"]), data["sessions"], tuple(data["unread"]))
    except (KeyError, TypeError) as error:
        raise StorageError(
            "what this session borrowed is damaged", path=path, remedy="Restore the file from a copy."
        ) from error


def _stamp(folder: Path) -> tuple[int, ...]:
    """Another one when something of the session changed that `_rungs` reads."""
    paths = [folder / name for name in (SETTINGS_FILE, LEDGER_FILE, DATASET_FILE)]
    return tuple(n for p in paths if p.exists() for n in (p.stat().st_mtime_ns, p.stat().st_size))


@lru_cache(maxsize=512)
def _rungs(folder: Path, preset: str, stamp: tuple[int, ...]) -> tuple[Earlier, ...] | None:
    """The rungs of the session in `folder`: none when it is of another preset or has no result, None when it can't be
    read. `stamp` is there for the cache: a plan follows every key that is pressed in the form."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        settings = load(folder, to_read=True)
        if settings.preset != preset:
            return ()
        store = Store(folder, patience=SOON)
        try:
            results = store.results(Round.SEARCH)
        finally:
            store.close()
        data = data_of(split_from_json(read_json(folder / DATASET_FILE)))
        judge = judge_of(judges_of(settings.judges, settings.load_preset()), settings.score)
    except (BracketError, OptunaError, SQLAlchemyError, KeyError, TypeError, ValueError) as error:
        log.warning("the earlier session %s can't be read: %s", folder.name, error)
        return None
    lengths = groupby(sorted(results, key=_length), key=_length)
    made = [Earlier(folder.name, steps, _tried(group), data, judge) for (_, steps), group in lengths]
    return tuple(rung for rung in made if rung.tried)


def _length(result: TrialResult) -> tuple[int, int]:
    return result.trial.rung, result.trial.steps


def _tried(results: Iterable[TrialResult]) -> tuple[tuple[Config, float | None], ...]:
    """Config and score of what says something of its settings."""
    return tuple(
        (r.trial.config, r.score.total if r.score else None)
        for r in results
        if r.score or r.outcome is Outcome.DIVERGED
    )
