"""A fixture that writes any of the recorded models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.weights.made import shapes_of, write_safetensors

Writer = Callable[..., Path]


@pytest.fixture
def file_of(tmp_path: Path) -> Writer:
    """Writes a recorded model as `name` (under the test's folder)."""

    def write(model: str, name: str = "model.safetensors", prefix: str = "") -> Path:
        return write_safetensors(tmp_path / name, shapes_of(model, prefix))

    return write
