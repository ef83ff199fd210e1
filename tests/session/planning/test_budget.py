"""What a plan promises and what hours buy: counts by hand, more hours never plan less, plain words for too little."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bracket.cli import app as cli
from bracket.demo.dataset import write_demo_dataset
from bracket.domain import Knob
from bracket.presets import find_preset
from bracket.session.asked.settings import (
    Bound,
    ConfirmationSettings,
    DatasetSettings,
    FinalsSettings,
    JudgeSettings,
    SearchSettings,
    SessionSettings,
    from_preset,
)
from bracket.session.job import Context, resolve
from bracket.session.planning import budget, plan, promise, search_checks, spread
from bracket.session.planning.spread import Spread
from bracket.session.timing import Speed
from bracket.stats.duel.power import detectable_difference

SPEED = Speed(step=1.0, overhead=60.0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_demo_dataset(tmp_path_factory.mktemp("data") / "zorp"))


@pytest.fixture
def asked(dataset: str) -> SessionSettings:
    return from_preset(
        find_preset("embedded-demo"),
        DatasetSettings(folder=dataset, trigger_word="zorp", class_word="star"),
        search=SearchSettings(strategy="tpe", configs=10, steps=300),
        finals=FinalsSettings(finalists=3, steps=600, seeds=2),
        workers=2,
    )


def asks(s: SessionSettings, workers: int = 1) -> Context:
    return resolve(s.model_copy(update={"workers": workers}))


def size(s: SessionSettings) -> budget.Size:
    return budget.Size(s.search.configs, s.finals.finalists, s.finals.seeds, s.confirmation.pairs)


def cost(s: SessionSettings, workers: int = 1) -> float:
    return sum(r.seconds for r in plan.planned_rounds(asks(s, workers), SPEED))


def test_device_time_is_what_all_workers_spend_together(asked: SessionSettings) -> None:
    search, *_ = plan.planned_rounds(asks(asked, 4), SPEED)
    # Ten trials of 360 s: three turns for four workers, the last of them half empty.
    assert (search.seconds, search.device_seconds) == (3 * 360.0, 10 * 360.0)


def test_the_runner_up_is_a_third_arm_of_the_duel(asked: SessionSettings) -> None:
    both = asked.model_copy(update={"confirmation": ConfirmationSettings(pairs=5, runner_up=True)})
    assert [plan.planned_rounds(asks(s), SPEED)[-1].trials for s in (asked, both)] == [10, 15]


@pytest.mark.parametrize(
    ("strategy", "workers"), [("tournament", 1), ("tournament", 3), ("screen", 2), ("asha", 4), ("nsga2", 1)]
)
def test_more_hours_never_plan_less(asked: SessionSettings, strategy: str, workers: int) -> None:
    search = SearchSettings(strategy=strategy, steps=300)
    given = asked.model_copy(update={"search": search})
    before = budget.Size(0, 0, 0, 0)
    for hours in (0.01, 0.3, 1, 1.5, 2, 3, 4, 6, 9, 16, 40, 100):
        fitted = budget.fit(asks(given, workers), hours, SPEED)
        bought = fitted.question.settings
        now = size(bought)
        assert all(a <= b for a, b in zip(vars(before).values(), vars(now).values(), strict=True)), hours
        assert fitted.seconds == cost(bought, workers)
        assert fitted.seconds <= hours * 3600 or now.configs == 1
        assert (bought.search.steps, bought.finals.steps) == (300, 600), "lengths are what was asked"
        assert bought.search.strategy == strategy
        before = now


def test_the_duel_is_reserved_first(asked: SessionSettings) -> None:
    # 5 pairs are 10 trainings of 660 s, and 4 configs with finals of 2 come to 4 × 360 + 2 × 660 or less.
    enough = (10 * 660 + 4 * 360 + 2 * 660) / 3600
    assert size(budget.fit(asks(asked), enough, SPEED).question.settings).pairs == 5
    fitted = budget.fit(asks(asked), enough / 2, SPEED)
    pairs = fitted.question.settings.confirmation.pairs
    assert 0 < pairs < 5
    assert f"pays for {pairs} of the 5 paired runs that a claim about the settings takes. All of them" in fitted.words


def test_a_budget_uses_what_it_has(asked: SessionSettings) -> None:
    for hours in (4, 8, 24):
        fitted = budget.fit(asks(asked), hours, SPEED)
        assert fitted.seconds > 0.85 * hours * 3600
        assert f"pays for {fitted.question.settings.search.configs} configs" in fitted.words


def test_too_little_for_anything_is_said_plainly(asked: SessionSettings) -> None:
    nothing = budget.fit(asks(asked), 0.01, SPEED)
    assert "does not pay for the smallest session of these lengths, which takes 6 min" in nothing.words
    alone = budget.fit(asks(asked), 0.15, SPEED)
    assert size(alone.question.settings) == budget.Size(1, 1, 1, 0)
    assert "pays for the baseline alone, with nothing to compare it with. A comparison would take" in alone.words
    file = budget.fit(asks(asked), 0.6, SPEED)
    assert file.question.settings.confirmation.pairs == 0
    assert "pays for none of the 5 paired runs that a claim about the settings takes" in file.words


def test_what_is_held_stays(asked: SessionSettings) -> None:
    fitted = budget.fit(asks(asked), 8, SPEED, held=("configs", "pairs"))
    assert (fitted.question.settings.search.configs, fitted.question.settings.confirmation.pairs) == (10, 5)


def test_a_stricter_alpha_reserves_more_pairs(asked: SessionSettings) -> None:
    strict = asked.model_copy(update={"confirmation": ConfirmationSettings(alpha=0.01)})
    # 1 %: 1/64 is not small enough, 1/128 is.
    assert promise.fewest_pairs(asks(strict)) == 7
    assert budget.fit(asks(strict), 24, SPEED).question.settings.confirmation.pairs >= 7


def test_no_rung_of_a_fitted_tournament_is_too_short(asked: SessionSettings) -> None:
    short = asked.model_copy(update={"search": SearchSettings(steps=30)})
    for hours in (2, 24, 200):
        rungs = budget.fit(asks(short), hours, SPEED).question.settings.search_rungs()
        assert rungs[0].steps >= 10


def test_the_slider_has_room_above_the_plan() -> None:
    assert [budget.slider_end(s) for s in (60, 1000, 8 * 3600, 1e9)] == [0.5, 1, 24, 720]


def test_each_comparison_says_what_it_can_end_in(asked: SessionSettings) -> None:
    few = asked.model_copy(update={"confirmation": ConfirmationSettings(pairs=2)})
    search, file, config = promise.promises(asks(few), promise.Fresh(20, 20), Spread(), lambda n: 3600.0 * n)
    assert not search.possible and "A ranking is no proof" in search.words
    # 20 prompts, two-sided at 4 %.
    sd = detectable_difference(1.0, 20, alpha=0.04, two_sided=True)
    assert file.possible and f"about {sd:.2f} standard deviations between prompts" in file.words
    assert not config.possible
    assert "with 2 seeds and 2 pairs this is about the checkpoint, not about the settings" in config.words
    assert "3 more pairs would do (+3 h)" in config.words


def test_pairs_say_what_they_could_detect(asked: SessionSettings) -> None:
    *_, config = promise.promises(asks(asked), promise.Fresh(20, 20), Spread(), lambda n: 60.0 * n)
    # Five pairs can't decide early, so the test has all of 5 %.
    sd = detectable_difference(1.0, 5, alpha=0.05)
    assert sd is not None and config.possible
    assert f"A lead of about {sd:.1f} standard deviations between trainings is found in 80 %" in config.words
    assert "10 pairs (+5 min) would find one of about" in config.words
    *_, measured = promise.promises(asks(asked), promise.Fresh(20, 20), Spread(pairs=0.01), lambda n: 60.0 * n)
    assert f"about {100 * sd * 0.01:.1f} points (if trainings differ as in earlier sessions)" in measured.words


def test_too_few_verdict_prompts_promise_nothing(asked: SessionSettings) -> None:
    _, file, _ = promise.promises(asks(asked), promise.Fresh(5, 5), Spread(), lambda n: 0.0)
    assert not file.possible and file.words == "not with 5 verdict prompts; it takes 6."


def test_one_config_promises_nothing(asked: SessionSettings) -> None:
    lonely = asked.model_copy(update={"search": SearchSettings(configs=1)})
    assert promise.promises(asks(lonely), promise.Fresh(20, 20), Spread(), lambda n: 0.0) == ()


def test_the_plan_adds_up(asked: SessionSettings) -> None:
    made = plan.make(asked)
    assert made.trials == 10 + 8 + 10
    assert made.steps == sum(r.all_steps for r in made.rounds)
    assert made.device_seconds == pytest.approx(sum(r.device_seconds for r in made.rounds))
    assert (made.workers, len(made.promises)) == (2, 3)


def test_a_spread_is_pooled_over_sessions_and_counted_once() -> None:
    spread.remember("q", "a", [0.1, 0.2, 0.3], [])
    spread.remember("q", "a", [0.1, 0.2, 0.3], [])
    assert spread.remembered("q") == Spread(), "three differences are too few"
    spread.remember("q", "b", [0.0, 0.4], [0.1] * 5)
    # Variances 0.01 (2 degrees of freedom) and 0.08 (1): (0.02 + 0.08) / 3.
    assert spread.remembered("q").pairs == pytest.approx(math.sqrt(0.1 / 3))
    assert spread.remembered("q").prompts == 0.0
    assert spread.remembered("another") == Spread()


def test_a_damaged_memory_is_no_memory(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "spreads.json").write_text("{ not json")
    assert spread.remembered("q") == Spread()
    spread.remember("q", "a", [0.1, 0.2], [])


def test_spaces_are_counted() -> None:
    rank = Knob("rank", "choice", choices=(2, 4, 8))
    alpha = Knob("alpha", "choice", choices=(2, 4, 8), at_most={"rank": 1.0})
    assert search_checks.space_size([rank]) == 3
    # Alpha is held to the rank: 1 + 2 + 3 of the nine are different.
    assert search_checks.space_size([rank, alpha]) == 6
    assert search_checks.space_size([rank, Knob("lr", "float", low=1e-4, high=1e-3, log=True)]) is None
    assert search_checks.space_size([rank, Knob("lr", "float", low=1e-4, high=1e-4, log=True)]) == 3
    assert search_checks.space_size([Knob("n", "int", low=1, high=4)]) == 4


def problems(s: SessionSettings) -> list[str]:
    return [f"{p.level}: {p.message}" for p in search_checks.search_problems(asks(s))]


def test_a_space_too_small_is_said(asked: SessionSettings) -> None:
    one = {"learning_rate": Bound(low=1e-3, high=1e-3), "rank": Bound(choices=(8,)), "batch_size": Bound(choices=(4,))}
    (said,) = problems(asked.model_copy(update={"bounds": one}))
    assert said.startswith("warning: the bounds leave a single config, so there is nothing to compare")
    few = {**one, "rank": Bound(choices=(4, 8))}
    (said,) = problems(asked.model_copy(update={"bounds": few}))
    assert "the bounds leave 2 different configs, fewer than the 10 to compare" in said


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"strategy": "tournament", "steps": 2}, "error: the first rung of the search would train a single step"),
        ({"strategy": "screen", "steps": 2}, "error: the first rung of the search would train a single step"),
        ({"strategy": "asha", "reduction": 500}, "error: the first rung of the search would train a single step"),
        ({"strategy": "hyperband", "rungs": 1}, "warning: with one rung hyperband drops nobody"),
        ({"strategy": "asha", "rungs": 1}, "warning: with one rung asha drops nobody"),
        ({"strategy": "tournament", "rungs": 1}, ""),
        ({"strategy": "tpe", "reduction": 50}, ""),
    ],
)
def test_rungs_that_make_no_sense_are_said(asked: SessionSettings, search: dict[str, object], said: str) -> None:
    found = problems(asked.model_copy(update={"search": SearchSettings(configs=30, **search)}))  # type: ignore[arg-type]
    assert len(found) == bool(said)
    assert all(one.startswith(said) for one in found)


def test_objectives_that_the_judge_does_not_have_are_said(asked: SessionSettings) -> None:
    odd = SearchSettings(strategy="nsga2", objectives=("likeness", "hands"))
    (said,) = problems(asked.model_copy(update={"search": odd}))
    assert said == "error: the judge does not look at hands, which the search has as an objective"
    fine = SearchSettings(strategy="nsga2")
    assert problems(asked.model_copy(update={"search": fine})) == []
    panel = asked.model_copy(update={"search": fine, "other_judges": (JudgeSettings(kind="reference"),)})
    assert "likeness, adherence" in problems(panel)[0], "a panel's axes are called by their member"


def test_the_command_line_fills_hours(dataset: str, tmp_path: Path) -> None:
    asked = [
        "run",
        str(tmp_path / "s"),
        "--preset",
        "embedded-demo",
        "--data",
        dataset,
        "--trigger",
        "zorp",
        "--dry-run",
    ]
    ended = CliRunner().invoke(cli.app, [*asked, "--hours", "0.3", "--configs", "9"])
    assert ended.exit_code == 0, ended.output
    assert "18 min pays for 9 configs and" in ended.output, "what is named stays"
    assert "search: 9 trials of" in ended.output and "search, rung 2:" in ended.output
    assert "of CPU time" in ended.output or "of GPU time" in ended.output
    assert "+ The winner's settings against the baseline's: can be proved over" in ended.output
    assert not (tmp_path / "s").exists()
