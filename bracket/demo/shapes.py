"""Captioned pictures of flat shapes, drawn as signed-distance fields.

Every picture is one shape of one colour on a background of another, so a caption says all there is to see and a
program can check whether a picture shows it (`bracket.demo.checker`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESOLUTION = 64

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (45, 80, 220),
    "yellow": (245, 215, 50),
    "purple": (140, 60, 180),
    "orange": (245, 140, 30),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}
BASE_SHAPES = ("circle", "square", "triangle", "ring", "cross")
"""What the embedded base model was taught to draw."""
NEW_SHAPES = ("star", "heart", "crescent")
"""What it has never seen: the demo's new concepts. The scorer, like a real CLIP, knows the wider world."""
SHAPES = BASE_SHAPES + NEW_SHAPES
SIZES = {"small": (0.46, 0.54), "big": (0.68, 0.78)}
"""Half-extent of the shape as a share of half the picture's side."""
JITTER = 0.08
"""How far the centre may lie from the middle, in the same unit."""

Field = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Picture:
    """One shape on a plain background. `x`, `y` and `radius` are in half-sides (the picture spans -1..1)."""

    shape: str
    colour: str
    background: str
    size: str
    x: float
    y: float
    radius: float

    def caption(self, word: str | None = None) -> str:
        """The picture in words; `word` stands for the shape's name (a trigger word)."""
        return caption(self.size, self.colour, word or self.shape, self.background)


def caption(size: str, colour: str, shape: str, background: str) -> str:
    return f"a {size} {colour} {shape} on a {background} background"


def all_specs(shapes: Sequence[str] = BASE_SHAPES) -> list[tuple[str, str, str, str]]:
    """Every (size, colour, shape, background) with two different colours, in a fixed order."""
    return [c for c in itertools.product(SIZES, COLOURS, shapes, COLOURS) if c[1] != c[3]]


def held_out_specs(n: int = 200, seed: int = 20) -> list[tuple[str, str, str, str]]:
    """The `n` combinations of base shapes that the base model never sees in training."""
    specs = all_specs()
    order = np.random.default_rng(seed).permutation(len(specs))
    return [specs[i] for i in order[:n]]


def picture_of(spec: tuple[str, str, str, str], rng: np.random.Generator) -> Picture:
    """A picture of `spec` at a random place and radius."""
    size, colour, shape, background = spec
    x, y = rng.uniform(-JITTER, JITTER, 2)
    return Picture(shape, colour, background, size, float(x), float(y), float(rng.uniform(*SIZES[size])))


def random_pictures(rng: np.random.Generator, n: int, specs: Sequence[tuple[str, str, str, str]]) -> list[Picture]:
    return [picture_of(specs[i], rng) for i in rng.integers(0, len(specs), n)]


def draw(pictures: Sequence[Picture], resolution: int = RESOLUTION) -> NDArray[np.uint8]:
    """Pictures as uint8 (N, resolution, resolution, 3), antialiased over one pixel."""
    axis = (np.arange(resolution, dtype=np.float32) + 0.5) / resolution * 2 - 1
    gx, gy = np.meshgrid(axis, axis)
    out = np.empty((len(pictures), resolution, resolution, 3), np.uint8)
    for shape in {p.shape for p in pictures}:
        index = [i for i, p in enumerate(pictures) if p.shape == shape]
        x, y, r = (_column([getattr(pictures[i], k) for i in index]) for k in ("x", "y", "radius"))
        distance = signed_distance(shape, (gx - x) / r, (gy - y) / r) * r
        cover = np.clip(0.5 - distance * (resolution / 2), 0, 1)[..., None]
        front = np.array([COLOURS[pictures[i].colour] for i in index], np.float32)[:, None, None]
        back = np.array([COLOURS[pictures[i].background] for i in index], np.float32)[:, None, None]
        out[index] = np.round(front * cover + back * (1 - cover)).astype(np.uint8)
    return out


def _column(values: Sequence[float]) -> Field:
    return np.array(values, np.float32)[:, None, None]


def signed_distance(shape: str, x: Field, y: Field) -> Field:
    """Distance to the outline of a shape of radius 1 centred at 0; negative inside. `y` points down.

    Raises:
        ValueError: the shape is not one of `SHAPES`.
    """
    if shape == "circle":
        return np.asarray(np.hypot(x, y) - 1)
    if shape == "square":
        return np.asarray(np.maximum(np.abs(x), np.abs(y)) - 0.85)
    if shape == "triangle":
        return _polygon(x, y, _TRIANGLE)
    if shape == "ring":
        return np.asarray(np.abs(np.hypot(x, y) - 0.74) - 0.26)
    if shape == "cross":
        ax, ay = np.abs(x), np.abs(y)
        return np.asarray(np.minimum(np.maximum(ax - 1, ay - 0.34), np.maximum(ax - 0.34, ay - 1)))
    if shape == "star":
        return _polygon(x, y, _STAR)
    if shape == "heart":
        return _polygon(x, y, _HEART)
    if shape == "crescent":
        return np.asarray(np.maximum(np.hypot(x, y) - 1, 0.8 - np.hypot(x - 0.45, y)))
    raise ValueError(f"unknown shape {shape!r}; known: {', '.join(SHAPES)}")


def _polygon(x: Field, y: Field, corners: NDArray[np.float64]) -> Field:
    """Signed distance to a closed polygon: nearest edge, sign by the even-odd rule."""
    nearest = np.full(np.broadcast(x, y).shape, np.inf, np.float32)
    inside = np.zeros(nearest.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        dx, dy = bx - ax, by - ay
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - along * dx, y - ay - along * dy))
        if ay != by:
            crossing = ax + (y - ay) * dx / dy
            inside ^= ((y < ay) != (y < by)) & (x < crossing)
    return np.where(inside, -nearest, nearest).astype(np.float32)


def _regular(n: int, inner: float = 1.0) -> NDArray[np.float64]:
    """Corners of a star with `n` points (a plain polygon when `inner` is 1 and n counts its corners)."""
    angle = np.pi * np.arange(2 * n) / n - np.pi / 2
    radius = np.where(np.arange(2 * n) % 2 == 0, 1.0, inner)
    corners = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return corners if inner != 1.0 else corners[::2]


def _heart() -> NDArray[np.float64]:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x / 16, -(y + 2.5) / 16], 1)


_TRIANGLE, _STAR, _HEART = _regular(3), _regular(5, 0.45), _heart()
