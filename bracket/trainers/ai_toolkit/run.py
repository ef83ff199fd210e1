"""Runs AI-Toolkit up to a point that its control database knows, and ends with 0 there.

    python run.py --db CONTROL.db [--saved PATH] [--forget LOSS_LOG.db STEP] -- COMMAND...

The triggers in the database ask the trainer to save, draw and stop (see `control`). It then ends with 1 and
a traceback, as after any error; this turns such an end into 0 if the database says that the point was reached, and
what `--saved` names (a path, without what the trainer adds to it) is there. `--forget` takes the metrics of the one
step that was trained after the checkpoint out of the log.

Only the standard library: it runs under the trainer's Python.
"""

from __future__ import annotations

import argparse
import glob
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Runs AI-Toolkit up to a point its control database knows.")
    parser.add_argument("--db", required=True)
    parser.add_argument("--saved", default="")
    parser.add_argument("--forget", nargs=2, metavar=("LOG", "STEP"))
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    code = run(options.command)
    if not was_reached(Path(options.db)):
        return INTERRUPTED if code == 0 else code  # AI-Toolkit ends with 0 when it is interrupted
    if options.saved and not is_saved(Path(options.saved)):
        print(f"bracket: the trainer stopped, but did not save {options.saved}", file=sys.stderr)
        return code or 1
    if options.forget:
        forget(Path(options.forget[0]), int(options.forget[1]))
    return 0


def run(command: list[str]) -> int:
    """The command's exit code; 128 + n when signal n ended it. It is in our process group, so an interrupt reaches it
    by itself, and a second one would break its clean-up; a termination is passed on."""
    for name in ("SIGINT", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: None)  # not SIG_IGN, which the command would inherit
    with subprocess.Popen(command) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        code = process.wait()
    return code if code >= 0 else 128 - code


def was_reached(database: Path) -> bool:
    """Whether the trainer came to the point where it was asked to stop, and stopped."""
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as control:
            row = control.execute("SELECT status, reached FROM Job").fetchone()
    except sqlite3.Error:
        return False
    return row is not None and row[0] == "stopped" and row[1] == 2


def is_saved(path: Path) -> bool:
    """Whether `path` is there as a folder, a file, or one file for each expert."""
    return any(path.parent.glob(f"{glob.escape(path.name)}*"))


def forget(log: Path, step: int) -> None:
    """Takes metrics from `step` on out of a loss log."""
    if not log.is_file():
        return
    with closing(sqlite3.connect(log, timeout=30)) as database, database:
        for table in ("metrics", "steps"):
            database.execute(f"DELETE FROM {table} WHERE step >= ?", (step,))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
