from __future__ import annotations

import numpy as np
import pytest

from bracket.demo import shapes
from bracket.demo.shapes import BASE_SHAPES, COLOURS, JITTER, NEW_SHAPES, SHAPES, SIZES, Picture, signed_distance


def at(shape: str, x: float, y: float) -> float:
    return float(signed_distance(shape, np.array([x], np.float32), np.array([y], np.float32))[0])


@pytest.mark.parametrize(
    ("shape", "x", "y", "distance"),
    [
        ("circle", 0, 0, -1),
        ("circle", 3, 4, 4),
        ("square", 0.5, 0.2, -0.35),
        ("square", 1.85, 0, 1),
        ("ring", 0, 0, 0.48),
        ("ring", 0.74, 0, -0.26),
        ("cross", 0, 0, -0.34),
        ("cross", 0.6, 0.6, 0.26),
        ("triangle", 0, -1, 0),
        ("triangle", 0, 0, -0.5),
        ("crescent", 0.45, 0, 0.8),
        ("crescent", -0.6, 0, -0.25),
    ],
)
def test_distances_by_hand(shape: str, x: float, y: float, distance: float) -> None:
    assert at(shape, x, y) == pytest.approx(distance, abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_an_inside_and_stays_within_its_radius(shape: str) -> None:
    axis = np.linspace(-1.5, 1.5, 121, dtype=np.float32)
    gx, gy = np.meshgrid(axis, axis)
    inside = signed_distance(shape, gx, gy) < 0
    assert 0.1 < inside.mean() * 9 / np.pi < 1.01  # share of the unit disc
    assert not inside[np.maximum(np.abs(gx), np.abs(gy)) > 1.13].any()


def test_star_and_heart_point_the_right_way() -> None:
    assert at("star", 0, -0.9) < 0 < at("star", 0, 0.9)  # one point up, a notch down
    assert at("heart", 0, 0.85) < 0 < at("heart", 0, -0.65)  # the tip down, the cleft up


def test_an_unknown_shape_is_named() -> None:
    with pytest.raises(ValueError, match="'blob'; known: circle"):
        at("blob", 0, 0)


def test_a_drawn_circle_has_its_area_colours_and_soft_edge() -> None:
    (image,) = shapes.draw([Picture("circle", "red", "blue", "big", 0, 0, 0.5)])
    red = (image == COLOURS["red"]).all(-1)
    blue = (image == COLOURS["blue"]).all(-1)
    mixed = ~red & ~blue
    assert image.dtype == np.uint8
    assert image.shape == (64, 64, 3)
    assert red.sum() + mixed.sum() / 2 == pytest.approx(np.pi * 16**2, rel=0.02)
    assert 40 < mixed.sum() < 140  # one pixel along a circumference of 100
    assert red[32, 32]
    assert blue[0, 0]


def test_drawing_many_is_drawing_each() -> None:
    rng = np.random.default_rng(0)
    pictures = shapes.random_pictures(rng, 20, shapes.all_specs(SHAPES))
    together = shapes.draw(pictures)
    assert all(np.array_equal(together[i], shapes.draw([p])[0]) for i, p in enumerate(pictures))


def test_specs_are_every_combination_of_two_colours() -> None:
    specs = shapes.all_specs()
    assert len({*specs}) == len(specs) == 2 * 8 * 5 * 7
    assert all(colour != background for _, colour, _, background in specs)


def test_held_out_specs_are_fixed_and_cover_the_base_shapes() -> None:
    held = shapes.held_out_specs()
    assert held == shapes.held_out_specs()
    assert len({*held}) == 200
    assert {spec[2] for spec in held} == {*BASE_SHAPES}
    assert not {spec[2] for spec in held} & {*NEW_SHAPES}


def test_pictures_stay_in_the_frame() -> None:
    rng = np.random.default_rng(1)
    for spec in shapes.all_specs(SHAPES):
        p = shapes.picture_of(spec, rng)
        low, high = SIZES[p.size]
        assert low <= p.radius <= high
        assert max(abs(p.x), abs(p.y)) <= JITTER
        assert p.radius * 1.13 + JITTER < 1


def test_captions_say_size_colours_and_shape() -> None:
    picture = Picture("star", "red", "blue", "small", 0, 0, 0.5)
    assert picture.caption() == "a small red star on a blue background"
    assert picture.caption("zorp") == "a small red zorp on a blue background"
