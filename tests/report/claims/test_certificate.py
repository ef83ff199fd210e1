from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bracket.domain import Judgement, Outcome, Round, Sample, TrialResult, mean
from bracket.errors import CertificateError
from bracket.report.claims import certificate
from bracket.report.claims.evidence import plan_of
from bracket.report.claims.scores import Rules, claims_of
from bracket.report.summary import Duel, Pair, Summary
from bracket.stats.duel.sequential import EDITION
from bracket.stats.duel.verdict import decide
from tests.report.conftest import LABEL, SETTINGS

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


def test_holds_in_the_plans_order_which_no_seeds_ascend_in(finished: Summary) -> None:
    turned = [[text, seed] for text in finished.verdict_prompts for seed in (501, 500)]
    planned = replace(finished, plan={**plan_of(finished), "pictures": turned})
    assert verify(certificate.build(planned), finished, sealed=False) == []


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
    assert [len(pair["winner_judgements"]) for pair in content["pairs"]] == [16] * 5
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


def _even(content: dict[str, Any]) -> None:
    """As if neither was better: half of the prompts, and of the pairs, for each."""
    for place, (ours, theirs) in enumerate(zip(*content["duel"].values(), strict=True)):
        ours["score"] = theirs["score"] + (0.03 if place // 2 % 2 else -0.03)
    for place, pair in enumerate(content["pairs"]):
        for ours, theirs in zip(pair["winner_judgements"], pair["baseline_judgements"], strict=True):
            ours["score"] = theirs["score"] + (0.03 if place % 2 else -0.03)
        pair["winner"] = mean([row["score"] for row in pair["winner_judgements"]])
    content |= certificate.what_follows(content)


def test_files_say_their_scales_and_those_of_before_keep_the_words_of_their_day(
    finished: Summary, content: dict[str, Any]
) -> None:
    assert content["scales"]["judged"] == "0 to 1, higher is better"
    _even(content)
    size = content["verdict"]["checkpoint"]["detectable"]
    assert verify(content, finished) == []
    assert f"8 fresh prompts, {100 * size:.1f} points could have been found" in content["sentence"]
    del content["scales"]
    assert any("sentence" in line for line in verify(content, finished))
    content |= certificate.what_follows(content)
    assert f"8 fresh prompts, {size:.3f} could have been found" in content["sentence"]
    assert verify(content, finished) == []
    content["scales"] = {"judged": "0 to 100, higher is better"}
    assert "The certificate names other scales than its numbers have." in verify(content, finished)


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


def crashed(summary: Summary, seed: int) -> Summary:
    """The summary with a fresh training of the winner's that crashed."""
    winner, *others = sorted(summary.rounds[Round.CONFIRMATION], key=lambda ranked: ranked.origin != "winner")
    folder = summary.folder / "trials" / "confirmation-099"
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    (folder / "logs" / "trainer.log").write_text("no space left on device")
    trial = replace(winner.results[0].trial, id=folder.name, seed=seed, folder=folder)
    lost = TrialResult(trial, Outcome.CRASHED, "the disk was full")
    rounds = {**summary.rounds, Round.CONFIRMATION: (replace(winner, results=(*winner.results, lost)), *others)}
    return replace(summary, rounds=rounds)


def with_third(finished: Summary) -> dict[str, Any]:
    """The finals' second with fresh trainings, each judged 0.1 below the winner's of its seed."""
    third = next(r for r in finished.rounds[Round.FINALS] if r.config == {"learning_rate": 2e-3, "rank": 2})
    winner = next(r for r in finished.rounds[Round.CONFIRMATION] if r.origin == "winner")
    fresh = [
        replace(r, judgements=tuple(replace(j, score=j.score - 0.1) for j in r.judgements)) for r in winner.results
    ]
    rows = (*finished.rounds[Round.CONFIRMATION], replace(third, results=tuple(fresh)))
    return {"runner_up": third, "rounds": {**finished.rounds, Round.CONFIRMATION: rows}}


def planned(
    finished: Summary, pairs: int, comparisons: list[str], third: bool = False, edition: int = EDITION, **more: Any
) -> Summary:
    """The finished session as one that planned more than its pairs, its verdict made under that plan."""
    seeds = [pair.seed for pair in finished.pairs]
    plan = {
        **certificate.build(finished)["plan"],
        "training_seeds": seeds + [2000 + i for i in range(pairs - len(seeds))],
        "comparisons": comparisons, "runner_up": None, "pairs": pairs, "live_share": 0.2, "rule": "one sentence",
        "edition": edition,
    }  # fmt: skip
    assert finished.duel is not None
    duel, found = finished.duel, finished.pairs
    if third:
        other = tuple(replace(j, score=j.score / 2) for j in finished.duel.baseline)
        duel, found = replace(duel, runner_up=other), tuple(replace(p, runner_up=p.winner - 0.1) for p in found)
    summary = replace(finished, plan=plan, duel=duel, pairs=found, **more)
    claims = claims_of(duel, summary.pairs, Rules.of(plan, summary.left_out))
    return replace(summary, verdict=decide(LABEL, "baseline", training_seeds=2, **claims.arguments))


def test_a_duel_stopped_by_hand_holds_without_a_claim(finished: Summary) -> None:
    summary = planned(finished, 6, ["baseline"])
    assert summary.verdict.about == "checkpoint"
    assert any("Stopped by hand after 5 of 6 paired training seeds" in note for note in summary.verdict.notes)
    content = certificate.build(summary)
    assert verify(content, finished) == []
    # The same five would have been enough had five been planned; the plan's hash is in the certificate.
    content["verdict"] = finished.verdict.as_dict()
    assert any("verdict.kind as config, its judgements give checkpoint" in line for line in verify(content, finished))


def test_before_edition_3_a_seed_that_crashed_no_longer_counts_as_planned(finished: Summary) -> None:
    assert "which the plan's rules don't allow" in " ".join(
        verify(certificate.build(crashed(planned(finished, 6, ["baseline"], left_out=(2000,)), 2000)), finished)
    )
    summary = crashed(planned(finished, 6, ["baseline"], edition=2, left_out=(2000,)), 2000)
    assert summary.verdict.kind == "config"
    content = certificate.build(summary)
    assert verify(content, finished) == []
    (left,) = content["left_out"]
    assert (left["seed"], left["ended"]["winner"]["cause"]) == (2000, "the disk was full")
    content["left_out"] = [{**left, "seed": 1000}]
    assert "The paired runs' seeds are not those of the plan, in its order." in verify(content, finished)


def test_the_runner_up_is_computed_again_too(finished: Summary) -> None:
    summary = replace(planned(finished, 5, ["baseline", "runner_up"], third=True), **with_third(finished))
    content = certificate.build(summary)
    assert [(other["name"], other["about"]) for other in content["verdict"]["others"]] == [
        ("runner_up", "checkpoint"), ("runner_up", "config"),
    ]  # fmt: skip
    assert verify(content, finished) == []
    content["duel"]["runner_up"][0]["score"] += 0.2
    content["pairs"][4]["runner_up"] -= 0.2
    found = verify(content, finished)
    for about in ("0.claim.mean_difference", "1.claim.mean_difference"):
        assert any(f"verdict.others.{about}" in line for line in found)


def _path(content: dict[str, Any]) -> None:
    content["verdict"]["config"]["watched"]["path"][2] += 1


def _hopeless(content: dict[str, Any]) -> None:
    content["verdict"]["config"]["watched"]["hopeless"] = True


def _carried(content: dict[str, Any]) -> None:
    content["flips"]["prompts"]["flips"] = ["some prompt"]


def _shuffled(content: dict[str, Any]) -> None:
    content["pairs"].reverse()


def _older_rules(content: dict[str, Any]) -> None:
    content["plan"]["edition"] = 1


def _hidden(content: dict[str, Any]) -> None:
    content["verdict"]["checkpoint"] = None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_path, "verdict.config.watched.path.2"),
        (_hopeless, "verdict.config.watched.hopeless as True"),
        (_carried, "flips.prompts.flips"),
        (_shuffled, "not those of the plan, in its order"),
        (_older_rules, "verdict.config.watched.final_alpha"),
        (_hidden, "verdict.checkpoint as nothing, its judgements give one"),
    ],
)
def test_what_was_watched_is_computed_again(
    finished: Summary, content: dict[str, Any], change: Change, said: str
) -> None:
    change(content)
    assert any(said in line for line in verify(content, finished))


def test_a_panel_must_add_up_and_its_judges_are_left_out_in_turn(
    finished: Summary, verdict_for: Callable[..., Any]
) -> None:
    def panel(side: tuple[Judgement, ...]) -> tuple[Judgement, ...]:
        return tuple(replace(j, judge="panel", axes={"clip": j.score, "vlm": j.score}) for j in side)

    assert finished.duel is not None
    settings = {**SETTINGS, "judge": {"share": 2.0}, "other_judges": [{"share": 1.0}]}
    duel = Duel(panel(finished.duel.winner), panel(finished.duel.baseline))
    said: dict[str, Any] = {"judge": "panel 01234567", "settings": settings, "verdict": verdict_for(duel, ())}
    summary = replace(finished, duel=duel, pairs=(), **said)
    content = certificate.build(summary)
    assert content["shares"] == {"clip": 2.0, "vlm": 1.0}
    assert content["flips"]["judges"]["names"] == ["clip", "vlm"]
    assert verify(content, finished) == []
    content["duel"]["winner"][0]["axes"]["vlm"] = 0.0
    assert "A panel's score in the duel is not its judges' mean by their shares." in verify(content, finished)


@pytest.mark.parametrize(("pairs", "prompts"), [(6, 8), (7, 9), (5, 12)])
def test_a_certificate_of_version_3_is_held_to_its_own_rules(finished: Summary, pairs: int, prompts: int) -> None:
    summary = planned(finished, 5, ["baseline"])
    assert summary.plan is not None and finished.duel is not None
    kept = {key: value for key, value in summary.plan.items() if key != "edition"}
    more = [[f"more {i}", 1] for i in range(prompts - 8)]
    kept["pictures"], kept["prompts"] = kept["pictures"] + more, kept["prompts"] + [text for text, _ in more]
    kept["training_seeds"] = kept["training_seeds"] + list(range(2000, 1995 + pairs))
    paired = (*finished.pairs, *(Pair(seed, 0.6, 0.55) for seed in range(2000, 1995 + pairs)))
    claims = claims_of(finished.duel, paired, Rules.of(kept))
    assert claims.config is not None and claims.config.final_alpha == pytest.approx(0.04)
    assert claims.checkpoint is not None and claims.checkpoint.final_alpha == pytest.approx(0.04)
    if prompts > 8:
        assert claims.checkpoint.interval_method == "confidence_sequence"
    verdict = decide(LABEL, "baseline", training_seeds=2, **claims.arguments)
    content = certificate.build(replace(summary, plan=kept, pairs=paired, verdict=verdict))
    content["version"] = 3
    assert verify(content, finished) == []
    content["plan"]["edition"] = 2
    assert any("final_alpha" in line or "interval" in line for line in verify(content, finished))


def test_a_certificate_from_before_duels_were_watched_is_read(finished: Summary) -> None:
    assert finished.duel is not None
    rules = Rules(prompts=8, pairs=5, live_share=0.0, edition=1)
    verdict = decide(LABEL, "baseline", training_seeds=2, **claims_of(finished.duel, finished.pairs, rules).arguments)
    content = certificate.build(replace(finished, verdict=verdict))
    for name in ("left_out", "shares", "flips"):
        del content[name]
    for name in ("comparisons", "live_share", "edition"):
        del content["plan"][name]
    content["plan_sha256"] = hashlib.sha256(
        json.dumps(content["plan"], sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()
    del content["verdict"]["others"]
    for name in ("checkpoint", "config"):
        del content["verdict"][name]["watched"]
    content["version"] = 2
    assert verify(content, finished) == []
    content["pairs"][0]["winner"] -= 0.3
    assert verify(content, finished)


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
