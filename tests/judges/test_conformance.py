"""What every judge must hold, whatever it thinks of the pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.demo.shapes import picture_of
from bracket.domain import DatasetSplit, Sample
from bracket.errors import JudgeError
from bracket.judges import Judge, make_judge
from bracket.judges.embeddings.model import ClipModel
from bracket.judges.embeddings.vision import VisionModel
from bracket.judges.vlm.judge import VlmJudge
from bracket.judges.vlm.rubric import load_rubric
from bracket.session.asked.settings import JudgeSettings
from tests.judges.scripted_asker import ScriptedAsker, bright

Make = Callable[..., Judge]
Specs = list[tuple[str, str, str, str]]


@pytest.fixture(
    params=["clip scorer", "clip random_clip", "reference random_clip", "reference random_dino", "qwen_vl scripted"]
)
def make(request: pytest.FixtureRequest, stars: DatasetSplit, tmp_path: Path) -> Iterator[Make]:
    """Makes judges of one kind; all of a test share a cache unless told otherwise."""
    kind, name = request.param.split()
    model, made = "" if name == "scripted" else request.getfixturevalue(name), []

    def build(cache: str = "cache.sqlite", **settings: object) -> Judge:
        if name == "scripted":
            asker, chosen = ScriptedAsker(bright), JudgeSettings(kind=kind, **settings)
            made.append(VlmJudge(asker, load_rubric(), chosen, stars, tmp_path / cache, kind))
            return made[-1]
        made.append(make_judge(JudgeSettings(kind=kind, model=str(model), **settings), stars, tmp_path / cache))
        return made[-1]

    yield build
    for judge in made:
        judge.close()


@pytest.fixture
def samples(new_specs: Specs, worsen: Callable[..., np.ndarray], tmp_path: Path) -> list[Sample]:
    """Nine pictures of nine prompts, from right to ruined; one without the trigger word."""
    rng, found = np.random.default_rng(1), []
    for i, spec in enumerate(new_specs[:9]):
        picture = picture_of(spec, rng)
        path = tmp_path / f"{i}.png"
        Image.fromarray(worsen(picture, ("noise", "melt", "blur")[i % 3], i / 9, i)).save(path)
        found.append(Sample(path, picture.caption("zorb" if i else None), i, 100))
    return found


def test_the_same_samples_get_the_same_judgements(make: Make, samples: list[Sample]) -> None:
    first, second = make("one.sqlite"), make("two.sqlite")
    assert first.score(samples) == second.score(samples)
    assert first.fingerprint == second.fingerprint


def test_judgements_come_in_the_order_of_the_samples(make: Make, samples: list[Sample]) -> None:
    judge = make()
    forth, back = judge.score(samples), judge.score(samples[::-1])
    assert [j.sample for j in forth] == samples
    for one, other in zip(forth, back[::-1], strict=True):
        assert other.score == pytest.approx(one.score, abs=1e-9)


def test_scores_and_axes_lie_between_0_and_1(make: Make, samples: list[Sample]) -> None:
    judge = make()
    for judgement in judge.score(samples):
        assert judgement.judge == judge.name and judgement.axes
        assert all(0 <= v <= 1 for v in (judgement.score, *judgement.axes.values()))


def test_what_was_judged_is_not_looked_at_again(
    make: Make, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make().score(samples)
    _allow_no_model(monkeypatch)
    assert make().score(samples) == first


def test_a_copy_elsewhere_is_not_looked_at_again(
    make: Make, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make().score(samples)
    (tmp_path / "elsewhere").mkdir()
    moved = [replace(s, path=Path(shutil.copy(s.path, tmp_path / "elsewhere"))) for s in samples]
    _allow_no_model(monkeypatch)
    assert [j.score for j in make().score(moved)] == [j.score for j in first]


def _allow_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the model was loaded again")

    for model in (ClipModel, VisionModel):
        monkeypatch.setattr(model, "__init__", refuse)
    monkeypatch.setattr(ScriptedAsker, "ask", refuse)


def test_the_batch_size_does_not_change_scores(make: Make, samples: list[Sample]) -> None:
    one, many = (make(f"{n}.sqlite", batch_size=n).score(samples) for n in (1, 64))
    assert [j.score for j in many] == pytest.approx([j.score for j in one], abs=1e-4)


def test_a_picture_that_cannot_be_read_is_named(make: Make, samples: list[Sample], tmp_path: Path) -> None:
    judge, bad = make(), tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(JudgeError) as caught:
        judge.score([*samples, replace(samples[0], path=bad)])
    assert caught.value.path == bad
    assert len(judge.score(samples)) == len(samples)


def test_a_missing_picture_is_named(make: Make, samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(JudgeError) as caught:
        make().score([replace(samples[0], path=tmp_path / "gone.png")])
    assert caught.value.path == tmp_path / "gone.png"


def test_comparing_is_antisymmetric_and_in_order(make: Make, samples: list[Sample]) -> None:
    judge = make()
    pairs = [(a, b) for a in samples[:4] for b in samples[4:]]
    forth, back = judge.compare(pairs), judge.compare([(b, a) for a, b in pairs])
    assert [(p.a, p.b) for p in forth] == pairs
    assert [p.value for p in forth] == [1 - p.value for p in back]
    assert [p.value for p in judge.compare([(s, s) for s in samples])] == [0.5] * len(samples)


def test_a_lone_sample_can_be_judged_and_none_gives_none(make: Make, samples: list[Sample]) -> None:
    judge = make()
    (lone,) = judge.score(samples[1:2])
    assert "diversity" not in lone.axes and 0 <= lone.score <= 1
    assert judge.score([]) == [] and judge.compare([]) == []


def test_weights_change_score_and_fingerprint(make: Make, samples: list[Sample]) -> None:
    plain = make()
    axes = list(plain.score(samples)[-1].axes)
    last = [a for a in axes if a != "originality"]
    only = make(weights={a: 0.0 for a in axes if a != last[0]})
    assert plain.fingerprint != only.fingerprint
    for judgement in only.score(samples):
        if last[0] in judgement.axes:
            assert judgement.score == pytest.approx(judgement.axes[last[0]])
