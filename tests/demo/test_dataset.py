from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.demo.checker import check
from bracket.demo.dataset import write_demo_dataset
from bracket.demo.shapes import COLOURS, held_out_specs
from bracket.errors import DatasetError, StorageError


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def captions(folder: Path) -> list[str]:
    return [p.with_suffix(".txt").read_text().strip() for p in sorted(folder.glob("*.png"))]


@pytest.mark.parametrize("concept", ["star", "heart", "crescent"])
def test_every_picture_shows_what_its_caption_says(tmp_path: Path, concept: str) -> None:
    write_demo_dataset(tmp_path, concept)
    pictures = sorted(tmp_path.rglob("*.png"))
    assert len(pictures) == 32
    for path in pictures:
        _, _, colour, word, _, _, background, _ = path.with_suffix(".txt").read_text().split()
        assert word == "zorp"
        pixels = np.asarray(Image.open(path))
        assert pixels.shape == (64, 64, 3)
        seen = check(pixels, concept, colour, background)
        assert seen.shape_right
        assert seen.colours_right


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    write_demo_dataset(tmp_path)
    search, verdict = lines(tmp_path / "prompts.txt"), lines(tmp_path / "verdict_prompts.txt")
    parts = [captions(tmp_path), captions(tmp_path / "validation"), search, verdict]
    assert [len(p) for p in parts] == [24, 8, 12, 20]
    every = [text for part in parts for text in part]
    assert len({*every}) == 64


def test_keep_prompts_are_known_shapes_the_base_has_not_trained_on(tmp_path: Path) -> None:
    write_demo_dataset(tmp_path)
    held = {f"a {size} {colour} {shape} on a {ground} background" for size, colour, shape, ground in held_out_specs()}
    for name, zorps, keep in (("prompts.txt", 9, 3), ("verdict_prompts.txt", 14, 6)):
        known = [p for p in lines(tmp_path / name) if " zorp " not in p]
        assert (len(lines(tmp_path / name)) - len(known), len(known)) == (zorps, keep)
        assert {*known} <= held
        assert len({p.split()[3] for p in known}) >= 3


def test_colours_and_sizes_are_spread(tmp_path: Path) -> None:
    write_demo_dataset(tmp_path)
    words = [caption.split() for caption in captions(tmp_path)]
    assert Counter(w[2] for w in words) == dict.fromkeys(COLOURS, 3)
    assert Counter(w[1] for w in words) == {"big": 12, "small": 12}
    assert len({w[6] for w in words}) == 8


def test_writing_again_touches_only_what_differs(tmp_path: Path) -> None:
    write_demo_dataset(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")}
    (tmp_path / "zorp-07.txt").write_text("spoiled")
    write_demo_dataset(tmp_path)
    after = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")}
    assert before.keys() == after.keys()
    assert [p.name for p in before if p.is_file() and before[p] != after[p]] == ["zorp-07.txt"]
    assert "zorp" in (tmp_path / "zorp-07.txt").read_text()


def test_a_known_shape_is_no_new_concept(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'circle' is no new concept.*star, heart, crescent"):
        write_demo_dataset(tmp_path / "new", "circle")
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    with pytest.raises(StorageError, match="demo"):
        write_demo_dataset(tmp_path / "demo")
