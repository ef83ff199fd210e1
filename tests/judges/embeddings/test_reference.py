from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.demo.shapes import Picture, draw, picture_of
from bracket.domain import DatasetSplit, Sample
from bracket.domain import Picture as TrainingPicture
from bracket.errors import JudgeError
from bracket.judges import check_judge
from bracket.judges.embeddings import reference
from bracket.judges.embeddings.reference import UNDECIDED, ReferenceJudge
from bracket.session.asked.settings import JudgeSettings

Specs = list[tuple[str, str, str, str]]
Build = Callable[..., ReferenceJudge]


@pytest.fixture
def build(stars: DatasetSplit, random_dino: Path, tmp_path: Path) -> Iterator[Build]:
    """Makes reference judges, with the tiny DINO unless told otherwise."""
    made: list[ReferenceJudge] = []

    def make(
        model: Path = random_dino, dataset: DatasetSplit = stars, before: tuple[Sample, ...] = (), **more: object
    ) -> ReferenceJudge:
        settings = JudgeSettings(kind="reference", model=str(model), **more)
        made.append(ReferenceJudge(settings, dataset, tmp_path / "cache" / "judge.sqlite", before))
        return made[-1]

    yield make
    for judge in made:
        judge.close()


@pytest.fixture
def drawn(new_specs: Specs, tmp_path: Path) -> Callable[..., Sample]:
    """The nth new star as a sample, changed by `change` if given."""

    def make(
        number: int, prompt: str = "", seed: int = 1, change: Callable[[np.ndarray], np.ndarray] = np.asarray
    ) -> Sample:
        picture = star(new_specs, number)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
        Image.fromarray(change(draw([picture])[0])).save(path)
        return Sample(path, prompt or picture.caption("zorb"), seed, 1)

    return make


def star(specs: Specs, number: int) -> Picture:
    return picture_of(specs[number], np.random.default_rng(number))


def reddened(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels.astype(int) + np.array([90, -60, -60]), 0, 255).astype(np.uint8)


def write_clip(path: Path, pictures: list[np.ndarray]) -> Path:
    first, *rest = [Image.fromarray(p) for p in pictures]
    first.save(path, save_all=True, append_images=rest, lossless=True)
    return path


@pytest.mark.parametrize("model", ["random_dino", "random_clip"])
def test_a_training_picture_is_a_copy_and_as_alike_as_can_be(
    build: Build, model: str, stars: DatasetSplit, drawn: Callable[..., Sample], request: pytest.FixtureRequest
) -> None:
    judge = build(request.getfixturevalue(model))
    copy, own = judge.score([Sample(stars.train[3].path, "a zorb", 1, 1), drawn(0)])
    assert copy.axes["originality"] == 0 and copy.score == 0
    assert own.axes["originality"] == 1 and 0 < own.score < 1
    assert ("adherence" in own.axes) == (model == "random_clip")


def test_likeness_is_1_for_what_the_training_pictures_are_and_falls_with_another_subject(
    build: Build, scorer: Path, new_specs: Specs, tmp_path: Path
) -> None:
    judge, samples = build(scorer), []
    for shape in ("star", "square"):
        for number in range(8):
            picture = replace(star(new_specs, number), shape=shape)
            path = tmp_path / f"{shape}{number}.png"
            Image.fromarray(draw([picture])[0]).save(path)
            samples.append(Sample(path, "a zorb", 1, 1))
    values = [j.axes["likeness"] for j in judge.score(samples)]
    assert np.mean(values[:8]) > np.mean(values[8:]) + 0.2


def test_the_same_picture_twice_in_a_prompt_is_no_diversity(build: Build, drawn: Callable[..., Sample]) -> None:
    same, other = drawn(0, "a zorb"), drawn(1, "another zorb", 3)
    judged = build().score([same, replace(same, seed=2), other, drawn(2, "another zorb", 4)])
    assert [j.axes["diversity"] for j in judged[:2]] == pytest.approx([0, 0], abs=1e-5)
    assert all(j.axes["diversity"] > 0 for j in judged[2:])


def test_what_bled_into_a_prompt_without_the_trigger_word_shows(
    build: Build, drawn: Callable[..., Sample], tmp_path: Path
) -> None:
    prompts = [f"plain {n}" for n in range(4)]
    before = tuple(drawn(n, prompt, seed=n) for n, prompt in enumerate(prompts))
    (tmp_path / "again").mkdir()
    kept = [replace(s, path=Path(shutil.copy(s.path, tmp_path / "again"))) for s in before]
    shifted = [drawn(n, prompt, n, reddened) for n, prompt in enumerate(prompts)]
    judge = build(before=before)
    assert [j.axes["containment"] for j in judge.score(kept)] == pytest.approx([1] * 4, abs=1e-5)
    assert all(j.axes["containment"] < 0.99 for j in judge.score(shifted))
    # Another of the base's pictures is as far away as they are on average, give or take.
    turned = [replace(s, path=before[(n + 1) % 4].path) for n, s in enumerate(kept)]
    assert np.mean([j.axes["containment"] for j in judge.score(turned)]) < 0.3


def test_containment_is_asked_only_of_a_prompt_and_seed_the_base_drew_without_the_trigger_word(
    build: Build, drawn: Callable[..., Sample], stars: DatasetSplit
) -> None:
    plain, named = drawn(0, "plain"), drawn(1, "a zorb")
    before: list[Sample] = []
    judge = build(before=before)
    assert all("containment" not in j.axes for j in judge.score([plain, named]))
    before += [plain, named]
    said = ["containment" in j.axes for j in judge.score([plain, named, replace(plain, seed=9)])]
    assert said == [True, False, False]
    untriggered = build(dataset=replace(stars, trigger_word=""), before=before)
    assert all("containment" not in j.axes and "likeness" in j.axes for j in untriggered.score([plain, named]))


def test_a_lost_picture_of_the_base_is_told_and_no_error(
    build: Build, drawn: Callable[..., Sample], tmp_path: Path
) -> None:
    plain, gone = drawn(0, "plain"), Sample(tmp_path / "gone.png", "plain 2", 1, 0)
    judge = build(before=(plain, gone))
    (whole, lacking) = judge.score([plain, replace(drawn(1), prompt="plain 2")])
    assert "containment" in whole.axes and "containment" not in lacking.axes
    assert judge.remarks() == [
        "1 of the base's pictures can't be read: containment is not told of them.",
        "1 samples had no axis that counts: they stand at 0.5.",
    ]


def test_a_sample_without_an_axis_that_counts_is_undecided_and_told(build: Build, drawn: Callable[..., Sample]) -> None:
    judge = build()
    (lone,) = judge.score([drawn(0, "plain")])
    assert (lone.axes, lone.score, lone.how) == ({"originality": 1.0}, UNDECIDED, "no axis applies")
    assert judge.remarks() == ["1 samples had no axis that counts: they stand at 0.5."]


def test_what_was_done_to_pictures_is_told_once_each(
    build: Build, drawn: Callable[..., Sample], tmp_path: Path
) -> None:
    sample = drawn(0)
    Image.open(sample.path).convert("RGBA").save(tmp_path / "clear.png")
    clear = replace(sample, path=tmp_path / "clear.png")
    judge = build()
    judge.score([sample, clear])
    judge.score([clear])
    assert judge.remarks() == ["1 of the pictures: with an alpha channel: laid over white."]


def test_a_clip_is_the_mean_of_its_frames_and_told_of_steadiness_and_motion(
    build: Build, new_specs: Specs, tmp_path: Path
) -> None:
    pixels = draw([star(new_specs, 0)])[0]
    Image.fromarray(pixels).save(tmp_path / "still.png")
    steady = write_clip(tmp_path / "steady.webp", [np.roll(pixels, n, 1) for n in range(6)])
    strobe = write_clip(tmp_path / "strobe.webp", [pixels, pixels // 2] * 3)
    names = (tmp_path / "still.png", steady, strobe)
    still, moving, flickering = build().score([Sample(p, "a zorb", 1, 1) for p in names])
    assert "steadiness" not in still.axes and "motion" not in still.axes
    assert moving.axes["steadiness"] > flickering.axes["steadiness"] + 0.1
    assert moving.axes["motion"] > 0
    assert {"likeness", "originality", "diversity"} <= moving.axes.keys()
    assert moving.score == pytest.approx(
        (0.45 * moving.axes["likeness"] + 0.1 * moving.axes["diversity"]) / 0.55 * moving.axes["originality"]
    )


def test_a_clip_of_one_picture_over_and_over_is_judged_as_that_picture(
    build: Build, stars: DatasetSplit, tmp_path: Path
) -> None:
    """Pillow joins equal neighbours, so two pixels tell the frames apart."""
    pixels = np.asarray(Image.open(stars.train[3].path))
    frames = [pixels.copy() for _ in range(4)]
    for number, frame in enumerate(frames):
        frame[0, number] = 255 - frame[0, number]
    clip = write_clip(tmp_path / "a.png", frames)
    judged = build().score([Sample(p, "a zorb", 1, 1) for p in (stars.train[3].path, clip)])
    assert [j.axes["originality"] for j in judged] == [0, 0]
    assert judged[1].axes["likeness"] == pytest.approx(judged[0].axes["likeness"], abs=0.02)


def test_a_dataset_of_clips_is_a_reference_too(build: Build, new_specs: Specs, tmp_path: Path) -> None:
    clips = []
    for number in range(4):
        pixels = draw([star(new_specs, number)])[0]
        path = write_clip(tmp_path / f"{number}.webp", [np.roll(pixels, n, 0) for n in range(3)])
        clips.append(TrainingPicture(path, "a zorb turns", 0, 0))
    dataset = DatasetSplit(tmp_path, tuple(clips), (), (), (), "zorb", "star")
    # The second frame of a training clip is a copy of it.
    Image.fromarray(np.roll(draw([star(new_specs, 2)])[0], 1, 0)).save(tmp_path / "copy.png")
    (judged,) = build(dataset=dataset).score([Sample(tmp_path / "copy.png", "a zorb", 1, 1)])
    assert judged.axes["originality"] == 0 and judged.axes["likeness"] > 0.9


def test_what_moves_is_looked_at_once(
    build: Build, new_specs: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = draw([star(new_specs, 0)])[0]
    clip = write_clip(tmp_path / "a.gif", [np.roll(pixels, 4 * n, 1) for n in range(5)])
    sample = Sample(clip, "a zorb", 1, 1)
    first = build().score([sample])
    monkeypatch.setattr(reference, "strip", None)
    assert build().score([sample]) == first


def test_one_training_picture_is_enough_and_none_is_refused(
    build: Build, stars: DatasetSplit, drawn: Callable[..., Sample]
) -> None:
    (judged,) = build(dataset=replace(stars, train=stars.train[:1])).score([drawn(0)])
    assert 0 <= judged.axes["likeness"] <= 1 and judged.axes["originality"] == 1
    with pytest.raises(JudgeError, match="there are none"):
        build(dataset=replace(stars, train=()))


def test_a_clip_model_goes_on_without_captions_and_says_so(
    build: Build, random_clip: Path, stars: DatasetSplit, drawn: Callable[..., Sample]
) -> None:
    bare = replace(stars, train=tuple(replace(p, caption="") for p in stars.train))
    judge = build(random_clip, dataset=bare)
    (judged,) = judge.score([drawn(0)])
    assert "adherence" not in judged.axes and "likeness" in judged.axes
    assert judge.remarks() == ["No training picture has a caption: adherence is not told."]


def test_a_lost_training_picture_is_not_blamed_on_a_sample(
    build: Build, stars: DatasetSplit, drawn: Callable[..., Sample], tmp_path: Path
) -> None:
    gone = replace(stars, train=(*stars.train, replace(stars.train[0], path=tmp_path / "gone.png")))
    with pytest.raises(JudgeError, match=r"training picture.*gone\.png") as caught:
        build(dataset=gone).score([drawn(0)])
    assert caught.value.path is None


def test_problems_are_found_before_a_model_is_loaded(random_dino: Path, tmp_path: Path) -> None:
    def said(model: object, **more: object) -> list[str]:
        return [p.message for p in check_judge(JudgeSettings(kind="reference", model=str(model), **more))]

    assert said(random_dino) == []
    assert said(random_dino, weights={"likenes": 1.0}) == ["the judge has no axis called 'likenes'"]
    assert said(tmp_path / "none") == ["the judge's model folder is missing"]
    assert said("") == ["the judge has no model"]
    bare = Path(shutil.copytree(random_dino, tmp_path / "bare"))
    (bare / "preprocessor_config.json").unlink()
    assert said(bare) == ["the judge's model lacks preprocessor_config.json"]
    (bare / "config.json").write_text(json.dumps({"hidden_size": 3}))
    assert said(bare) == ["the config.json of the judge's model names no model_type"]
