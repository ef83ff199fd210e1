from __future__ import annotations

from pathlib import Path

import pytest

from bracket.demo.dataset import write_demo_dataset


@pytest.fixture
def own_trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put back after the test what `scripted.play` sets. What is remembered of its timings and spreads goes nowhere."""
    from bracket.session import job
    from bracket.session.planning import plan
    from bracket.session.running import run

    monkeypatch.setattr(job, "make_trainer", job.make_trainer)
    monkeypatch.setattr(run, "session_judge", run.session_judge)
    monkeypatch.setattr(plan, "judge_problems", plan.judge_problems)
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's drawn pictures; no test changes them."""
    return write_demo_dataset(tmp_path_factory.mktemp("data") / "zorp")
