"""Launches of small real programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bracket.domain import Launch
from tests.runner.help import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A launch of Python source, with files and log in the test's folder."""

    def make(source: str, *arguments: str, **fields: object) -> Launch:
        path = tmp_path / "program.py"
        path.write_text(source)
        log = tmp_path / "logs" / "launch.log"
        return Launch((), (sys.executable, "-S", str(path), *arguments), tmp_path, log, **fields)  # type: ignore[arg-type]

    return make
