from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What tests measure of this machine must not end in its user's plans, nor what it knows in a test's."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("BRACKET_CACHE")
    os.environ["BRACKET_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["BRACKET_CACHE"]
    else:
        os.environ["BRACKET_CACHE"] = before


settings.register_profile("bracket", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("bracket")
