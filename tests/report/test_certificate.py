from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bracket.domain import Judgement, Sample
from bracket.errors import CertificateError
from bracket.report import certificate
from bracket.report.summary import Duel, Summary

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def content(finished: Summary) -> dict[str, Any]:
    """The certificate's content, free to be changed."""
    return certificate.build(finished)


def verify(content: dict[str, Any], finished: Summary, *, sealed: bool = True) -> list[str]:
    """Verifies changed content beside the real pictures; `sealed` makes the forger seal it anew."""
    if sealed:
        rest = {key: value for key, value in content.items() if key != "seal"}
        text = json.dumps(rest, sort_keys=True, ensure_ascii=False)
        content = {**rest, "seal": hashlib.sha256(text.encode()).hexdigest()}
    path = finished.folder / "forged" / "certificate.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return certificate.verify(path)


def test_holds_as_written(finished: Summary) -> None:
    assert certificate.verify(finished.folder / "report" / "certificate.json") == []


def test_holds_everything_the_verdict_rests_on(finished: Summary, content: dict[str, Any]) -> None:
    first = content["duel"]["winner"][0]
    assert finished.duel is not None
    judgement = finished.duel.winner[0]
    assert (first["prompt"], first["sample_seed"], first["score"]) == (
        judgement.sample.prompt, judgement.sample.seed, judgement.score,
    )  # fmt: skip
    assert first["axes"] == judgement.axes
    assert first["file"] == "confirm/winner/000-s500.png"
    assert first["sha256"] == hashlib.sha256(judgement.sample.path.read_bytes()).hexdigest()
    assert len(content["duel"]["baseline"]) == 16
    assert [len(pair["winner_judgements"]) for pair in content["pairs"]] == [8] * 5
    assert content["checkpoints"]["winner"][0]["sha256"]
    assert content["choosing"]["winner_training_seeds"] == 2
    assert content["verdict"]["kind"] == "config"


def test_a_changed_judgement_is_caught_even_when_sealed_anew(finished: Summary, content: dict[str, Any]) -> None:
    content["duel"]["baseline"][3]["score"] += 0.01
    found = verify(content, finished)
    assert any("verdict.checkpoint.mean_difference" in line for line in found)


def test_a_changed_axis_breaks_the_seal(finished: Summary, content: dict[str, Any]) -> None:
    content["duel"]["winner"][0]["axes"]["adherence"] = 1.0
    assert verify(content, finished, sealed=False) == ["The content was changed after the certificate was sealed."]


def _lower_pair(content: dict[str, Any]) -> None:
    content["pairs"][0]["winner"] -= 0.2


def _old_prompt(content: dict[str, Any]) -> None:
    content["choosing"]["prompts"].append(content["plan"]["prompts"][0])


def _old_seed(content: dict[str, Any]) -> None:
    content["choosing"]["training_seeds"].append(1000)


def _drop_picture(content: dict[str, Any]) -> None:
    content["duel"]["winner"].pop()


def _other_kind(content: dict[str, Any]) -> None:
    content["verdict"]["kind"] = "checkpoint"


def _other_plan(content: dict[str, Any]) -> None:
    content["plan"]["judge"] = "a kinder one"


def _no_duel(content: dict[str, Any]) -> None:
    content["duel"] = None


def _single_seed(content: dict[str, Any]) -> None:
    content["verdict"]["config"] = None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_lower_pair, "Seed 1000: the winner's mean score is given as"),
        (_old_prompt, "took part in choosing the winner"),
        (_old_seed, "The training seed 1000 took part"),
        (_drop_picture, "was judged on one side only"),
        (_other_kind, "The certificate gives verdict.kind as checkpoint, its judgements give config"),
        (_other_plan, "The plan of the confirmation was changed"),
        (_no_duel, "holds no judgements of one"),
        (_single_seed, "verdict.config as nothing, its judgements give one"),
    ],
)
def test_every_change_is_named(finished: Summary, content: dict[str, Any], change: Change, said: str) -> None:
    change(content)
    assert any(said in line for line in verify(content, finished))


def test_a_changed_picture_is_caught(world: Any) -> None:
    summary = world.summary(pairs=0)
    path = certificate.write(summary, world.folder / "report")
    assert certificate.verify(path) == []
    picture = summary.duel.winner[0].sample.path
    data = bytearray(picture.read_bytes())
    data[-1] ^= 1
    picture.write_bytes(data)
    assert certificate.verify(path) == [
        "confirm/winner/000-s500.png is not the file that was judged: its SHA-256 differs."
    ]
    picture.unlink()
    assert certificate.verify(path) == []


def test_flips_drawn_for_many_prompts_are_the_same_again(
    finished: Summary, tmp_path: Path, verdict_for: Callable[..., Any]
) -> None:
    def side(shift: float) -> tuple[Judgement, ...]:
        # Another order than sorted, and scores that cancel in part, so that p depends on the flips drawn.
        found = [(i * 7 % 20, 0.5 + shift * (1 if i % 3 else -0.8)) for i in range(20)]
        return tuple(Judgement(Sample(Path(f"{i}.png"), f"p{i}", 5, 9), "clip", s, {"a": math.nan}) for i, s in found)

    duel = Duel(side(0.05), tuple(reversed(side(0.0))))
    prompts = tuple(j.sample.prompt for j in duel.winner)
    # Judged in another order than the session's, as after a resume.
    shuffled = Duel(duel.winner[::-1], duel.baseline)
    summary = replace(finished, duel=shuffled, pairs=(), verdict_prompts=prompts, verdict=verdict_for(duel, ()))
    assert not summary.verdict.checkpoint.exact
    assert summary.verdict.checkpoint.p_greater != verdict_for(shuffled, ()).checkpoint.p_greater
    assert certificate.verify(certificate.write(summary, tmp_path)) == []


def test_a_session_without_a_confirmation_has_a_certificate_too(
    finished: Summary, tmp_path: Path, verdict_for: Callable[..., Any]
) -> None:
    summary = replace(finished, duel=None, pairs=(), verdict=verdict_for(None, ()))
    assert certificate.verify(certificate.write(summary, tmp_path)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "can't be read"),
        ("[]", "no bracket certificate"),
        ('{"format": "bracket certificate", "version": 9}', "version 9"),
        ('{"format": "bracket certificate", "version": 1}', "damaged"),
    ],
)
def test_a_damaged_file_is_an_error_with_a_remedy(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "certificate.json"
    path.write_text(text)
    with pytest.raises(CertificateError, match=said) as caught:
        certificate.verify(path)
    assert caught.value.path == path
    assert caught.value.remedy


def test_a_missing_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="there is no certificate here"):
        certificate.verify(tmp_path / "certificate.json")
