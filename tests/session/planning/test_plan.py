"""The plan: counts by hand, what a budget can show, and estimates that learn."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bracket.cli.text import plan_lines
from bracket.dataset import split_to_json
from bracket.demo.dataset import write_demo_dataset
from bracket.files import write_json
from bracket.presets import find_preset
from bracket.runner.devices import Device
from bracket.session import job, timing
from bracket.session.asked.settings import (
    ConfirmationSettings,
    DatasetSettings,
    FinalsSettings,
    SearchSettings,
    SessionSettings,
    from_preset,
)
from bracket.session.job import resolve
from bracket.session.planning import plan
from bracket.session.timing import Measure, Speed
from bracket.ui.form.search import followed
from bracket.ui.run.tab import plan_html

CPU = Device("cpu", "cpu", "A CPU", 8 << 30)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionSettings:
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path / "cache"))
    data = DatasetSettings(folder=str(write_demo_dataset(tmp_path / "data")), trigger_word="zorp", class_word="star")
    return from_preset(
        find_preset("embedded-demo"),
        data,
        search=SearchSettings(configs=10, steps=100, rungs=3, reduction=2),
        finals=FinalsSettings(finalists=3, steps=200, seeds=2),
        confirmation=ConfirmationSettings(pairs=5, sample_seeds=2),
        workers=2,
    )


def on(asked: SessionSettings, **changes: object) -> SessionSettings:
    """The settings with another dataset, or with other prompts."""
    return asked.model_copy(update={"dataset": asked.dataset.model_copy(update=changes)})


def test_rounds_are_counted(asked: SessionSettings) -> None:
    rounds = plan.planned_rounds(resolve(asked), Speed(step=0.1, overhead=5.0))
    # 9 configs beside the baseline, halved until as many are left as go to the finals; lengths double up to 100 steps.
    assert [(r.name, r.trials, r.steps) for r in rounds] == [
        ("search", 10, 25),
        ("search", 1 + 5, 50),
        ("search", 1 + 3, 100),
        ("finals", (3 + 1) * 2, 200),
        ("confirmation", 2 * 5, 200),
    ]
    # Survivors train on, so a second rung costs 25 steps a trial; half of the finals begin at step 100.
    assert [r.all_steps for r in rounds] == [10 * 25, 6 * 25, 4 * 50, 4 * 100 + 4 * 200, 10 * 200]
    # 10 trials on 2 workers are 5 in a row, each 5 s + 25 steps of 0.1 s.
    assert [r.seconds for r in rounds] == [5 * 7.5, 3 * 7.5, 2 * 10.0, 4 * 20.0, 5 * 25.0]


def test_a_trainer_that_cannot_go_on_trains_every_rung_anew(asked: SessionSettings) -> None:
    anew = asked.model_copy(update={"finals": asked.finals.model_copy(update={"go_on": False})})
    rounds = plan.planned_rounds(resolve(anew), Speed(step=0.1, overhead=5.0))
    assert [r.all_steps for r in rounds] == [10 * 25, 6 * 50, 4 * 100, 8 * 200, 10 * 200]


def test_pictures_and_command(asked: SessionSettings) -> None:
    made = plan.make(asked)
    assert made.pictures == 12 * (10 + 6 + 4 + 8) + 20 * 2 * (2 + 10) + 6 * 2, "the base's six show what is kept"
    assert [c.title for c in made.commands] == ["Cache", "Train the first trial", "Draw the base"]
    assert made.commands[1].argv[1:] == ("-m", "bracket.training", "SESSION/trials/search-000/config.yaml", "--resume")
    assert made.errors == []


def test_nothing_is_promised_on_prompts_there_are_not(asked: SessionSettings) -> None:
    for caption in Path(asked.dataset.folder).rglob("*.txt"):
        caption.write_text("one zorp")  # so that no parts can be put together anew
    (Path(asked.dataset.folder) / "prompts.txt").write_text("a zorp\na red zorp\n")
    (Path(asked.dataset.folder) / "verdict_prompts.txt").write_text("a blue zorp\na green zorp\n")
    made = plan.make(on(asked, kind="none"))
    assert "fewer than 6 verdict prompts it can prove nothing" in made.claim
    assert not made.promises[1].possible and made.promises[1].words.startswith("not with 2 verdict prompts")
    assert made.pictures == 2 * (10 + 6 + 4 + 8) + 2 * 2 * (2 + 10)


def few(asked: SessionSettings, folder: Path, pictures: int, **changes: object) -> SessionSettings:
    """The settings for so many pictures, numbered."""
    for n in range(pictures):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (n, 0, 0)).save(folder / f"{n:03d}.png")
        (folder / f"{n:03d}.txt").write_text(f"zorp number {n}")
    return on(asked, folder=str(folder), **changes)


BANK = "20 fresh prompts for the verdict: 20 of the bank for an object."


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        (1, "1 picture is trained on. There is no validation loss: the judged pictures alone decide."),
        (8, "All 8 pictures are trained on. There is no validation loss: the judged pictures alone decide."),
        (12, "9 of 12 pictures are trained on, 3 held out for the validation loss: training sees 25 % fewer."),
        (20, "17 of 20 pictures are trained on, 3 held out for the validation loss: training sees 15 % fewer."),
        (
            100,
            "87 of 100 pictures are trained on, 8 held out for the validation loss and 5 kept for fresh prompts: "
            "training sees 13 % fewer.",
        ),
    ],
)
def test_what_is_held_out_is_said_with_what_it_costs(
    asked: SessionSettings, tmp_path: Path, pictures: int, said: str
) -> None:
    settings = few(asked, tmp_path / "few", pictures, class_word="lamp")
    made = plan.make(settings)
    split = resolve(settings).dataset
    prompts = {
        12: f"12 search prompts: 3 captions, 9 of the bank for an object. {BANK}",
        20: f"12 search prompts: 3 captions, 9 of the bank for an object. {BANK}",
        100: "12 search prompts: 8 captions, 4 of the bank for an object. "
        "20 fresh prompts for the verdict: 5 held-out captions, 15 of the bank for an object.",
    }.get(pictures, f"12 search prompts: 12 of the bank for an object. {BANK}")
    keep = " 6 fresh prompts without the trigger word will show what is forgotten."
    assert made.parted == (said, prompts + keep)
    assert "beats the baseline's on 20 fresh prompts" in made.claim and len(split.verdict_prompts) == 20
    assert said in plan_html(made) and said in plan_lines(made)


def test_a_session_that_has_its_split_is_planned_on_it(asked: SessionSettings, tmp_path: Path) -> None:
    earlier = replace(resolve(asked).dataset, verdict_prompts=("a", "b", "c", "d"), themes={"a": "x", "b": "x"})
    write_json(tmp_path / "dataset.json", split_to_json(replace(earlier, origins={}, keep_prompts=())))
    made = plan.make(asked, folder=tmp_path)
    assert not made.promises[1].possible and made.promises[1].words.startswith("not with 4 verdict prompts")
    assert made.parted[1] == "12 search prompts. 4 fresh prompts of 3 themes for the verdict."
    assert made.parted[0] == "All 24 pictures are trained on. The validation loss is of 8 more pictures."


def test_a_promise_counts_themes(asked: SessionSettings) -> None:
    texts = tuple(f"prompt {i}" for i in range(8))
    themes = {text: f"theme {i // 2}" for i, text in enumerate(texts)}
    made = replace(resolve(asked).dataset, verdict_prompts=texts, themes=themes)
    fresh = plan.Fresh(len(texts), made.count_themes(texts))
    assert "with fewer than 6 themes of verdict prompts it can prove nothing" in plan.claim(resolve(asked), fresh)
    file = plan.promises(resolve(asked), fresh, plan.spread_of(resolve(asked)), None)[1]
    assert not file.possible and file.words == "not with 8 verdict prompts of 4 themes; it takes 6 themes."
    enough = plan.promises(resolve(asked), plan.Fresh(16, 8), plan.spread_of(resolve(asked)), None)[1]
    assert enough.possible and enough.words.startswith("can be proved on 16 fresh prompts of 8 themes.")


@pytest.mark.parametrize(
    ("pairs", "said"),
    [(5, "can also prove it of the settings"), (4, "add 1 paired run."), (0, "add 5 paired runs.")],
)
def test_what_a_budget_can_show(asked: SessionSettings, pairs: int, said: str) -> None:
    confirmation = ConfirmationSettings(pairs=pairs)
    question = resolve(asked.model_copy(update={"confirmation": confirmation}))
    assert said in plan.claim(question, plan.Fresh(20, 20))


def test_one_config_can_show_nothing(asked: SessionSettings) -> None:
    lonely = asked.model_copy(update={"search": SearchSettings(configs=1, steps=10)})
    assert "nothing to compare" in plan.claim(resolve(lonely), plan.Fresh(20, 20))
    assert [r.trials for r in plan.make(lonely).rounds] == [1, 0, 0]


def test_a_wrong_setting_is_a_problem_and_never_an_exception(asked: SessionSettings) -> None:
    gone = asked.model_copy(update={"dataset": DatasetSettings(folder="/no/such/folder")})
    assert any("/no/such/folder" in str(p) for p in plan.make(gone).errors)
    unknown = asked.model_copy(update={"preset": "embeded-demo"})
    assert any("embedded-demo" in str(p) for p in plan.make(unknown).errors)
    elsewhere = asked.model_copy(update={"device": "cuda:7"})
    assert any("cuda:7" in str(p) for p in plan.make(elsewhere).errors)


def test_the_estimate_learns_from_trials() -> None:
    guess = Speed(1.0, 60.0)
    assert timing.estimate([], guess) == guess
    measured = [Measure(100, 15.0, 0.1), Measure(200, 26.0, 0.1), Measure(100, 14.0, 0.1)]
    learnt = timing.estimate(measured, guess)
    # overheads 5, 6 and 4 s: the median is 5
    assert (learnt.step, learnt.overhead, learnt.measured) == (0.1, pytest.approx(5.0), 3)


def test_what_was_measured_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path))
    timing.remember("p", "cpu", [Measure(10, 2.0, 0.1)])
    timing.remember("p", "cpu", [Measure(20, 3.0, 0.1)])
    assert timing.remembered("p", "cpu") == [Measure(10, 2.0, 0.1), Measure(20, 3.0, 0.1)]
    assert timing.remembered("p", "cuda") == []
    (tmp_path / "timings.json").write_text("{ not json")
    assert timing.remembered("p", "cpu") == []


def test_without_the_gpu_it_needs_nothing_is_said_of_time(
    asked: SessionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Device("cuda:0", "cuda", "A GPU", 48 << 30)
    large = from_preset(find_preset("flux2-klein-4b-lora"), asked.dataset, search=asked.search)
    other = from_preset(find_preset("sd-scripts-sdxl-lora"), asked.dataset, search=asked.search)
    cases = [
        (asked, [CPU], ""),
        (other, [CPU], "an NVIDIA GPU"),
        (other, [gpu], ""),
        (large, [CPU], "a GPU"),
        (large, [gpu], ""),
        (other.model_copy(update={"device": "cpu"}), [CPU], ""),
    ]
    for settings, found, missing in cases:
        monkeypatch.setattr(job, "devices", lambda found=found: found)
        made = plan.make(settings)
        shown = plan_html(made) + "\n".join(plan_lines(made)[: len(made.problems) + 12])
        told = followed(resolve(settings), 8)[1]
        assert made.lacks == missing
        assert ("CPU time" in shown) == (not missing and found == [CPU])
        if missing:
            assert f"It needs {missing}, and none is seen here" in shown and "can&#x27;t be said" in told
            assert not re.search(r"\d+ (s|min|h)\b", shown), shown


def test_a_guard_that_no_prompt_can_answer_keeps_the_session_from_starting(asked: SessionSettings) -> None:
    confirmation = asked.confirmation.model_copy(update={"keep_at_least": 90})
    guarded = asked.model_copy(update={"confirmation": confirmation})
    assert plan.make(guarded).errors == []
    (Path(asked.dataset.folder) / "verdict_prompts.txt").write_text("a blue zorp\n")
    (error,) = plan.make(on(guarded, plain_prompts=0)).errors
    assert error.message.startswith("a winner is to keep 90 % of what the base could")
    with_two = plan.make(on(guarded, kind="shapes", plain_prompts=0, own_prompts=("a ring",), use_for="verdict"))
    assert with_two.errors == []
    assert (
        "1 fresh prompt without the trigger word will show what is forgotten, too few for an interval (6 would do)."
        in (with_two.parted[1])
    )
