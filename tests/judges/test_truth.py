"""The demo's judge against the procedural checker, which takes no part in any score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from bracket.demo.checker import check
from bracket.demo.shapes import Picture, picture_of
from bracket.domain import DatasetSplit, Judgement, Sample
from bracket.judges.embeddings.clip import ClipJudge

Specs = list[tuple[str, str, str, str]]
Worsen = Callable[[Picture, str, float, int], np.ndarray]
GRADED = ("blur", "noise", "jpeg", "melt", "blob")
WRONG = ("wrong shape", "wrong colour")


@pytest.fixture(scope="module")
def judge(scorer: Path, stars: DatasetSplit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipJudge]:
    made = ClipJudge(str(scorer), stars, tmp_path_factory.mktemp("cache") / "c.sqlite", {})
    yield made
    made.close()


def judged(
    judge: ClipJudge, cases: list[tuple[Picture, np.ndarray]], folder: Path
) -> tuple[list[Judgement], np.ndarray]:
    """What the judge says of each picture, and the checker's truth (N,)."""
    samples = []
    for i, (picture, pixels) in enumerate(cases):
        Image.fromarray(pixels).save(folder / f"{i}.png")
        samples.append(Sample(folder / f"{i}.png", picture.caption("zorb"), i, 1))
    truth = [check(pixels, p.shape, p.colour, p.background).truth for p, pixels in cases]
    return judge.score(samples), np.array(truth)


@pytest.mark.slow
def test_pairs_are_ordered_as_the_truth_orders_them(
    judge: ClipJudge, new_specs: Specs, worsen: Worsen, tmp_path: Path
) -> None:
    rng, cases = np.random.default_rng(11), []
    for i in range(350):
        picture = picture_of(new_specs[i % len(new_specs)], rng)
        kind = (*GRADED, *WRONG)[i % 7]
        better, worse = (0.0, 1.0) if kind in WRONG or rng.random() < 0.4 else np.sort(rng.uniform(0, 1, 2))
        cases += [(picture, worsen(picture, kind, t, i)) for t in (better, worse)]
    judgements, truth = judged(judge, cases, tmp_path)
    score = np.array([j.score for j in judgements])
    apart = truth[::2] - truth[1::2] > 0.05
    assert apart.sum() >= 200
    right = (score[::2] > score[1::2])[apart]
    assert right.mean() >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("kind", GRADED)
def test_the_score_falls_as_a_star_dissolves(
    judge: ClipJudge, new_specs: Specs, worsen: Worsen, tmp_path: Path, kind: str
) -> None:
    rng, severities = np.random.default_rng(3), np.linspace(0, 1, 9)
    pictures = [picture_of(s, rng) for s in new_specs[:12]]
    cases = [(p, worsen(p, kind, t, i)) for t in severities for i, p in enumerate(pictures)]
    judgements, truth = judged(judge, cases, tmp_path)
    means = np.array([j.score for j in judgements]).reshape(9, 12).mean(1)
    assert spearmanr(means, truth.reshape(9, 12).mean(1)).statistic > 0.9
    assert means[0] > 0.8


@pytest.mark.parametrize("kind", ["noise", "melt"])
def test_ruined_pictures_are_near_0(
    judge: ClipJudge, new_specs: Specs, worsen: Worsen, tmp_path: Path, kind: str
) -> None:
    rng = np.random.default_rng(4)
    pictures = [picture_of(s, rng) for s in new_specs[:12]]
    judgements, _ = judged(judge, [(p, worsen(p, kind, 1.0, i)) for i, p in enumerate(pictures)], tmp_path)
    assert np.mean([j.score for j in judgements]) < 0.15


def test_a_blob_is_below_a_half_formed_star_and_that_below_a_star(
    judge: ClipJudge, new_specs: Specs, worsen: Worsen, tmp_path: Path
) -> None:
    rng = np.random.default_rng(6)
    pictures = [picture_of(s, rng) for s in new_specs[:12]]
    cases = [(p, worsen(p, "blob", t, i)) for t in (1.0, 0.5, 0.0) for i, p in enumerate(pictures)]
    judgements, _ = judged(judge, cases, tmp_path)
    blob, half, star = np.array([j.score for j in judgements]).reshape(3, 12).mean(1)
    assert blob + 0.1 < half < star - 0.1
