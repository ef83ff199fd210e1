from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.dataset.reading.prompts import has_word, without_trigger
from bracket.demo.shapes import Picture, draw, picture_of
from bracket.domain import DatasetSplit, Sample
from bracket.domain import Picture as TrainingPicture
from bracket.errors import JudgeError
from bracket.judges.embeddings.clip import ClipJudge

Specs = list[tuple[str, str, str, str]]
Worsen = Callable[[Picture, str, float, int], np.ndarray]


@pytest.fixture(scope="module")
def judge(scorer: Path, stars: DatasetSplit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipJudge]:
    made = ClipJudge(str(scorer), stars, tmp_path_factory.mktemp("cache") / "c.sqlite", {})
    yield made
    made.close()


@pytest.fixture
def sampled(tmp_path: Path) -> Callable[[np.ndarray, str], Sample]:
    """Pixels and a prompt to a sample on disk."""

    def build(pixels: np.ndarray, prompt: str) -> Sample:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
        Image.fromarray(pixels).save(path)
        return Sample(path, prompt, 1, 1)

    return build


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a big red zorb on a blue background", "a big red star on a blue background"),
        ("Zorb, zorb. ZORB", "star, star. star"),
        ("zorbs and azorb", "zorbs and azorb"),
        ("a zorb star", "a star"),
    ],
)
def test_the_class_word_stands_for_the_trigger_word(text: str, expected: str) -> None:
    assert without_trigger(text, "zorb", "star") == expected


def test_without_a_class_word_the_trigger_word_is_dropped() -> None:
    assert without_trigger("a  red zorb  here", "zorb", "") == "a red here"
    assert without_trigger("a red zorb", "", "star") == "a red zorb"


def test_trigger_words_may_hold_any_characters() -> None:
    assert without_trigger("a (x+y)* on \\1 [z]", "(x+y)*", r"\1") == "a \\1 on \\1 [z]"
    assert has_word("ohwx man here", "ohwx man") and not has_word("anything", "")


def test_likeness_is_asked_only_where_the_prompt_names_the_concept(
    judge: ClipJudge, new_specs: Specs, sampled: Callable[[np.ndarray, str], Sample]
) -> None:
    picture = picture_of(new_specs[0], np.random.default_rng(0))
    pixels = draw([picture])[0]
    named, plain = judge.score([sampled(pixels, picture.caption("zorb")), sampled(pixels, picture.caption())])
    assert "likeness" in named.axes and "likeness" not in plain.axes
    assert named.axes["adherence"] == pytest.approx(plain.axes["adherence"])


def test_a_copy_of_a_training_picture_scores_0_however_it_was_saved(
    judge: ClipJudge, stars: DatasetSplit, tmp_path: Path
) -> None:
    source = stars.train[3]
    image = Image.open(source.path)
    image.save(tmp_path / "again.jpg", quality=90)
    Image.fromarray((np.asarray(image) * 0.85 + 12).astype(np.uint8)).save(tmp_path / "brighter.png")
    paths = [source.path, tmp_path / "again.jpg", tmp_path / "brighter.png"]
    judged = judge.score([Sample(p, source.caption, i, 1) for i, p in enumerate(paths)])
    assert [j.score for j in judged] == pytest.approx([0, 0, 0], abs=0.1)


def test_the_same_caption_drawn_anew_is_no_copy(
    judge: ClipJudge, stars: DatasetSplit, sampled: Callable[[np.ndarray, str], Sample]
) -> None:
    rng, samples = np.random.default_rng(2), []
    for source in stars.train[:12]:
        words = source.caption.split()
        picture = picture_of((words[1], words[2], "star", words[6]), rng)
        samples.append(sampled(draw([picture])[0], source.caption))
    assert np.mean([j.axes["originality"] for j in judge.score(samples)]) > 0.95


def test_equal_pictures_of_all_seeds_are_not_varied(
    judge: ClipJudge, new_specs: Specs, sampled: Callable[[np.ndarray, str], Sample]
) -> None:
    picture = picture_of(new_specs[0], np.random.default_rng(0))
    one = sampled(draw([picture])[0], picture.caption("zorb"))
    seeds = [replace(one, seed=s) for s in range(3)]
    assert [j.axes["diversity"] for j in judge.score(seeds)] == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_lost_training_picture_is_not_blamed_on_a_sample(
    random_clip: Path, stars: DatasetSplit, tmp_path: Path
) -> None:
    gone = replace(stars, train=(*stars.train, replace(stars.train[0], path=tmp_path / "gone.png")))
    judge = ClipJudge(str(random_clip), gone, tmp_path / "c.sqlite", {})
    with pytest.raises(JudgeError, match=r"training picture.*gone\.png") as caught:
        judge.score([Sample(stars.train[0].path, "zorb", 0, 0)])
    judge.close()
    assert caught.value.path is None


def test_a_dataset_of_clips_alone_is_told_before_anything_is_judged(tmp_path: Path) -> None:
    clip = TrainingPicture(tmp_path / "a.mp4", "a zorp turns", 0, 0)
    split = DatasetSplit(tmp_path, (clip,), (), ("a zorp",), ())
    with pytest.raises(JudgeError, match="only clips"):
        ClipJudge("any/model", split, tmp_path / "judge.sqlite", {})
