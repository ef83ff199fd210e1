"""No axis of a judge says what another says: on pictures of the demo, drawn as a search and as a duel draw them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from bracket.demo.shapes import Picture, picture_of
from bracket.domain import DatasetSplit, Sample
from bracket.judges import Judge, make_judge
from bracket.session.asked.settings import JudgeSettings

Specs = list[tuple[str, str, str, str]]
Worsen = Callable[[Picture, str, float, int], np.ndarray]
KINDS = ("noise", "melt", "blob", "wrong shape", "wrong colour", "blur")
SAME = 0.98
"""Rank correlation from which on two axes are taken for functions of each other."""


def drawn(folder: Path, specs: Specs, worsen: Worsen, stars: DatasetSplit, seeds: int) -> list[Sample]:
    """What six checkpoints, each bad in its own way, draw of the same prompts; the last one copies, too."""
    found, rng = [], np.random.default_rng(8)
    for number, kind in enumerate(KINDS):
        out = folder / f"{seeds}-{number}"
        out.mkdir()
        for i, (prompt, seed) in enumerate(itertools.product(range(12 // seeds), range(seeds))):
            picture = picture_of(specs[prompt], rng)
            pixels = worsen(picture, kind, float(rng.uniform(0, 1)), i)
            if number == 5 and i % 4 == 0:
                pixels = np.asarray(Image.open(stars.train[i].path))
            Image.fromarray(pixels).save(out / f"{i}.png")
            found.append(Sample(out / f"{i}.png", picture.caption("zorb"), seed, 1))
    return found


def dependent(judge: Judge, samples: list[Sample]) -> list[tuple[str, str]]:
    """Pairs of axes that rank the pictures alike."""
    judged = judge.score(samples)
    names = sorted(set.intersection(*({*j.axes} for j in judged)))
    values = {name: np.array([j.axes[name] for j in judged]) for name in names}
    assert all(np.ptp(v) > 0 for v in values.values())
    pairs = itertools.combinations(names, 2)
    return [(a, b) for a, b in pairs if abs(spearmanr(values[a], values[b]).statistic) > SAME]


@pytest.mark.parametrize("kind", ["clip", "reference"])
@pytest.mark.parametrize(("seeds", "extra"), [(1, set()), (2, {"diversity"})], ids=["search", "duel"])
def test_no_two_axes_are_functions_of_each_other(
    kind: str, seeds: int, extra: set[str], scorer: Path, stars: DatasetSplit, new_specs: Specs, worsen: Worsen,
    tmp_path: Path,
) -> None:  # fmt: skip
    judge = make_judge(JudgeSettings(kind=kind, model=str(scorer)), stars, tmp_path / "judge.sqlite")
    samples = drawn(tmp_path, new_specs, worsen, stars, seeds)
    try:
        assert {*judge.score(samples)[0].axes} == {"adherence", "likeness", "originality"} | extra
        assert dependent(judge, samples) == []
    finally:
        judge.close()
