"""Pictures that get worse by degrees: what the scorer learns to tell from good ones.

A severity of 0 is the clean picture, 1 is one in which what was asked can't be seen. The damage is drawn, not measured:
the procedural checker has no part in it, so it stays an independent truth for the scorer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bracket.demo.shapes import COLOURS, RESOLUTION, SHAPES, Picture, signed_distance

_SPAN = 2.5
"""Half-width of the distance tables, in radii."""
_TABLE = 200


@dataclass(frozen=True)
class Damage:
    """One kind of damage with its severity, 0..1. `other` is the picture that a morph, blend or tear brings in."""

    kind: str
    severity: float
    other: Picture


KINDS: dict[str, str] = {
    "morph": "",
    "melt": "melted",
    "recolour": "",
    "blur": "blurry",
    "noise": "noisy",
    "mush": "melted",
    "blend": "",
    "tear": "torn",
    "fade": "faded",
}
"""Kinds of damage, each with the word that captions it ("" when no word does)."""


def distance_tables() -> Tensor:
    """Signed distances of every shape at radius 1, float32 (shapes, 200, 200) over -2.5..2.5."""
    axis = ((np.arange(_TABLE, dtype=np.float32) + 0.5) / _TABLE * 2 - 1) * _SPAN
    gx, gy = (g.astype(np.float32) for g in np.meshgrid(axis, axis))
    return torch.from_numpy(np.stack([signed_distance(s, gx, gy) for s in SHAPES]).astype(np.float32))


class Painter:
    """Draws pictures, whole or damaged, in one go; every random choice comes from `generator`."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.tables = distance_tables()
        self.palette = torch.tensor(list(COLOURS.values()), dtype=torch.float32) / 255
        axis = (torch.arange(RESOLUTION) + 0.5) / RESOLUTION * 2 - 1
        self.grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)

    def paint(self, pictures: Sequence[Picture], damages: Sequence[Damage | None]) -> Tensor:
        """Float32 (N, 3, 64, 64) in 0..1. Clean ones too vary in sharpness and tone by as much as a decoder's do."""
        outline = {"morph": self._morph, "melt": self._melt}
        distance, others = self._distance(pictures), self._others(damages)
        for kind, change in outline.items():
            index, severity = _chosen(damages, kind)
            if index:
                distance[index] = change([pictures[i] for i in index], [others[i] for i in index], severity)
        images = self._coloured(distance, pictures)
        pixels: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
            "blur": self._blur, "noise": self._noise, "mush": self._mush, "blend": _blend, "tear": self._tear,
        }
        for kind, spoil in pixels.items():
            index, severity = _chosen(damages, kind)
            if index:
                brought = [others[i] for i in index]
                images[index] = spoil(images[index], self._coloured(self._distance(brought), brought), severity)
        for kind in ("fade", "recolour"):
            index, severity = _chosen(damages, kind)
            if index:
                images[index] = self._repaint(kind, distance[index], [pictures[i] for i in index],
                                              [others[i] for i in index], severity)
        return self._tone(images)

    def _others(self, damages: Sequence[Damage | None]) -> dict[int, Picture]:
        return {i: d.other for i, d in enumerate(damages) if d}

    def _distance(self, pictures: Sequence[Picture], warp: Tensor | None = None) -> Tensor:
        """Signed distances (N, 64, 64) in half-sides; `warp` (N, 64, 64, 2) moves the outline."""
        centre = torch.tensor([[p.x, p.y] for p in pictures])[:, None, None]
        radius = torch.tensor([p.radius for p in pictures])[:, None, None]
        grid = self.grid[None] - centre + (0 if warp is None else warp)
        tables = self.tables[[SHAPES.index(p.shape) for p in pictures]][:, None]
        sampled = F.grid_sample(tables, grid / radius[..., None] / _SPAN, padding_mode="border", align_corners=False)
        return sampled[:, 0] * radius

    def _colours(self, pictures: Sequence[Picture], part: str) -> Tensor:
        names = list(COLOURS)
        return self.palette[[names.index(getattr(p, part)) for p in pictures]][:, :, None, None]

    def _coloured(self, distance: Tensor, pictures: Sequence[Picture]) -> Tensor:
        return _lay(distance, self._colours(pictures, "colour"), self._colours(pictures, "background"))

    def _morph(self, pictures: Sequence[Picture], others: Sequence[Picture], severity: Tensor) -> Tensor:
        """Half-formed: the outline on its way to another shape's of the same place and size."""
        moved = [_placed_as(o, p) for o, p in zip(others, pictures, strict=True)]
        return torch.lerp(self._distance(pictures), self._distance(moved), severity[:, None, None])

    def _melt(self, pictures: Sequence[Picture], _: Sequence[Picture], severity: Tensor) -> Tensor:
        """The outline displaced by a smooth random flow, sagging at the coarse scale, frayed at the fine one."""
        n = len(pictures)
        flow = self._smooth(n, 2, 5) * 0.45 + self._smooth(n, 2, 11) * 0.25
        return self._distance(pictures, (flow * severity[:, None, None, None] ** 1.3).permute(0, 2, 3, 1))

    def _smooth(self, n: int, channels: int, cells: int) -> Tensor:
        """Smooth noise (n, channels, 64, 64) of `cells` bumps a side."""
        coarse = torch.randn(n, channels, cells, cells, generator=self.generator)
        return F.interpolate(coarse, RESOLUTION, mode="bicubic", align_corners=False)

    def _blur(self, images: Tensor, _: Tensor, severity: Tensor) -> Tensor:
        return blur(images, 0.4 + severity * 9)

    def _noise(self, images: Tensor, _: Tensor, severity: Tensor) -> Tensor:
        noise = torch.randn(images.shape, generator=self.generator)
        return images + noise * severity[:, None, None, None] * 0.7

    def _mush(self, images: Tensor, _: Tensor, severity: Tensor) -> Tensor:
        """Coloured blotches of the latent grid's scale over a shape that dissolves: how a LoRA melts a picture."""
        n, k = len(images), severity[:, None, None, None]
        blotches = self._smooth(n, 3, 8) * 0.5 + self._smooth(n, 3, 16) * 0.35
        grey = self._smooth(n, 1, 8) * 0.4
        tinted = torch.where(torch.rand(n, 1, 1, 1, generator=self.generator) < 0.3, grey, blotches)
        return images * (1 - k * 0.5) + k * (0.25 + tinted)

    def _tear(self, images: Tensor, other: Tensor, severity: Tensor) -> Tensor:
        """A share of the tiles comes from elsewhere in the picture, or from another picture."""
        n, cells = len(images), 8
        order = torch.randperm(cells * cells, generator=self.generator)
        tiles = F.unfold(images, RESOLUTION // cells, stride=RESOLUTION // cells)[:, :, order]
        moved = F.fold(tiles, RESOLUTION, RESOLUTION // cells, stride=RESOLUTION // cells)
        take_other = torch.rand(n, 1, 1, 1, generator=self.generator) < 0.5
        wrong = torch.where(take_other, other, moved)
        mask = torch.rand(n, 1, cells, cells, generator=self.generator) < severity[:, None, None, None]
        return torch.where(F.interpolate(mask.float(), RESOLUTION) > 0.5, wrong, images)

    def _repaint(self, kind: str, distance: Tensor, pictures: Sequence[Picture], others: Sequence[Picture],
                 severity: Tensor) -> Tensor:
        """Fade: the shape goes into its background. Recolour: shape, background or both go to another's colours."""
        front, back = self._colours(pictures, "colour"), self._colours(pictures, "background")
        k = severity[:, None, None, None]
        if kind == "fade":
            return _lay(distance, torch.lerp(front, back, k), back)
        which = torch.randint(0, 3, (len(pictures), 1, 1, 1), generator=self.generator)
        new_front = torch.where(which != 1, torch.lerp(front, self._colours(others, "colour"), k), front)
        new_back = torch.where(which != 0, torch.lerp(back, self._colours(others, "background"), k), back)
        return _lay(distance, new_front, new_back)

    def _tone(self, images: Tensor) -> Tensor:
        n = len(images)
        soft = blur(images, torch.rand(n, generator=self.generator) * 0.7 + 0.05)
        gain = 1 + torch.randn(n, 1, 1, 1, generator=self.generator) * 0.03
        grain = torch.randn(images.shape, generator=self.generator) * 0.01
        return (soft * gain + grain).clamp(0, 1)


def _chosen(damages: Sequence[Damage | None], kind: str) -> tuple[list[int], Tensor]:
    index = [i for i, d in enumerate(damages) if d and d.kind == kind]
    return index, torch.tensor([d.severity for d in damages if d and d.kind == kind])


def _placed_as(shape_of: Picture, place_of: Picture) -> Picture:
    p = place_of
    return Picture(shape_of.shape, p.colour, p.background, p.size, p.x, p.y, p.radius)


def _lay(distance: Tensor, front: Tensor, back: Tensor) -> Tensor:
    cover = (0.5 - distance * (RESOLUTION / 2)).clamp(0, 1)[:, None]
    return back + cover * (front - back)


def _blend(images: Tensor, other: Tensor, severity: Tensor) -> Tensor:
    return torch.lerp(images, other, severity[:, None, None, None])


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur (N, C, H, W) with one sigma (N,) in pixels a picture, edges repeated."""
    n, c, h, w = images.shape
    reach = max(1, math.ceil(float(sigma.max()) * 2))
    offsets = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (offsets[None] / sigma[:, None].clamp(min=1e-3)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)[:, None]
    flat = F.pad(images.reshape(1, n * c, h, w), (reach,) * 4, mode="replicate")
    flat = F.conv2d(flat, kernel[:, :, None, :], groups=n * c)
    return F.conv2d(flat, kernel[:, :, :, None], groups=n * c).view(n, c, h, w)
