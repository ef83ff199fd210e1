"""Which picture stands where in a grid of any knob × any knob × prompt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bracket.domain import Config, Round, Sample, Score
from bracket.errors import SettingsError
from bracket.report import xyz

PROMPTS = ("a red star", "a blue star", "a green star")


@dataclass(frozen=True)
class Shown:
    id: str
    config: Config
    score: Score | None = None
    samples: Sequence[Sample] = ()
    round: Round = Round.SEARCH
    rung: int = 0
    seed: int = 7
    steps: int = 120


def drawn(
    name: str, prompts: Sequence[str] = PROMPTS, seeds: Sequence[int] = (1,), steps: Sequence[int] = (120,)
) -> tuple[Sample, ...]:
    return tuple(Sample(Path(f"{name}/{p}-{s}-{t}.png"), p, s, t) for t in steps for p in prompts for s in seeds)


def trial(name: str, rate: float, rank: int = 8, total: float | None = 0.5, **other: object) -> Shown:
    made = Shown(name, {"learning_rate": rate, "rank": rank}, Score(total, total, total) if total is not None else None)
    return replace(made, **{"samples": drawn(name), **other})  # type: ignore[arg-type]


def names(grid: xyz.Grid, plane: int = 0) -> list[list[str]]:
    return [[cell.trial.id if cell else "" for cell in row] for row in grid.planes[plane].cells]


def axis(name: str, trials: Sequence[Shown]) -> xyz.Axis:
    return xyz.axis_named(name, xyz.axes_of(trials))


def test_only_what_differs_is_an_axis() -> None:
    one = [trial("a", 1e-3)]
    assert [a.name for a in xyz.axes_of(one)] == ["prompt", "nothing"]
    two = [*one, trial("b", 1e-4), trial("without pictures", 1e-3, rank=2, samples=())]
    assert [a.name for a in xyz.axes_of(two)] == ["learning_rate", "prompt", "nothing"]
    many = [
        *two,
        trial("c", 1e-3, 4, seed=8, samples=drawn("c", seeds=(1, 2), steps=(60, 120))),
        trial("d", 1e-3, round=Round.FINALS, steps=200),
    ]
    every = ["learning_rate", "rank", "prompt", "step", "training_seed", "sample_seed", "round", "nothing"]
    assert [a.name for a in xyz.axes_of(many)] == every


def test_columns_are_sorted_and_rows_keep_the_prompts_order() -> None:
    trials = [trial("b", 1e-3), trial("c", 1e-2), trial("a", 1e-4)]
    x, y, z = xyz.chosen(xyz.axes_of(trials))
    grid = xyz.build(trials, x, y, z, prompts=[PROMPTS[2], PROMPTS[0]])
    assert (grid.columns, grid.rows) == (("1e-4", "1e-3", "1e-2"), (PROMPTS[2], PROMPTS[0]))
    assert names(grid) == [["a", "b", "c"], ["a", "b", "c"]]
    cell = grid.planes[0].cells[0][1]
    assert cell and [s and s.prompt for s in cell.samples] == [PROMPTS[2]]
    assert (cell.matched, cell.words) == (1, "")


def test_of_several_trials_the_best_scored_is_shown() -> None:
    trials = [trial("a", 1e-3, 4, 0.6), trial("b", 1e-3, 8, 0.2), trial("c", 1e-3, 16, None), trial("d", 1e-4, 4, None)]
    grid = xyz.build(trials, axis("lr", trials), axis("prompt", trials))
    assert names(grid)[0] == ["d", "b"]
    cell = grid.planes[0].cells[0][1]
    assert cell and (cell.score, cell.matched, cell.words) == (0.2, 3, "best of 3")


def test_where_no_trial_matches_a_cell_is_empty() -> None:
    trials = [trial("a", 1e-3, 4), trial("b", 1e-4, 8)]
    grid = xyz.build(trials, axis("learning_rate", trials), axis("rank", trials), axis("prompt", trials))
    assert [p.label for p in grid.planes] == list(PROMPTS)
    assert names(grid) == names(grid, 2) == [["", "a"], ["b", ""]]


def test_a_cell_holds_what_is_on_no_axis_in_one_order() -> None:
    whole = trial("a", 1e-3, samples=drawn("a", seeds=(1, 2)))
    part = trial("b", 1e-4, samples=drawn("b", PROMPTS[1:], seeds=(2,)))
    grid = xyz.build([whole, part], axis("lr", [whole, part]), xyz.NOTHING, prompts=PROMPTS[:2])
    first, second = grid.planes[0].cells[0]
    assert grid.slots == 4 and first and second
    assert [s and (s.prompt, s.seed) for s in second.samples] == [(p, s) for p in PROMPTS[:2] for s in (1, 2)]
    assert [s is None for s in first.samples] == [True, True, True, False]


def test_the_newest_picture_unless_steps_are_an_axis() -> None:
    trials = [trial("a", 1e-3, samples=drawn("a", steps=(40, 120, 80)))]
    step, prompt = axis("step", trials), axis("prompt", trials)
    newest = xyz.build(trials, xyz.NOTHING, prompt).planes[0].cells[0][0]
    assert newest and newest.samples[0] and newest.samples[0].step == 120
    grid = xyz.build(trials, step, prompt)
    assert grid.columns == ("40", "80", "120")
    assert [c and c.samples[0] and c.samples[0].step for c in grid.planes[0].cells[0]] == [40, 80, 120]


def test_only_trials_of_one_length_are_laid_side_by_side() -> None:
    short = [trial(f"s{i}", rate) for i, rate in enumerate((1e-4, 1e-3, 1e-2))]
    rung = [trial("r", 1e-3, rung=1, steps=240)]
    finals = [trial("f", 1e-3, round=Round.FINALS, steps=240), trial("g", 1e-2, round=Round.FINALS, steps=240)]
    trials = [*short, *rung, *finals]
    labels = ["search, 120 steps", "search, 240 steps", "finals, 240 steps"]
    assert [s.label for s in xyz.stages_of(trials)] == labels
    longest = xyz.longest(trials)
    assert longest and longest.label == "finals, 240 steps", "as long as the rung, but with more configs"
    lr, prompt = axis("lr", trials), axis("prompt", trials)
    assert names(xyz.build(trials, lr, prompt))[0] == ["f", "g"]
    searched = xyz.stage_named("search", xyz.stages_of(trials))
    assert searched.steps == 240
    grid = xyz.build(trials, lr, axis("round", trials), stage=searched)
    assert grid.rows == tuple(labels), "an axis of rounds shows them all"
    assert names(grid) == [["s0", "s1", "s2"], ["", "r", ""], ["", "f", "g"]]
    with pytest.raises(SettingsError, match=r"no pictures of a round called 'duel'.*finals, 240 steps"):
        xyz.stage_named("duel", xyz.stages_of(trials))


def test_many_numbers_are_put_into_ranges() -> None:
    trials = [trial(f"t{i:02}", (i + 1) * 1e-4, total=1 - i / 100) for i in range(20)]
    lr, prompt = axis("lr", trials), axis("prompt", trials)
    grid = xyz.build(trials, lr, prompt, most=5)
    assert grid.columns == ("1e-4 … 4e-4", "5e-4 … 8e-4", "9e-4 … 1.2e-3", "1.3e-3 … 1.6e-3", "1.7e-3 … 2e-3")
    assert names(grid)[0] == ["t03", "t07", "t11", "t15", "t19"], "the best of each range"
    assert {c.words for c in grid.planes[0].cells[0] if c} == {"best of 4"}
    assert grid.notes == ("20 values of learning rate: in 5 ranges, the best trial of each.",)
    assert len(xyz.build(trials, lr, prompt).columns) == 12
    assert len(xyz.build(trials[:12], lr, prompt).columns) == 12
    assert not xyz.build(trials[:12], lr, prompt).notes


def test_values_that_read_alike_share_a_column() -> None:
    trials = [trial("a", 7.811e-4, total=0.4), trial("b", 7.812e-4, total=0.3), trial("c", 1e-3)]
    grid = xyz.build(trials, axis("lr", trials), axis("prompt", trials))
    assert (grid.columns, names(grid)[0]) == (("7.8e-4", "1e-3"), ["b", "c"])


def test_steps_and_seeds_are_thinned_out() -> None:
    trials = [trial("a", 1e-3, samples=drawn("a", steps=range(10, 410, 10)))]
    grid = xyz.build(trials, axis("step", trials), axis("prompt", trials), most=4)
    assert grid.columns == ("10", "140", "270", "400")
    assert grid.notes == ("4 of 40 steps are shown.",)


def test_words_switches_and_a_knob_that_some_lack() -> None:
    made = [
        replace(trial(n, 1e-3), config=c)
        for n, c in (
            ("a", {"optimizer": "prodigy", "mask": True}),
            ("b", {"optimizer": "adamw", "mask": False, "rank": 8}),
        )
    ]
    optimizer, mask, rank = (axis(n, made) for n in ("optimizer", "mask", "rank"))
    grid = xyz.build(made, optimizer, mask, rank)
    assert (grid.columns, grid.rows) == (("adamw", "prodigy"), ("off", "on"))
    assert [p.label for p in grid.planes] == ["rank 8", "rank not used"]
    assert names(grid) == [["b", ""], ["", ""]] and names(grid, 1) == [["", ""], ["", "a"]]


def test_axes_are_found_by_any_spelling_and_missing_ones_named() -> None:
    axes = xyz.axes_of([trial("a", 1e-3, 4), trial("b", 1e-4, 8, seed=9)])
    for name in ("learning_rate", "Learning rate", "lr", "learning-rate"):
        assert xyz.axis_named(name, axes).name == "learning_rate"
    assert xyz.axis_named("training seed", axes).kind == "training_seed"
    with pytest.raises(
        SettingsError, match=r"no axis called 'rnak'. Did you mean rank\? What differs here: learning_rate"
    ):
        xyz.axis_named("rnak", axes)


def test_what_is_not_named_takes_what_is_free() -> None:
    axes = xyz.axes_of([trial("a", 1e-3, 4), trial("b", 1e-4, 8)])
    assert [a.name for a in xyz.chosen(axes)] == ["learning_rate", "prompt", "nothing"]
    assert [a.name for a in xyz.chosen(axes, x="prompt")] == ["prompt", "learning_rate", "nothing"]
    assert [a.name for a in xyz.chosen(axes, y="lr", z="prompt")] == ["rank", "learning_rate", "prompt"]


def test_what_cannot_be_laid_out_is_said() -> None:
    trials = [trial("a", 1e-3), trial("b", 1e-4)]
    lr, prompt = axis("lr", trials), axis("prompt", trials)
    with pytest.raises(SettingsError, match="learning_rate is on two axes"):
        xyz.build(trials, lr, prompt, lr)
    with pytest.raises(SettingsError, match="no trial of this round drew the prompt 'a dog'"):
        xyz.build(trials, lr, prompt, prompts=["a dog"])
    with pytest.raises(SettingsError, match="needs a prompt"):
        xyz.build(trials, lr, prompt, prompts=[])
    with pytest.raises(SettingsError, match="there are no pictures"):
        xyz.build([], lr, prompt)


def test_a_cell_with_too_many_pictures_shows_the_first() -> None:
    trials = [trial("a", 1e-3, samples=drawn("a", seeds=range(20)))]
    grid = xyz.build(trials, xyz.NOTHING, axis("prompt", trials))
    assert grid.slots == 9
    assert grid.notes == ("9 of 20 pictures of a cell are shown.",)


@pytest.mark.slow
def test_ten_thousand_trials_take_less_than_a_second() -> None:
    trials = [trial(f"t{i:05}", 1e-5 * 1.001**i, 2 ** (i % 5), total=(i * 7919 % 10_000) / 1e4) for i in range(10_000)]
    begin = time.process_time()
    grid = xyz.build(trials, *xyz.chosen(xyz.axes_of(trials), z="rank"))
    assert time.process_time() - begin < 1
    assert len(grid.columns) == 12 and len(grid.planes) == 5
    assert sum(c.matched for p in grid.planes for c in p.cells[0] if c) == 10_000
