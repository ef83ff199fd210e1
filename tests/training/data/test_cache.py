from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bracket.errors import DatasetError
from bracket.training.config.schema import DataSection, ModelSection
from bracket.training.data.cache import Cache, Shelf, read
from bracket.training.data.pictures import find_items
from bracket.training.model.klein import Base


class CountingBase(Base):
    """A base that says what it was asked to encode."""

    def __init__(self, model: Path) -> None:
        section = ModelSection(path=str(model), text_length=16, text_layers=(1, 2, 3))
        super().__init__(section, torch.device("cpu"), torch.float32)
        self.encoded: list[Any] = []

    def encode_text(self, text: str) -> torch.Tensor:
        self.encoded.append(text)
        return super().encode_text(text)

    def encode_picture(self, pixels: torch.Tensor) -> torch.Tensor:
        self.encoded.append(tuple(pixels.shape))
        return super().encode_picture(pixels)


@pytest.fixture
def fill(model: Path, pictures: Path, tmp_path: Path) -> tuple[Path, Callable[..., list[Any]]]:
    """A copy of the pictures, and a function that fills a cache from it and says what had to be made."""
    folder = tmp_path / "pictures"
    shutil.copytree(pictures, folder)

    def run(**data: Any) -> list[Any]:
        base = CountingBase(model)
        items, _ = find_items(DataSection(folder=folder, **{"resolution": 64, **data}))
        Cache(tmp_path / "cache").fill(base, items, [i.caption for i in items])
        return base.encoded

    return folder, run


def test_only_what_changed_is_made_again(fill: tuple[Path, Callable[..., list[Any]]]) -> None:
    folder, run = fill
    made = run()
    captions = [m for m in made if isinstance(m, str)]
    assert len(made) - len(captions) == 7
    assert sorted(captions) == sorted({p.read_text() for p in folder.glob("*.txt")})
    assert run() == []
    (folder / "0.txt").write_text("another caption")
    assert run() == ["another caption"]
    shutil.copy(folder / "1.png", folder / "0.png")
    assert run() == [], "a picture of known content is known under any name"
    (folder / "0.png").write_bytes((folder / "0.png").read_bytes() + b"\n")
    assert run() == [(3, 64, 64)]
    assert len(run(resolution=32)) == 7


def test_a_damaged_file_is_made_again(fill: tuple[Path, Callable[..., list[Any]]], tmp_path: Path) -> None:
    _, run = fill
    run()
    broken = next((tmp_path / "cache" / "latents").iterdir())
    broken.write_bytes(broken.read_bytes()[:20])
    assert len(run()) == 1
    assert read(broken).shape[0] == 32
    assert not list((tmp_path / "cache").rglob("*.part*"))


def test_a_picture_that_does_not_decode_leaves_nothing_behind(
    fill: tuple[Path, Callable[..., list[Any]]], tmp_path: Path
) -> None:
    folder, run = fill
    path = folder / "0.png"
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(DatasetError, match=r"0\.png"):
        run()
    assert not list((tmp_path / "cache").rglob("*.part*"))


def test_a_shelf_gives_the_same_from_memory_and_from_disk(
    fill: tuple[Path, Callable[..., list[Any]]], tmp_path: Path
) -> None:
    _, run = fill
    run()
    paths = sorted((tmp_path / "cache" / "text").iterdir())
    device = torch.device("cpu")
    held, unheld = Shelf(paths, device), Shelf(paths, device, limit=0)
    assert torch.equal(held.take([2, 0, 2]), unheld.take([2, 0, 2]))
    assert torch.equal(held.take([1])[0], read(paths[1]))
