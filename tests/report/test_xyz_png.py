"""A grid as a file: where pictures stand in it, and what it remembers of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.errors import SettingsError, StorageError
from bracket.report import xyz
from bracket.report.xyz import png
from tests.report.test_xyz import PROMPTS, Shown, drawn, trial

RED, BLUE = (220, 40, 40), (40, 80, 220)
META = {"session": "zorb", "preset": "Embedded demo", "judge": "clip (scorer)"}


def painted(
    folder: Path,
    name: str,
    rate: float,
    colour: tuple[int, int, int],
    size: tuple[int, int] = (64, 64),
    **other: object,
) -> Shown:
    made = trial(name, rate, **{"samples": drawn(str(folder / name)), **other})  # type: ignore[arg-type]
    for sample in made.samples:
        sample.path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(sample.path)
    return made


def grid_of(trials: list[Shown], **names: str) -> xyz.Grid:
    return xyz.build(trials, *xyz.chosen(xyz.axes_of(trials), **names))


def areas(path: Path, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(Image.open(path).convert("RGB")) == colour).all(axis=2).sum())


def test_every_picture_is_drawn_in_its_column(tmp_path: Path) -> None:
    trials = [painted(tmp_path, "a", 1e-4, RED), painted(tmp_path, "b", 1e-3, BLUE)]
    made = xyz.write_png(
        grid_of(trials), tmp_path / "new" / "grid.png", title="Learning rate × prompt", metadata=META, side=128
    )
    image = np.asarray(Image.open(made.path))
    assert (made.width, made.height, made.side, made.notes) == (image.shape[1], image.shape[0], 128, ())
    assert areas(made.path, RED) == areas(made.path, BLUE) == 3 * 128 * 128
    red, blue = ((image == colour).all(axis=2).nonzero()[1] for colour in (RED, BLUE))
    assert red.max() < blue.min()
    assert [p.name for p in made.path.parent.iterdir()] == ["grid.png"], "nothing half-written stays"


def test_the_file_tells_what_made_each_picture(tmp_path: Path) -> None:
    trials = [painted(tmp_path, "a", 1e-4, RED), painted(tmp_path, "b", 1e-3, BLUE, total=None)]
    made = xyz.write_png(grid_of(trials), tmp_path / "grid.png", title="Größe × 星", metadata=META)
    text = Image.open(made.path).text  # type: ignore[attr-defined]
    told = json.loads(text["bracket"])
    assert (told["title"], told["session"], told["shown"]) == ("Größe × 星", "zorb", "search, 120 steps")
    assert told["axes"]["x"] == {"name": "learning_rate", "title": "learning rate", "values": ["1e-4", "1e-3"]}
    assert told["axes"]["y"]["values"] == list(PROMPTS)
    assert told["cells"][0] == {
        "x": 0, "y": 0, "z": 0, "trial": "a", "config": {"learning_rate": 1e-4, "rank": 8}, "training_seed": 7,
        "steps": 120, "score": 0.5, "matched": 1,
        "pictures": [{"prompt": PROMPTS[0], "sample_seed": 1, "step": 120}],
    }  # fmt: skip
    assert told["cells"][1]["score"] is None
    assert told["scales"]["score"] == "0 to 1, lower is better", "files keep their numbers and say which they are"
    assert str(tmp_path) not in text["bracket"] + text["Description"], "a file to pass on names no folders"
    assert "a: lr 1e-4, rank 8, training seed 7, 120 steps, score 50.0" in text["Description"]
    assert text["Title"] == "Größe × 星"


def test_a_large_grid_shrinks_to_what_viewers_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "LARGEST", 700)
    trials = [painted(tmp_path, f"t{i}", 1e-4 * (i + 1), RED) for i in range(5)]
    made = xyz.write_png(grid_of(trials), tmp_path / "grid.png", title="Grid", metadata=META, side=256)
    assert max(made.width, made.height) <= 700 and made.side < 256
    assert made.notes == (f"Pictures are {made.side} instead of 256 px, so that no side is longer than 700 px.",)
    monkeypatch.setattr(png, "LARGEST", 200)
    with pytest.raises(SettingsError, match="larger than 200 × 200 pixels"):
        xyz.write_png(grid_of(trials), tmp_path / "other.png", title="Grid", metadata=META)
    assert not (tmp_path / "other.png").exists()


def test_planes_stand_beside_each_other_where_that_is_squarer(tmp_path: Path) -> None:
    trials = [painted(tmp_path, f"t{i}", rate, RED, rank=rank) for i, (rate, rank) in enumerate([(1e-4, 4), (1e-3, 8)])]
    tall = grid_of(trials, x="lr", y="prompt", z="rank")
    made = xyz.write_png(tall, tmp_path / "grid.png", title="Grid", metadata=META, side=64)
    assert made.width > made.height, "two planes of two columns and three rows"
    assert areas(made.path, RED) == 2 * 3 * 64 * 64


def test_several_pictures_share_a_cell_by_whole_pixels(tmp_path: Path) -> None:
    trials = [painted(tmp_path, "a", 1e-4, RED), painted(tmp_path, "b", 1e-3, BLUE)]
    grid = grid_of(trials, x="lr", y="nothing")
    assert grid.slots == 3
    made = xyz.write_png(grid, tmp_path / "grid.png", title="Grid", metadata=META, side=300)
    assert areas(made.path, RED) == 3 * 128 * 128, "two across: 149 pixels each, of which 128 are twice 64"


def test_wide_pictures_get_wide_places(tmp_path: Path) -> None:
    trials = [painted(tmp_path, "a", 1e-4, RED, (320, 160)), painted(tmp_path, "b", 1e-3, BLUE, (320, 160))]
    made = xyz.write_png(grid_of(trials), tmp_path / "grid.png", title="Grid", metadata=META, side=200)
    assert areas(made.path, RED) == 3 * 200 * 100


def test_a_picture_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    trials = [painted(tmp_path, "a", 1e-4, RED), painted(tmp_path, "b", 1e-3, BLUE)]
    trials[1].samples[0].path.write_bytes(b"torn")
    made = xyz.write_png(grid_of(trials), tmp_path / "grid.png", title="Grid", metadata=META)
    assert made.notes == ("1 picture could not be read; its place is empty.",)


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    trials = [painted(tmp_path, "a", 1e-4, RED), painted(tmp_path, "b", 1e-3, BLUE)]
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        xyz.write_png(grid_of(trials), tmp_path / "file" / "grid.png", title="Grid", metadata=META)


def test_long_labels_do_not_break_it(tmp_path: Path) -> None:
    long = "a photo of zorb " * 40
    samples = [replace(s, prompt=long) for s in drawn(str(tmp_path / "a"))[:1]]
    trials = [painted(tmp_path, "a", 1e-4, RED, samples=samples), painted(tmp_path, "b", 1e-3, BLUE)]
    for names in ({"x": "prompt", "y": "lr"}, {"x": "lr", "y": "prompt"}, {"z": "prompt", "y": "nothing"}):
        made = xyz.write_png(
            grid_of(trials, **names), tmp_path / "grid.png", title=long, metadata={"session": long}, side=96
        )
        assert made.width < 2000 and made.height < 3000
