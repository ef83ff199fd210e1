"""The graded set: what is in it, and that worse is worse."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.demo.shapes import all_specs, draw, picture_of
from bracket.errors import DatasetError
from bracket.judges.graded.pairs import CELLS, HOPPER, KINDS, LEVELS, GradedSet, make_set


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(float)


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> GradedSet:
    return make_set("drawings", tmp_path_factory.mktemp("drawings"), pairs=2 * CELLS)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small pictures that aren't square; two with a caption."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(2)
    for number, spec in enumerate([all_specs()[n] for n in (3, 90, 200)]):
        image = draw([picture_of(spec, rng)], 120)[0][:, :100]
        Image.fromarray(image).save(folder / f"{number}.png")
        if number < 2:
            (folder / f"{number}.txt").write_text(f"picture {number}")
    return folder


def test_as_many_pairs_of_every_kind_and_level(drawings: GradedSet) -> None:
    assert Counter((p.kind, p.level) for p in drawings.pairs) == {(k, n): 2 for k in KINDS for n in LEVELS}
    for pair in drawings.pairs:
        assert (pair.better.prompt, pair.better.seed) == (pair.worse.prompt, pair.worse.seed)
        assert pair.better.path != pair.worse.path


def test_the_prompts_are_the_demo_s_own_and_none_is_trained_on(drawings: GradedSet) -> None:
    dataset = drawings.dataset
    assert (len(dataset.train), dataset.trigger_word, dataset.class_word) == (24, "zorp", "star")
    captions = {p.caption for p in dataset.train}
    asked = {p.better.prompt for p in drawings.pairs if p.kind != "copied"}
    assert asked <= {*dataset.prompts, *dataset.verdict_prompts} and not asked & captions
    assert {p.better.prompt for p in drawings.pairs if p.kind == "copied"} <= captions


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "copied"])
def test_every_level_is_further_from_the_good_picture(drawings: GradedSet, kind: str) -> None:
    for seed in (0, 1):
        some = sorted((p for p in drawings.pairs if (p.kind, p.better.seed) == (kind, seed)), key=lambda p: p.level)
        far = [np.abs(pixels(p.better.path) - pixels(p.worse.path)).mean() for p in some]
        assert far[0] > 0 and far == sorted(far)


def test_copies_are_of_a_training_picture_and_the_good_ones_are_not(drawings: GradedSet) -> None:
    training = {p.caption: pixels(p.path) for p in drawings.dataset.train}
    for pair in (p for p in drawings.pairs if p.kind == "copied"):
        original = training[pair.worse.prompt]
        assert np.abs(pixels(pair.worse.path) - original * (0.85 + 0.03 * pair.level)).max() <= 1
        assert np.abs(pixels(pair.better.path) - original).mean() > 1


def test_the_same_seed_makes_the_same_pictures(drawings: GradedSet, tmp_path: Path) -> None:
    again, other = (make_set("drawings", tmp_path / str(seed), pairs=1, seed=seed) for seed in (0, 1))
    assert len(again.pairs) == len(other.pairs) == CELLS
    for here, there in zip(again.pairs, drawings.pairs, strict=False):
        assert here.worse.path.read_bytes() == there.worse.path.read_bytes()
    assert any(
        a.worse.path.read_bytes() != b.worse.path.read_bytes() for a, b in zip(again.pairs, other.pairs, strict=True)
    )


def test_photos_of_one_s_own(own: Path, tmp_path: Path) -> None:
    made = make_set("photos", tmp_path, pairs=2 * CELLS, own=own)
    assert [p.caption for p in made.dataset.train] == ["picture 0", "picture 1"]
    assert [(p.width, p.height) for p in made.dataset.train] == [(100, 100)] * 2
    assert Counter((p.kind, p.level) for p in made.pairs) == {(k, n): 2 for k in KINDS for n in LEVELS}
    assert {p.better.prompt for p in made.pairs} == {"picture 0", "picture 1"}
    wrong = next(p for p in made.pairs if (p.kind, p.level) == ("wrong subject", 5))
    assert pixels(wrong.better.path).shape == (75, 75, 3)
    # At the last level nothing of the right picture is left.
    assert np.abs(pixels(wrong.better.path) - pixels(wrong.worse.path)).mean() > 20


@pytest.mark.slow
def test_the_photo_that_ships(tmp_path: Path) -> None:
    made = make_set("photos", tmp_path, pairs=1)
    assert len(made.pairs) == CELLS and {p.better.prompt for p in made.pairs} == {HOPPER}
    assert pixels(made.pairs[0].better.path).shape == (384, 384, 3)
    assert pixels(made.dataset.train[0].path).shape == (512, 512, 3)


def test_what_can_t_be_made_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no graded set called 'paintings'.*drawings, photos"):
        make_set("paintings", tmp_path)
    Image.new("RGB", (50, 50)).save(tmp_path / "bare.png")
    with pytest.raises(DatasetError, match="no photo with a caption here"):
        make_set("photos", tmp_path / "out", own=tmp_path)
    with pytest.raises(DatasetError):
        make_set("photos", tmp_path / "out", own=tmp_path / "missing")
