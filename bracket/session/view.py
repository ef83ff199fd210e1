"""A session as anybody may read it while it runs: the app, `status`, tests. Reading never changes a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bracket.domain import Config, Outcome, Round, Sample, Score

State = Literal["idle", "running", "stopping", "stopped", "done", "failed"]


@dataclass(frozen=True)
class TrialView:
    """One trial as it stands. `state` is waiting, training, sampling, judging or the outcome's name."""

    id: str
    round: Round
    origin: str
    config: Config
    label: str
    seed: int
    steps: int
    state: str
    step: int = 0
    loss: float | None = None
    outcome: Outcome | None = None
    cause: str = ""
    score: Score | None = None
    validation_loss: float | None = None
    axes: Mapping[str, float] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    folder: Path = Path()


@dataclass(frozen=True)
class SessionView:
    """A session's state, progress and trials. `eta` in seconds; None while nothing was measured."""

    name: str
    folder: Path
    state: State
    phase: str
    """checks, prepare, search, finals, confirmation, report or done."""
    done: int
    planned: int
    eta: float | None
    message: str
    """What it does now, or why it failed and what to do."""
    trials: tuple[TrialView, ...]
    verdict: str = ""
    """The verdict's sentence (Markdown), once there is one."""
    report: Path | None = None
    """report/report.html, once it was written."""
