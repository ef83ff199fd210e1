from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bracket.session import view
from bracket.session.control import running_process
from tests.ui.browser import launched
from tests.ui.made import done_session, running_session

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runs folder with a session that is done and one that this very process runs."""
    folder = tmp_path_factory.mktemp("runs")
    done_session(folder)
    live = running_session(folder)
    yield folder
    assert running_process(live) is not None, "a test stopped the session that others look at"


@pytest.fixture
def own(runs: Path, tmp_path: Path) -> Path:
    """The session that is done, once more: for a test that changes it."""
    return Path(shutil.copytree(runs / "zorp", tmp_path / "runs" / "zorp"))


@pytest.fixture
def done(runs: Path) -> view.SessionView:
    return view.read(runs / "zorp")


@pytest.fixture
def live(runs: Path) -> view.SessionView:
    return view.read(runs / "zorp-live")


# For a module, not longer: while it runs, its thread can run no other event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found
