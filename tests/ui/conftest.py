from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bracket.session.control import running_process
from tests.ui.made import done_session, running_session


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runs folder with a session that is done and one that this very process runs."""
    folder = tmp_path_factory.mktemp("runs")
    done_session(folder)
    live = running_session(folder)
    yield folder
    assert running_process(live) is not None, "a test stopped the session that others look at"
