"""AI-Toolkit's control database: one for each run, made before it starts.

Its `diffusion_trainer` writes status, info text and step into the table `Job`, and after every step reads from it
whether to stop, to save or to draw. Triggers answer the moment it writes, so that it stops exactly where it should:
nobody has to watch. Order of what it writes, from `DiffusionTrainer`: `step` = updates done; then it reads `stop`,
`save_now` and `sample_now`; saving says "Saving model" and then "Training", drawing "Generating images - i/n", then
"Training"; before the dataset is read it says "Loading dataset", and reads `stop` again when that is done.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bracket.files import storage_errors

_TABLE = """
    CREATE TABLE Job (id TEXT PRIMARY KEY, status TEXT, info TEXT, step INTEGER, stop INTEGER, return_to_queue INTEGER,
                      save_now INTEGER, sample_now INTEGER, speed_string TEXT, reached INTEGER)
"""
_AT_STEP = """
    CREATE TRIGGER at_step AFTER UPDATE OF step ON Job WHEN NEW.reached = 0 AND NEW.step >= {step}
    BEGIN UPDATE Job SET save_now = 1, sample_now = {draws:d}, reached = 1 WHERE id = NEW.id; END
"""
_STOP = """
    CREATE TRIGGER then_stop AFTER UPDATE OF info ON Job WHEN NEW.reached = 1 AND {when}
    BEGIN UPDATE Job SET stop = 1, reached = 2 WHERE id = NEW.id; END
"""
_WHEN = {
    "drawn": "NEW.info = 'Training' AND OLD.info LIKE 'Generating images%'",
    "saved": "NEW.info = 'Training' AND OLD.info = 'Saving model'",
    "cached": "NEW.info = 'Loading dataset'",
}


@dataclass(frozen=True)
class Stop:
    """Where a run is to stop: once it has "saved" at `step`, has "drawn" (after saving at `step`, or its first pictures
    where `step` is 0), or has "cached" its dataset."""

    when: Literal["saved", "drawn", "cached"]
    step: int = 0


def make_control(database: Path, job: str, stop: Stop | None = None) -> None:
    """Makes the database anew, with one row for `job`.

    Raises:
        StorageError: it can't be written.
    """
    with storage_errors(database):
        database.parent.mkdir(parents=True, exist_ok=True)
        for end in ("", "-journal", "-wal", "-shm"):
            database.with_name(database.name + end).unlink(missing_ok=True)
    with closing(sqlite3.connect(database)) as control, control:
        control.execute(_TABLE)
        reached = 1 if stop and not stop.step else 0
        control.execute("INSERT INTO Job VALUES (?, 'queued', '', 0, 0, 0, 0, 0, '', ?)", (job, reached))
        if stop and stop.step:
            control.execute(_AT_STEP.format(step=int(stop.step), draws=stop.when == "drawn"))
        if stop:
            control.execute(_STOP.format(when=_WHEN[stop.when]))
