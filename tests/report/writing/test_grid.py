from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.demo.shapes import Picture, draw
from bracket.report.writing.grid import open_picture, picture_grid, thumbnail


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.fromarray(draw([Picture("square", "red", "white", "big", 0, 0, 0.7)])[0]).save(path)
    return path


def test_a_grid_keeps_each_picture_in_its_place(red: Path) -> None:
    grid = picture_grid([("lr 1e-3", [red, None]), ("lr 1e-4", [None, red])], ["first", "second"], 128)
    # Label 150, gap 8: centres of the two columns, the two rows counted from below.
    pixels = np.asarray(grid)
    lower, upper = grid.height - 8 - 64, grid.height - 2 * 8 - 128 - 64
    assert pixels[upper, 150 + 64].tolist() == [220, 40, 40]
    assert pixels[lower, 150 + 136 + 64].tolist() == [220, 40, 40]
    assert pixels[lower, 150 + 64].tolist() == pixels[upper, 150 + 136 + 64].tolist() == [0xEC, 0xEE, 0xF0]


def test_tiny_pictures_are_enlarged_by_whole_pixels(tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)).save(path)
    grid = np.asarray(picture_grid([("", [path])], [""], 64))
    row = grid[-8 - 32, 150 : 150 + 64]
    assert set(map(tuple, row.tolist())) == {(0, 0, 0), (255, 255, 255)}


def test_a_row_of_another_length_is_refused(red: Path) -> None:
    with pytest.raises(ValueError, match="row 'a' must have one picture for each of 2 columns"):
        picture_grid([("a", [red])], ["1", "2"], 64)


def test_long_labels_and_prompts_do_not_break_a_grid(red: Path) -> None:
    assert picture_grid([("word " * 90, [red])], ["unbroken" * 40], 64).size == (150 + 72 + 8, picture_grid(
        [("a", [red])], ["b"], 64).height)  # fmt: skip


def test_thumbnails_keep_tiny_pictures_whole(red: Path) -> None:
    made = thumbnail(red, 384)
    assert made is not None
    data, mime, width, height = made
    assert (mime, width, height) == ("image/png", 64, 64)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(Image.open(red)))


def test_thumbnails_shrink_large_pictures(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    noise = np.random.default_rng(0).integers(0, 255, (768, 1024, 3), np.uint8)
    Image.fromarray(noise).resize((1024, 768)).save(path)
    made = thumbnail(path, 256)
    assert made is not None
    data, mime, width, height = made
    assert (mime, width, height) == ("image/jpeg", 256, 192)
    assert len(data) < 60_000


def test_transparent_pictures_lie_on_white(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(path)
    image = open_picture(path)
    assert image is not None
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_a_damaged_picture_is_an_empty_place(tmp_path: Path, red: Path) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes(red.read_bytes()[:60])
    assert open_picture(torn) is None
    assert thumbnail(torn, 64) is None
    assert picture_grid([("", [torn])], [""], 64)
