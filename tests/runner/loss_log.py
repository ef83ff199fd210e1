"""Writes a `loss_log.db` as AI-Toolkit does."""

from __future__ import annotations

import sqlite3
from pathlib import Path


class Log:
    """A loss log made as AI-Toolkit 0.12 makes it: same tables, WAL, upserts, and pruning when it resumes."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA foreign_keys=ON")

    def tables(self) -> Log:
        self.database.executescript("""
            CREATE TABLE IF NOT EXISTS steps (step INTEGER PRIMARY KEY, wall_time REAL NOT NULL);
            CREATE TABLE IF NOT EXISTS metric_keys (
                key TEXT PRIMARY KEY, first_seen_step INTEGER, last_seen_step INTEGER);
            CREATE TABLE IF NOT EXISTS metrics (
                step INTEGER NOT NULL, key TEXT NOT NULL, value_real REAL, value_text TEXT, PRIMARY KEY (step, key),
                FOREIGN KEY (step) REFERENCES steps(step) ON DELETE CASCADE);
            CREATE INDEX IF NOT EXISTS idx_metrics_key_step ON metrics (key, step);
        """)
        return self

    def write(self, step: int, at: float, **values: float | str | None) -> None:
        self.database.execute("BEGIN")
        self.database.execute(
            "INSERT INTO steps VALUES (?, ?) ON CONFLICT(step) DO UPDATE SET wall_time=excluded.wall_time", (step, at)
        )
        for key, value in values.items():
            text = value if isinstance(value, str) else None
            self.database.execute(
                "INSERT INTO metrics VALUES (?, ?, ?, ?) ON CONFLICT(step, key) DO UPDATE SET "
                "value_real=excluded.value_real, value_text=excluded.value_text",
                (step, key.replace("__", "/"), None if text else value, text),
            )
        self.database.execute("COMMIT")

    def prune(self, step: int) -> None:
        self.database.execute("DELETE FROM steps WHERE step > ?", (step,))
