"""Ways to make a picture worse: by what they say, and by the same share at any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bracket.demo.shapes import Picture, draw
from bracket.judges.graded import worsen

STAR = Picture("star", "red", "yellow", "big", 0.02, -0.03, 0.7)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(float)


def drawn(side: int) -> Image.Image:
    return Image.fromarray(draw([STAR], side)[0])


WAYS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "blur": worsen.blur,
    "noise": lambda image, s: worsen.noise(image, s, np.random.default_rng(1)),
    "jpeg": worsen.jpeg,
    "melt": lambda image, s: worsen.melt(image, s, np.random.default_rng(1)),
    "turn_hue": worsen.turn_hue,
    "patch": lambda image, s: worsen.patch(image, Image.new("RGB", (9, 9), "blue"), s, np.random.default_rng(1)),
    "repeat_middle": lambda image, s: worsen.repeat_middle(image, s, np.random.default_rng(1)),
    "darken": worsen.darken,
}


@pytest.mark.parametrize("way", WAYS)
def test_more_is_further_from_the_picture(way: str) -> None:
    image = drawn(64)
    far = [np.abs(pixels(WAYS[way](image, s)) - pixels(image)).mean() for s in (1 / 16, 1 / 4, 1.0)]
    assert 0 < far[0] < far[1] < far[2]


@pytest.mark.parametrize("way", WAYS)
def test_the_same_share_at_any_size_and_shape(way: str) -> None:
    small, large = (WAYS[way](drawn(side), 0.5) for side in (64, 256))
    assert large.size == (256, 256) and large.mode == "RGB"
    far = [np.abs(pixels(i) - pixels(drawn(i.width))).mean() for i in (small, large)]
    assert far[1] == pytest.approx(far[0], rel=0.25) or (way == "jpeg" and 0 < far[1] < far[0])
    assert WAYS[way](Image.new("RGB", (90, 70), "red"), 0.5).size == (90, 70)


def test_patches_cover_the_share() -> None:
    white, black = (Image.new("RGB", (100, 80), c) for c in ("white", "black"))
    patched = worsen.patch(black, white, 0.4, np.random.default_rng(3))
    assert pixels(patched).mean() / 255 == pytest.approx(0.4, abs=0.01)
    assert np.array_equal(worsen.patch(black, white, 1.0, np.random.default_rng(3)), white)


def test_half_a_turn_of_the_hue_makes_red_cyan() -> None:
    assert worsen.turn_hue(Image.new("RGB", (2, 2), (255, 0, 0)), 1.0).getpixel((0, 0)) == pytest.approx(
        (0, 255, 255), abs=6
    )


def test_a_morph_and_a_new_colour_end_where_they_should() -> None:
    assert np.array_equal(worsen.morph(STAR, "ring", 1.0), draw([replace(STAR, shape="ring")])[0])
    assert np.array_equal(worsen.recolour(STAR, "blue", 1.0), draw([replace(STAR, colour="blue")])[0])
    assert np.array_equal(worsen.morph(STAR, "ring", 0.0), worsen.whole(STAR))
    assert np.array_equal(worsen.whole(STAR), draw([STAR])[0])


def test_a_twin_is_of_the_shape_s_colour_and_in_a_corner() -> None:
    small = replace(STAR, radius=0.3)
    changed = np.abs(pixels(worsen.twin(small, 1.0, np.random.default_rng(0))) - pixels(worsen.whole(small))).sum(-1)
    rows, columns = np.nonzero(changed)
    assert len(rows) > 0 and np.ptp(rows) < 16 and np.ptp(columns) < 16
    assert not changed[20:44, 20:44].any()
