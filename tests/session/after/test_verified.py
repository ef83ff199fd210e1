"""The levels of a certificate, and forgeries whose every number, sentence, hash and seal was made to agree anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from bracket.cli.app import app
from bracket.demo.dataset import write_demo_dataset
from bracket.domain import Launch, Round, Sample, Trial, mean
from bracket.files import read_json, write_json
from bracket.judges.people.votes import VoteBook
from bracket.report.claims.certificate import what_follows
from bracket.report.claims.evidence import hash_of, sha256
from bracket.session.after import verified
from bracket.session.asked.seeds import Seeds
from bracket.session.duel.plan import PLAN
from bracket.session.running import launch
from bracket.session.running.run import write_session_report
from bracket.trainers import Job
from tests.session import scripted

pytestmark = pytest.mark.slow

LOST, *_ = Seeds(0).training(Round.CONFIRMATION, 2)[1:]
SIDES = ("winner", "baseline", "runner_up")
Content = dict[str, Any]
Change = Callable[[Content, Path], None]


class _Crashing(scripted.ScriptedTrainer):
    """Crashes in the baseline's training with one of the fresh seeds."""

    def launch(self, job: Job, trials: list[Trial]) -> Launch:  # type: ignore[override]
        (trial,) = trials
        self.fail = trial.origin == "baseline" and trial.seed == LOST
        return super().launch(job, trials)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished session that compared the runner-up too, with a crash and a person's votes; only to be read."""
    root = tmp_path_factory.mktemp("verified")
    asked = scripted.settings_for(write_demo_dataset(root / "zorp"), configs=3, seeds=1, pairs=7)
    search = asked.search.model_copy(update={"strategy": "screen", "rungs": 1})
    confirmation = asked.confirmation.model_copy(update={"runner_up": True})
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((scripted.job, "make_trainer"), (scripted.run, "session_judge")):
            patch.setattr(module, name, getattr(module, name))
        patch.setattr(scripted.plan, "judge_problems", scripted.plan.judge_problems)
        patch.setattr(verified, "session_judge", lambda *_: scripted.ScriptedJudge())
        patch.setenv("BRACKET_CACHE", str(root / "cache"))
        update = {"search": search, "confirmation": confirmation}
        folder = launch.create(asked.model_copy(update=update), root / "s")
        summary = scripted.play(folder, _Crashing())
        assert summary is not None and summary.duel is not None
        assert summary.verdict.kind == "config" and summary.left_out == ()
        assert [(pair.seed, pair.lost) for pair in summary.pairs if pair.lost] == [(LOST, ("baseline",))]
        book = VoteBook(folder, {"a": _drawn(summary.duel.winner), "b": _drawn(summary.duel.baseline)})
        while shown := book.next_pair():
            book.record(shown, float("winner" in shown.left.parts))
        write_session_report(folder)
        yield folder


def _drawn(judgements: Any) -> list[Sample]:
    return [judgement.sample for judgement in judgements]


@pytest.fixture
def copy(session: Path, tmp_path: Path) -> Path:
    """The session's folder, free to be changed."""
    return shutil.copytree(session, tmp_path / "s")


def _written(folder: Path, content: Content) -> Path:
    """The certificate, its plan hashed and itself sealed as a forger would."""
    content["plan_sha256"] = hash_of(content["plan"])
    content["seal"] = hash_of({key: value for key, value in content.items() if key != "seal"})
    path = folder / "report" / "certificate.json"
    write_json(path, content)
    return path


def _content(folder: Path) -> Content:
    return dict(read_json(folder / "report" / "certificate.json"))


def test_an_honest_certificate_holds_at_every_level(session: Path) -> None:
    path = session / "report" / "certificate.json"
    assert [verified.verify(path, level) for level in verified.LEVELS] == [verified.Held(n) for n in verified.LEVELS]
    content = _content(session)
    assert content["votes"]["voted"] and content["plan"]["runner_up"] and _lost(content)["baseline"] == 0
    again = what_follows(content)
    assert {name: content[name] for name in again} == again, "a forger has the same tool"


def test_the_command_says_which_level_was_reached_and_what_none_shows(session: Path, copy: Path) -> None:
    held = CliRunner().invoke(app, ["verify", str(session), "--rejudge"])
    assert held.exit_code == 0, held.output
    said = " ".join(held.output.split())
    assert "Numbers hold" in said and "Pictures hold" in said and "holds at the level 'judgements'" in said
    assert " ".join(verified.NOT_SHOWN.split()) in said
    content = _content(copy)
    _no_hashes(content, copy)
    _written(copy, content)
    lacking = CliRunner().invoke(app, ["verify", str(copy), "--pictures"])
    assert lacking.exit_code == 1 and "Pictures do not hold:" in lacking.output
    assert "Numbers hold" in lacking.output and "Pictures hold" not in lacking.output


def _lost(content: Content) -> Content:
    """The pair whose baseline crashed."""
    (pair,) = [pair for pair in content["pairs"] if pair.get("lost")]
    return dict(pair)


def test_the_report_says_which_training_was_lost_and_why(session: Path) -> None:
    cause = _lost(_content(session))["ended"]["baseline"]["cause"].splitlines()[0]
    for name in ("report.md", "report.html"):
        text = (session / "report" / name).read_text()
        told = text[text.index("1 pair had a training that was lost") :]
        told = told[: told.index("Named before the duel")]
        assert str(LOST) in told and "baseline" in told and "crashed" in told and cause[:20] in told


def _fresh_plan(change: Callable[[Content], None]) -> Change:
    """A forger who can change the certificate's plan changes the session's too."""

    def both(content: Content, folder: Path) -> None:
        change(content["plan"])
        write_json(folder / PLAN, content["plan"])

    return both


def _rows(content: Content, side: str) -> list[Content]:
    return [*content["duel"][side], *(row for pair in content["pairs"] for row in pair[f"{side}_judgements"])]


# Forgeries of what a certificate rests on: all that follows is computed anew.


def _high_alpha(content: Content, folder: Path) -> None:
    content["settings"]["confirmation"]["alpha"] = 0.4
    _fresh_plan(lambda plan: plan.update(alpha=0.4))(content, folder)


def _high_alpha_everywhere(content: Content, folder: Path) -> None:
    _high_alpha(content, folder)
    asked = yaml.safe_load((folder / "session.yaml").read_text())
    asked["confirmation"]["alpha"] = 0.4
    (folder / "session.yaml").write_text(yaml.safe_dump(asked))


def _invented_pairs(content: Content, folder: Path) -> None:
    for pair in content["pairs"]:
        pair.update(winner=0.9, baseline=0.1, runner_up=0.1, **{f"{side}_judgements": [] for side in SIDES})


def _one_pair_five_times(content: Content, folder: Path) -> None:
    first, *rest = content["pairs"]
    for pair in rest:
        pair.pop("lost", None)
        pair.update({key: deepcopy(value) for key, value in first.items() if key != "seed"})


def _one_pair_with_its_files_five_times(content: Content, folder: Path) -> None:
    first, *rest = [pair for pair in content["pairs"] if not pair.get("lost")]
    for pair in rest:
        for side in SIDES:
            theirs = pair[f"{side}_judgements"] = [
                {**row, "file": old["file"]}
                for row, old in zip(first[f"{side}_judgements"], pair[f"{side}_judgements"], strict=True)
            ]
            for row, own in zip(theirs, first[f"{side}_judgements"], strict=True):
                shutil.copy(folder / own["file"], folder / row["file"])


def _harsher_judge(content: Content, folder: Path) -> None:
    for row in _rows(content, "baseline"):
        row.update(judge="harsh", score=row["score"] / 2)


def _no_hashes(content: Content, folder: Path) -> None:
    for side in SIDES:
        for row in _rows(content, side):
            row["sha256"] = None


def _votes_invented(content: Content, folder: Path) -> None:
    content["votes"]["voted"] = [1 - value for value in content["votes"]["voted"]]
    content["votes"]["judged"] = list(content["votes"]["voted"])


def _votes_dropped(content: Content, folder: Path) -> None:
    content["votes"] = None


def _seed_hidden(content: Content, folder: Path) -> None:
    content["pairs"] = [pair for pair in content["pairs"] if not pair.get("lost")]
    _fresh_plan(lambda plan: plan["training_seeds"].remove(LOST))(content, folder)


def _seed_left_out_for_a_made_up_reason(content: Content, folder: Path) -> None:
    lost = content["pairs"].pop()
    log = _lost(content)["ended"]["baseline"]  # the log of a crash that there was
    ended = {"winner": {**log, "cause": "the disk was full"}}
    content["left_out"].append({"seed": lost["seed"], "ended": ended})


def _baseline_said_to_have_crashed(content: Content, folder: Path) -> None:
    pair = next(pair for pair in content["pairs"] if not pair["ended"])
    pair |= {"baseline": 0.0, "baseline_judgements": [], "lost": ["baseline"]}
    pair["ended"] = {"baseline": _lost({"pairs": [p for p in content["pairs"] if p is not pair]})["ended"]["baseline"]}


def _pictures_of_the_plan_swapped(content: Content, folder: Path) -> None:
    plan = content["plan"]
    one, other = plan["pictures"][:2]
    plan["pictures"][:2] = [other, one]
    plan["prompts"] = [text for text, _ in plan["pictures"]]
    for side in SIDES:
        content["duel"][side][:2] = reversed(content["duel"][side][:2])
    write_json(folder / PLAN, plan)


def _comparison_dropped(content: Content, folder: Path) -> None:
    del content["duel"]["runner_up"]
    for pair in content["pairs"]:
        del pair["runner_up"], pair["runner_up_judgements"]
    _fresh_plan(lambda plan: plan.update(comparisons=["baseline"], runner_up=None))(content, folder)


def _votes_that_disagree_dropped(content: Content, folder: Path) -> None:
    for name in ("pictures", "judged", "voted"):
        content["votes"][name].pop()


def _older_edition(content: Content, folder: Path) -> None:
    content["plan"]["edition"] = 1


def _older_edition_without_a_plan(content: Content, folder: Path) -> None:
    _older_edition(content, folder)
    (folder / PLAN).unlink()


def _other_order(content: Content, folder: Path) -> None:
    _fresh_plan(lambda plan: plan.update(order_seed=plan["order_seed"] + 1))(content, folder)


def _all_of_alpha(content: Content, folder: Path) -> None:
    _fresh_plan(lambda plan: plan.update(alpha=0.05))(content, folder)


def _series_forgotten(content: Content, folder: Path) -> None:
    def forget(plan: Content) -> None:
        for name in ("whole_alpha", "earlier", "family", "rejudged"):
            del plan[name]
        plan["alpha"] = 0.05

    _fresh_plan(forget)(content, folder)


def _same_picture_twice(content: Content, folder: Path) -> None:
    best, *_, worst = sorted(content["duel"]["winner"], key=lambda row: -row["score"])
    worst.update({key: best[key] for key in ("file", "sha256", "score", "axes")})


def _file_replaced(content: Content, folder: Path) -> None:
    Image.new("RGB", (8, 8), (250, 1, 2)).save(folder / content["duel"]["winner"][0]["file"])


def _file_gone(content: Content, folder: Path) -> None:
    (folder / content["pairs"][1]["winner_judgements"][0]["file"]).unlink()


def _more_seeds_chose(content: Content, folder: Path) -> None:
    content["choosing"]["winner_training_seeds"] = 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_high_alpha, "an alpha of 0.4; a session's is at most 0.1"),
        (_high_alpha_everywhere, "an alpha of 0.4; a session's is at most 0.1"),
        (_invented_pairs, "the winner's score of 0.9 has no judgements"),
        (_one_pair_five_times, "is the same to the last bit as"),
        (_one_pair_with_its_files_five_times, "is the same to the last bit as"),
        (_harsher_judge, "Pictures were judged by 'harsh'"),
        (_no_hashes, "has no SHA-256"),
        (_votes_invented, "is not that of its scores"),
        (_votes_dropped, "The votes are not those that were cast"),
        (_votes_that_disagree_dropped, "The votes are not those that were cast"),
        (_seed_hidden, "The plan's training seeds are not those that the session's settings give"),
        (_seed_left_out_for_a_made_up_reason, "which the plan's rules don't allow"),
        (_baseline_said_to_have_crashed, "not those that the session's ledger has"),
        (_pictures_of_the_plan_swapped, "The plan's pictures are not those"),
        (_comparison_dropped, "The plan's comparisons are not those"),
        (_older_edition, "confirm/plan.json is not the plan"),
        (_older_edition_without_a_plan, "The plan's edition"),
        (_other_order, "The plan's order seed"),
        (_all_of_alpha, "the tries before it leave 0.04 of 0.05"),
        (_series_forgotten, "The plan's whole alpha"),
        (_same_picture_twice, "is the same to the last bit as"),
        (_file_replaced, "is not the file that was judged"),
        (_file_gone, "is not in the session's folder"),
        (_more_seeds_chose, "more training seeds than the finals had"),
    ],
)
def test_a_forgery_in_which_all_agrees_does_not_hold_with_its_pictures(copy: Path, change: Change, said: str) -> None:
    content = _content(copy)
    change(content, copy)
    for pair in content["pairs"]:
        for side in SIDES:
            if rows := pair.get(f"{side}_judgements"):
                pair[side] = mean([row["score"] for row in rows])
    content |= what_follows(content)
    held = verified.verify(_written(copy, content), "pictures")
    assert held.level != "pictures" and any(said in line for line in held.mismatches), held


# Forgeries of what follows.


def _sentence(content: Content) -> None:
    content["sentence"] = "lr 1e-3 wins in every world there is"


def _label(content: Content) -> None:
    content["verdict"]["winner"] = "the settings of our shop"


def _note(content: Content) -> None:
    content["verdict"]["notes"].append("Confirmed by an independent laboratory.")


def _interval(content: Content) -> None:
    content["verdict"]["config"]["difference_low"] += 0.05


def _invented_key(content: Content) -> None:
    content["flips"]["prompts"]["also"] = None


def _invented_pair_key(content: Content) -> None:
    content["pairs"][0]["trained on"] = "our own machine"


def _missing_key(content: Content) -> None:
    del content["flips"]["prompts"]["flips"]


def _plan_rule(content: Content) -> None:
    content["plan"]["rule"] = "The winner is declared at p <= 0.001."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_sentence, "gives sentence as lr 1e-3 wins in every world"),
        (_label, "gives verdict.winner as the settings of our shop"),
        (_note, "verdict.notes"),
        (_interval, "verdict.config.difference_low"),
        (_invented_key, "holds flips.prompts.also"),
        (_invented_pair_key, "holds 'trained on'"),
        (_missing_key, "lacks flips.prompts.flips"),
        (_plan_rule, "confirm/plan.json is not the plan"),
    ],
)
def test_words_and_numbers_that_do_not_follow_do_not_hold(copy: Path, change: Callable[..., None], said: str) -> None:
    content = _content(copy)
    change(content)
    held = verified.verify(_written(copy, content), "pictures")
    assert held.level != "pictures" and any(said in line for line in held.mismatches), held


# Forgeries that only the judge can tell.


def _score(content: Content, folder: Path) -> None:
    content["duel"]["winner"][0].update(score=0.99, axes={"brightness": 0.99})


def _picture_and_hash(content: Content, folder: Path) -> None:
    row = content["pairs"][0]["baseline_judgements"][0]
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / row["file"])
    row["sha256"] = sha256(folder / row["file"])


@pytest.mark.parametrize("change", [_score, _picture_and_hash])
def test_a_score_that_only_the_judge_can_tell_takes_asking_it_again(copy: Path, change: Change) -> None:
    content = _content(copy)
    change(content, copy)
    for pair in content["pairs"]:
        told = {side: pair[f"{side}_judgements"] for side in SIDES if pair[f"{side}_judgements"]}
        pair.update({side: mean([row["score"] for row in rows]) for side, rows in told.items()})
    content |= what_follows(content)
    path = _written(copy, content)
    assert verified.verify(path, "pictures") == verified.Held("pictures")
    held = verified.verify(path, "judgements")
    assert held.level == "pictures" and "the same judge now says" in held.mismatches[0]


def test_another_judge_is_not_asked(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(scripted.ScriptedJudge):
        fingerprint = "2"

    monkeypatch.setattr(verified, "session_judge", lambda *_: Other())
    held = verified.verify(copy / "report" / "certificate.json", "judgements")
    assert held.level == "pictures" and held.mismatches == (
        "The judge was scripted 1; here it is scripted 2, which may score otherwise.",
    )
