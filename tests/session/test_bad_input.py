"""Sessions with something wrong about them, with real processes: a plain sentence, the best that can be said, and
nothing lost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bracket.cli import app as cli
from bracket.domain import Judgement, Launch, Outcome, Round, Sample, Trial, TrialResult
from bracket.errors import JudgeError, SettingsError
from bracket.files import write_json
from bracket.report.sections.undecided import nothing_judged, why_undecided
from bracket.report.summary import Summary
from bracket.session import view
from bracket.session.asked.settings import (
    Bound,
    ConfirmationSettings,
    FinalsSettings,
    SearchSettings,
)
from bracket.session.running import launch
from bracket.trainers import Job
from tests.session import scripted

pytestmark = pytest.mark.usefixtures("own_trainer")


def made(
    tmp_path: Path, dataset: Path, search: Mapping[str, Any] | None = None, verdict_prompts: int = 20, **changes: Any
) -> Path:
    """A session of four configs in one rung, one seed in the finals, without fresh pairs."""
    asked = scripted.settings_for(dataset)
    own = {"strategy": "random", "configs": 4, "steps": 6, **(search or {})}
    changed = {
        "dataset": asked.dataset.model_copy(update={"verdict_prompts": verdict_prompts}),
        "search": SearchSettings(**own),
        "finals": FinalsSettings(finalists=1, steps=8, seeds=1),
        "confirmation": ConfirmationSettings(pairs=0, sample_seeds=1),
        **changes,
    }
    return launch.create(asked.model_copy(update=changed), tmp_path / "a session")


class Picky(scripted.ScriptedTrainer):
    """A trainer whose program crashes for some trials."""

    def __init__(self, fails: Any) -> None:
        self._fails = fails

    def launch(self, job: Job, trials: Sequence[Trial]) -> Launch:
        self.fail = self._fails(trials[0])
        return super().launch(job, trials)


def results(summary: Summary, round_: Round = Round.SEARCH) -> list[TrialResult]:
    return [r for ranked in summary.rounds.get(round_, ()) for r in ranked.results]


def said(folder: Path) -> str:
    return (folder / "report" / "report.md").read_text()


def test_contradictory_bounds_are_one_sentence_before_any_training(tmp_path: Path, dataset: Path) -> None:
    folder = made(tmp_path, dataset, bounds={"learning_rate": Bound(low=0.5)})
    with pytest.raises(SettingsError, match="the bounds of learning_rate contradict its range"):
        scripted.play(folder)
    assert view.read(folder).state == "failed"
    assert not (folder / "trials").exists()


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (
            {"strategy": "asha", "configs": 12, "reduction": 50},
            "the first rung of the search would train a single step",
        ),
        ({"strategy": "nsga2", "objectives": ("likeness", "hands")}, "the judge does not look at hands"),
    ],
)
def test_a_search_that_can_not_be_is_refused(
    tmp_path: Path, dataset: Path, search: Mapping[str, Any], message: str
) -> None:
    folder = made(tmp_path, dataset, search)
    with pytest.raises(SettingsError, match=message):
        scripted.play(folder)
    assert message in view.read(folder).message
    assert not (folder / "trials").exists()


def test_a_space_of_one_config_is_trained_once_and_said(tmp_path: Path, dataset: Path) -> None:
    one = {"learning_rate": Bound(low=1e-3, high=1e-3), "rank": Bound(choices=(8,)), "batch_size": Bound(choices=(4,))}
    folder = made(tmp_path, dataset, bounds=one, baseline={})
    summary = scripted.play(folder)
    assert [r.trial.origin for r in results(summary)] == ["baseline"]
    assert summary.rounds.keys() == {Round.SEARCH}
    assert why_undecided(summary) == "There was a single config, the baseline, and nothing to compare it with."
    assert why_undecided(summary) in said(folder)
    assert view.read(folder).state == "done"
    assert "the bounds leave a single config" in (folder / "session.log").read_text()


def test_no_config_is_trained_twice_where_few_are_left(tmp_path: Path, dataset: Path) -> None:
    few = {
        "learning_rate": Bound(low=1e-3, high=1e-3),
        "rank": Bound(choices=(4, 8)),
        "batch_size": Bound(choices=(4,)),
    }
    summary = scripted.play(made(tmp_path, dataset, bounds=few, baseline={}))
    assert sorted(r.trial.config["rank"] for r in results(summary)) == [4, 8]
    assert summary.winner is not None, "the two are still compared"


def test_a_budget_too_small_for_any_claim_still_ranks(tmp_path: Path, dataset: Path) -> None:
    folder = made(tmp_path, dataset, verdict_prompts=4)
    summary = scripted.play(folder)
    assert summary.winner is not None and summary.winner.total is not None
    assert summary.verdict.kind == "not_tested"
    assert "can't also prove them" in said(folder)


def test_when_every_trial_fails_the_report_and_the_exit_code_say_so(tmp_path: Path, dataset: Path) -> None:
    trainer = Picky(lambda trial: True)
    folder = made(tmp_path, dataset, {"configs": 3})
    summary = scripted.play(folder, trainer)
    assert nothing_judged(summary) and summary.winner is None
    words = why_undecided(summary)
    assert words.startswith("None of 3 trials could be judged: 3 crashed (") and "told to crash" in words
    assert words in said(folder)
    assert view.read(folder).message == "Done, but nothing could be judged"
    ended = CliRunner().invoke(cli.app, ["run", str(folder), "--quiet"])
    assert ended.exit_code == 1
    assert "None of 3 trials could be judged: 3 crashed" in ended.output
    assert "Traceback" not in ended.output


def test_a_baseline_that_fails_leaves_the_others_ranked(tmp_path: Path, dataset: Path) -> None:
    folder = made(tmp_path, dataset)
    summary = scripted.play(folder, Picky(lambda trial: trial.origin == "baseline"))
    ranked = summary.rounds[Round.FINALS]
    assert [r.total is not None for r in ranked] == [True, False]
    assert all(r.score is not None for r in results(summary) if r.trial.origin != "baseline")
    words = why_undecided(summary)
    assert words.startswith("The baseline failed in the finals: 1 crashed")
    assert f"The best of the others is {ranked[0].label}" in words
    assert words in said(folder)
    assert view.read(folder).verdict == words


def test_only_the_baseline_lives(tmp_path: Path, dataset: Path) -> None:
    folder = made(tmp_path, dataset, {"configs": 3})
    summary = scripted.play(folder, Picky(lambda trial: trial.origin != "baseline"))
    assert Round.FINALS not in summary.rounds
    assert why_undecided(summary).startswith("Only the baseline could be judged; of the others 2 crashed")
    assert why_undecided(summary) in said(folder)


def test_pictures_the_judge_can_not_read_fail_their_trials_by_name(tmp_path: Path, dataset: Path) -> None:
    class Half(scripted.ScriptedJudge):
        def score(self, samples: Sequence[Sample]) -> list[Judgement]:
            for sample in samples:
                if "search-001" in str(sample.path) or "search-003" in str(sample.path):
                    raise JudgeError("the judge gave no answer about a picture", path=sample.path)
            return super().score(samples)

    folder = made(tmp_path, dataset, {"configs": 4})
    summary = scripted.play(folder, judge=Half())
    by_id = {r.trial.id: r for r in results(summary)}
    assert [by_id[f"search-00{i}"].score is not None for i in range(4)] == [True, False, True, False]
    assert by_id["search-001"].outcome is Outcome.NO_SAMPLES
    assert "search-001" in by_id["search-001"].cause
    assert summary.winner is not None and summary.winner.config == by_id["search-002"].trial.config


def test_hyperband_with_one_rung_is_a_plain_search(tmp_path: Path, dataset: Path) -> None:
    folder = made(tmp_path, dataset, {"strategy": "hyperband", "rungs": 1, "configs": 3})
    summary = scripted.play(folder)
    assert {(r.trial.rung, r.trial.steps) for r in results(summary)} == {(0, 6)}
    assert summary.winner is not None
    assert "with one rung hyperband drops nobody" in (folder / "session.log").read_text()


def test_a_search_that_has_little_left_ends_early_and_says_so(tmp_path: Path, dataset: Path) -> None:
    bounds = {"rank": Bound(choices=(8,)), "batch_size": Bound(choices=(4,))}
    folder = made(tmp_path, dataset, {"configs": 16, "stop_below": 0.9, "steps": 2}, bounds=bounds)
    summary = scripted.play(folder)
    tried = len(results(summary))
    assert 11 <= tried < 16, "eight trials, four estimates, and those that ran already"
    words = f"The search stopped after {tried} of 16 configs: the other {16 - tried} were expected to improve"
    assert words in (folder / "session.log").read_text()
    assert words in said(folder)
    amount = re.search(r"improve the best score by (?:less than )?(\d+\.\d) points at most", said(folder))
    assert amount and float(amount[1]) < 90, "in the points that people read, where the settings have 0.9"
    assert view.read(folder).state == "done"
    scripted.play(folder)
    assert len(results(scripted.play(folder))) == tried, "a restart decides the same"


def test_the_ledger_of_a_failed_session_stays(tmp_path: Path, dataset: Path) -> None:
    folder = made(tmp_path, dataset, {"configs": 2})
    scripted.play(folder, Picky(lambda trial: True))
    before = view.read(folder).trials
    write_json(folder / "state.json", {"state": "running", "phase": "search"})
    scripted.play(folder)
    assert [(t.id, t.outcome) for t in view.read(folder).trials] == [(t.id, t.outcome) for t in before]
