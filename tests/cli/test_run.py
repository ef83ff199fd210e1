"""`run`: from options to settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bracket.cli import app as cli
from bracket.cli import run as cli_run
from bracket.demo.dataset import write_demo_dataset
from bracket.errors import SettingsChanged, SettingsError
from bracket.session.asked.settings import SessionSettings, fingerprint_in, load
from bracket.session.planning.next_space import next_space
from tests.session.searched import searched_session


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs folder in which sessions are written and not run."""
    for name in ("RUNS", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"BRACKET_{name}", str(tmp_path / name.lower()))
    monkeypatch.setattr(cli_run, "start", lambda folder, quiet: None)
    return tmp_path / "runs"


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    return str(write_demo_dataset(tmp_path / "pictures"))


def _typed(*words: str) -> Result:
    return CliRunner().invoke(cli.app, ["run", *words])


def _made(runs: Path, *words: str) -> SessionSettings:
    ended = _typed("mine", *words)
    assert ended.exit_code == 0, ended.output
    return load(runs / "mine")


def _refused(*words: str) -> str:
    ended = _typed(*words)
    assert isinstance(ended.exception, SettingsError), ended.output
    return str(ended.exception)


def test_every_option_finds_its_place(runs: Path, pictures: str) -> None:
    words = "--trigger zorp --class-word star --configs 9 --steps 50 --finals-steps 90 --pairs 6 --strategy tpe"
    words += " --keep-at-least 90"
    words += " --stop-below 1 --sample-weight 0.5 --judge openai_api --judge-model m --judge-url u --rubric r"
    words += " --lr-min 1e-4 --lr-max 1e-2 --batch-max 2 --seed 5 --per-folder 7 --vram 12 --device cpu --memory"
    words += " --weight model.path=/a=b --weight other=/c --workers 3"
    words += " --use-for search --kind style"
    extra, own = "--flag 'two words'", ("--prompt", "a zorp at night", "--prompt", "a zorp --d 4")
    made = _made(runs, "--preset", "embedded-demo", "--data", pictures, *words.split(), "--extra", extra, *own)
    d, s, j = made.dataset, made.search, made.judge
    assert (d.folder, d.trigger_word, d.class_word, d.per_folder) == (pictures, "zorp", "star", 7)
    assert (d.own_prompts, d.use_for, d.kind) == (("a zorp at night", "a zorp --d 4"), "search", "style")
    assert (s.configs, s.steps, s.strategy, s.stop_below, s.memory) == (9, 50, "tpe", 0.01, True)
    assert (made.finals.steps, made.confirmation.pairs, made.score.sample_weight) == (90, 6, 0.5)
    assert made.confirmation.keep_at_least == 90
    assert (j.kind, j.model, j.url, j.rubric) == ("openai_api", "m", "u", "r")
    rate, batch = made.bounds["learning_rate"], made.bounds["batch_size"]
    assert (rate.low, rate.high, batch.low, batch.high) == (1e-4, 1e-2, None, 2)
    assert (made.seed, made.vram, made.device, made.workers) == (5, 12, "cpu", 3)
    assert made.extra_args == ("--flag", "two words")
    assert made.weights["model.path"] == "/a=b" and made.weights["other"] == "/c"


def test_options_win_over_the_file_and_the_file_over_the_preset(runs: Path, pictures: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"preset: embedded-demo\ndataset: {{folder: {pictures!r}}}\nsearch: {{configs: 9, steps: 40}}\nseed: 3"
    )
    made = _made(runs, "--settings", str(file), "--configs", "7")
    assert (made.search.configs, made.search.steps, made.seed) == (7, 40, 3)


@pytest.mark.parametrize("text", ["", "{}", "- a list", "preset: [", "dataset: nothing\npreset: embedded-demo"])
def test_a_settings_file_without_settings_is_one_sentence(runs: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert "settings" in _refused("mine", "--settings", str(tmp_path / "mine.yaml"))
    assert not (runs / "mine").exists()


def test_a_session_begins_in_the_space_that_another_suggests(runs: Path, pictures: str) -> None:
    earlier = searched_session(runs / "first", 16, pictures)
    found = next_space(earlier).settings
    ended = _typed("mine", "--space-from", "first", "--workers", "2")
    assert ended.exit_code == 0, ended.output
    lines = ended.output.splitlines()
    assert lines[0] == "The space that first suggests, from 16 configs of 100 steps:"
    assert lines[1].startswith("  learning_rate: ") and "(narrowed)" in lines[1]
    assert load(runs / "mine") == found.model_copy(update={"workers": 2})
    assert fingerprint_in(earlier) == load(earlier).fingerprint, "the earlier one stays as it was"


def test_options_win_over_the_suggested_space(runs: Path, pictures: str) -> None:
    suggested = next_space(searched_session(runs / "first", 16, pictures)).settings.bounds["learning_rate"]
    made = _made(runs, "--space-from", "first", "--lr-max", "0.002", "--configs", "33")
    rate = made.bounds["learning_rate"]
    assert (rate.low, rate.high, made.search.configs) == (suggested.low, 0.002, 33)


def test_the_same_command_again_goes_on(runs: Path, pictures: str) -> None:
    searched_session(runs / "first", 16, pictures)
    words = ("--space-from", "first", "--configs", "33")
    made = _made(runs, *words)
    (runs / "mine" / "trials").mkdir()
    assert _made(runs, *words) == made
    ended = _typed("mine", "--space-from", "first", "--configs", "34")
    assert isinstance(ended.exception, SettingsChanged) and ended.exception.diff == ["search.configs: 33 → 34"]


def test_a_dry_run_shows_the_space_and_writes_nothing(runs: Path, pictures: str) -> None:
    searched_session(runs / "first", 16, pictures)
    ended = _typed("mine", "--space-from", "first", "--dry-run")
    assert ended.exit_code == 0, ended.output
    assert "The space that first suggests" in ended.output and "# Train the first trial" in ended.output
    assert not (runs / "mine").exists()


def test_a_space_that_can_not_be_had_is_one_sentence(runs: Path, pictures: str) -> None:
    searched_session(runs / "first", 3, pictures)
    assert "takes 8 scored configs of one length; this search has 3" in _refused("mine", "--space-from", "first")
    assert "there is no session here" in _refused("mine", "--space-from", "nowhere")
    searched_session(runs / "second", 16, pictures)
    said = _refused("mine", "--space-from", "second", "--preset", "sd-scripts-sdxl-lora")
    assert "second is of the preset embedded-demo, this session's preset is sd-scripts-sdxl-lora" in said
    assert not (runs / "mine").exists()
