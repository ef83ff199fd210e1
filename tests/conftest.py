from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.nearest import nearest_to_changes
from tests.runner.help import having

RUN = "TESTS_OF"
"""In the environment of everything that a run of the tests starts."""


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "only quick tests, of the files nearest to what changed since the last commit"
    parser.addoption("--quick", action="store_true", help=words)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if config.getoption("--quick") and collection_path.name.startswith("test_"):
        return collection_path not in nearest_to_changes() or None
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        items[:] = [i for i in items if not any(i.get_closest_marker(m) for m in ("slow", "gui", "e2e"))]


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault(RUN, f"{os.getpid()}-{time.time_ns()}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing outlives the tests: what a minute after them still runs is named, and they have failed."""
    if hasattr(session.config, "workerinput"):
        return
    until = time.monotonic() + 60
    while (left := having(RUN, os.environ[RUN])).keys() - {os.getpid()} and time.monotonic() < until:
        time.sleep(0.5)
    left.pop(os.getpid(), None)
    for number, command in left.items():
        print(f"\nThis outlived the tests: {number} {command[:300]}")
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What tests measure of this machine must not end in its user's plans, nor what it knows in a test's."""
    names = ("BRACKET_CACHE", "BRACKET_CONFIG")
    before = {name: os.environ.get(name) for name in names}
    folder = tmp_path_factory.mktemp("cache")
    os.environ |= {"BRACKET_CACHE": str(folder), "BRACKET_CONFIG": str(tmp_path_factory.mktemp("config"))}
    yield folder
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


settings.register_profile("bracket", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("bracket")
