from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings


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
