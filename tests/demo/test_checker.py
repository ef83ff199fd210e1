from __future__ import annotations

import numpy as np
import pytest

from bracket.demo.checker import check
from bracket.demo.shapes import COLOURS, SHAPES, Picture, all_specs, draw, random_pictures


@pytest.mark.slow
def test_true_pictures_are_found_true() -> None:
    pictures = random_pictures(np.random.default_rng(5), 80, all_specs(SHAPES))
    seen = [check(i, p.shape, p.colour, p.background) for p, i in zip(pictures, draw(pictures), strict=True)]
    assert np.mean([s.shape_right for s in seen]) >= 0.99
    assert all(s.colours_right for s in seen)
    assert min(s.truth for s in seen) > 0.75


@pytest.mark.parametrize("asked", [s for s in SHAPES if s != "star"])
def test_a_star_is_no_other_shape(asked: str) -> None:
    (image,) = draw([Picture("star", "red", "blue", "big", 0, 0, 0.75)])
    star, other = check(image, "star", "red", "blue"), check(image, asked, "red", "blue")
    assert star.seen == other.seen == "star"
    assert not other.shape_right
    assert other.shape_iou < star.shape_iou - 0.1


def test_wrong_colours_are_wrong() -> None:
    (image,) = draw([Picture("star", "red", "blue", "big", 0, 0, 0.75)])
    assert check(image, "star", "red", "blue").colour == pytest.approx(1, abs=0.05)
    swapped = check(image, "star", "blue", "red")
    assert swapped.colours_right  # the same two colours ...
    assert not swapped.shape_right or swapped.shape_iou < 0.6  # ... but not in their places
    green = check(image, "star", "green", "blue")
    assert (green.colours_right, green.shape_iou) == (False, 0)
    assert green.truth == 0


def test_an_empty_picture_has_no_right_colours() -> None:
    blank = np.full((64, 64, 3), COLOURS["blue"], np.uint8)
    assert not check(blank, "star", "red", "blue").colours_right


def test_blur_shows_in_the_edge_and_noise_in_everything() -> None:
    (image,) = draw([Picture("square", "white", "black", "big", 0, 0, 0.75)])
    soft = image.astype(np.float32)
    for axis in (0, 1):
        soft = sum(np.roll(soft, step, axis) for step in range(-4, 5)) / 9
    crisp, blurred = check(image, "square", "white", "black"), check(soft.astype(np.uint8), "square", "white", "black")
    assert blurred.edge < crisp.edge - 0.1
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert check(noise, "square", "white", "black").truth < 0.2
