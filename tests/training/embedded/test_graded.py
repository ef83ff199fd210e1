from __future__ import annotations

import numpy as np
import pytest
import torch

from bracket.demo.checker import check
from bracket.demo.shapes import SHAPES, Picture, draw
from bracket.training.embedded.graded import KINDS, Damage, Painter, blur


def picture(shape: str = "star", colour: str = "red", background: str = "blue") -> Picture:
    return Picture(shape, colour, background, "big", 0.03, -0.05, 0.72)


OTHER = picture("circle", "green", "yellow")


def paint(pictures: list[Picture], damages: list[Damage | None]) -> np.ndarray:
    images = Painter(torch.Generator().manual_seed(0)).paint(pictures, damages)
    return (images * 255).byte().permute(0, 2, 3, 1).numpy()


def test_clean_pictures_are_those_of_the_exact_drawing() -> None:
    pictures = [picture(s) for s in SHAPES]
    difference = np.abs(paint(pictures, [None] * len(pictures)).astype(int) - draw(pictures).astype(int))
    assert difference.mean() < 8


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_falls_with_the_severity(kind: str) -> None:
    severities = (0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0)
    images = paint([picture()] * 9, [Damage(kind, t, OTHER) for t in severities])
    none, half, whole = np.reshape([check(i, "star", "red", "blue").truth for i in images], (3, 3)).mean(1)
    assert none > 0.9 and none > half >= whole and whole < 0.75


def test_blur_keeps_flat_pictures_and_spreads_a_dot() -> None:
    flat, dot = torch.full((1, 3, 16, 16), 0.3), torch.zeros(1, 3, 16, 16)
    dot[..., 8, 8] = 1
    assert torch.allclose(blur(flat, torch.tensor([3.0])), flat, atol=1e-5)
    spread = blur(dot, torch.tensor([1.0]))
    # A discrete Gaussian of sigma 1 cut off at 2 pixels: 1 / (1 + 2e^-0.5 + 2e^-2) = 0.4026 a direction.
    assert float(spread[0, 0, 8, 8]) == pytest.approx(0.4026**2, abs=1e-4)
    assert float(spread.sum()) == pytest.approx(3, abs=1e-4)
