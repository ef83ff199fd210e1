"""Where a session may be, and that nothing else is touched there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bracket.cli import app as cli
from bracket.demo.dataset import write_demo_dataset
from bracket.errors import BracketError, DatasetError, SettingsChanged, SettingsError
from bracket.files import is_foreign
from bracket.presets import find_preset
from bracket.report.claims import certificate
from bracket.session import view
from bracket.session.asked import settings
from bracket.session.asked.settings import DatasetSettings, SessionSettings
from bracket.session.running import launch
from tests.session import scripted


@pytest.fixture
def asked() -> SessionSettings:
    return settings.from_preset(find_preset("embedded-demo"), DatasetSettings(folder="pictures"))


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's folder with things in it that are called like sessions; runs are elsewhere."""
    home = tmp_path / "home"
    for name in ("my-cat", "tests"):
        (home / name).mkdir(parents=True)
        (home / name / "dataset.json").write_text("mine")
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("BRACKET_RUNS", str(tmp_path / "runs"))
    return home


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("word", ["my-cat", "new", "a?b#c%d", "x [1] {y} $;'\"&", "é", "-", "con-rad", "n" * 180])
def test_a_word_is_a_name_under_runs_whatever_is_here(at_home: Path, tmp_path: Path, word: str) -> None:
    assert launch.named(word) == tmp_path / "runs" / word


@pytest.mark.parametrize(
    ("path", "leads"),
    [("./my-cat", "my-cat"), ("~/my-cat", "my-cat"), ("sub/new", "sub/new"), ("../home/x", "../home/x")],
)
def test_what_has_a_separator_is_a_path(at_home: Path, path: str, leads: str) -> None:
    assert os.path.normpath(launch.named(path)) == os.path.normpath(at_home / leads)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "needs a name"),
        ("  ", "needs a name"),
        (".", "begins with"),
        ("..", "begins with"),
        (".hidden", "begins with"),
        ("~", "begins with"),
        ("~root", "begins with"),
        ("cat.", "at its end"),
        ("cat ", "at its end"),
        (" cat", "begins with a blank"),
        ("a\0b", "holds"),
        ("a\nb", "holds"),
        ("a\x1bb", "holds"),
        ("C:\\pets", "holds"),
        ("nul", "Windows"),
        ("CON.txt", "Windows"),
        ("lpt1", "Windows"),
        ("n" * 255, "longer than"),
        ("猫" * 80, "longer than"),
        ("./" + "n" * 300, "too long"),
        ("./a\0b", "NUL|no path can"),
    ],
)
def test_what_can_not_be_a_session_is_a_sentence(at_home: Path, name: str, why: str) -> None:
    with pytest.raises(BracketError, match=why):
        launch.named(name)
    ended = CliRunner().invoke(cli.app, ["run", "--quiet", "--", name])
    assert ended.exit_code == 1 and isinstance(ended.exception, BracketError)


@pytest.mark.parametrize("inside", ["dataset.json", "a.png", ".hidden", "study.db"])
def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path, asked: SessionSettings, inside: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / inside).write_text("mine")
    with pytest.raises(SettingsError, match="holds files, but no session"):
        launch.create(asked, folder)
    assert everything(folder) == {inside: b"mine"}


@pytest.mark.parametrize("text", ["mine: 1\n", "[1]", "", "\0", "preset: embedded-demo\n"])
def test_a_session_yaml_of_another_program_is_left_alone(tmp_path: Path, asked: SessionSettings, text: str) -> None:
    (tmp_path / "session.yaml").write_text(text)
    (tmp_path / "dataset.json").write_text("mine")
    with pytest.raises(SettingsError):
        launch.create(asked, tmp_path)
    assert everything(tmp_path) == {"session.yaml": text.encode(), "dataset.json": b"mine"}


def test_an_empty_folder_and_a_session_of_ours_are_taken(tmp_path: Path, asked: SessionSettings) -> None:
    (tmp_path / "s").mkdir()
    launch.create(asked, tmp_path / "s")
    (tmp_path / "s" / "dataset.json").write_text("of the old settings")
    again = asked.model_copy(update={"seed": 5})
    assert settings.load(launch.create(again, tmp_path / "s")) == again
    assert not (tmp_path / "s" / "dataset.json").exists()


@pytest.mark.parametrize(
    ("section", "changed"),
    [
        *(("", {"seed": 5}), ("score", {"sample_weight": 0.1}), ("score", {"ramp": False}), ("finals", {"seeds": 7})),
        *(("search", {"strategy": "random"}), ("confirmation", {"alpha": 0.2}), ("dataset", {"trigger_word": "zorp"})),
        *(("", {"sample_every": 9}), ("", {"fixed": {"rank": 2}})),
    ],
)
def test_a_session_that_has_begun_is_asked_nothing_else(
    tmp_path: Path, asked: SessionSettings, section: str, changed: dict[str, object]
) -> None:
    folder = launch.create(asked, tmp_path / "s")
    (folder / "trials").mkdir()
    before = everything(folder)
    inside = {section: getattr(asked, section).model_copy(update=changed)} if section else changed
    with pytest.raises(SettingsChanged) as caught:
        launch.create(asked.model_copy(update=inside), folder)
    assert [line.split(":")[0] for line in caught.value.diff] == [
        ".".join([*([section] if section else []), *changed, *(["rank"] if "fixed" in changed else [])])
    ]
    assert launch.create(asked.model_copy(update={"workers": 3, "device": "cpu"}), folder) == folder
    assert everything(folder) == before


@pytest.mark.parametrize("place", ["file", "dangling"])
def test_what_is_no_folder_is_refused(tmp_path: Path, asked: SessionSettings, place: str) -> None:
    path = tmp_path / "s"
    if place == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="no folder"):
        launch.create(asked, path)


def test_a_session_beside_pictures_of_its_name(at_home: Path, tmp_path: Path) -> None:
    """`run my-cat --data my-cat`, in the folder that holds my-cat."""
    before = everything(at_home)
    given = ["run", "my-cat", "--data", "my-cat", "--preset", "embedded-demo", "--quiet"]
    ended = CliRunner().invoke(cli.app, given)
    assert "no pictures" in str(ended.exception) or ended.exit_code == 1
    assert everything(at_home) == before
    assert (tmp_path / "runs" / "my-cat" / "session.yaml").is_file()


@pytest.mark.parametrize("mark", [None, "README.txt"])
def test_the_demos_pictures_are_not_put_among_others(tmp_path: Path, mark: str | None) -> None:
    (tmp_path / (mark or "prompts.txt")).write_text("mine")
    with pytest.raises(DatasetError, match="holds something else"):
        write_demo_dataset(tmp_path)
    assert everything(tmp_path) == {mark or "prompts.txt": b"mine"}


def test_ours_is_known_by_its_marker(tmp_path: Path) -> None:
    assert not is_foreign(tmp_path / "new", "m") and not is_foreign(tmp_path, "m")
    (tmp_path / "other").write_text("")
    assert is_foreign(tmp_path, "m") and is_foreign(tmp_path / "other", "m")
    (tmp_path / "m").write_text("bracket's")
    assert not is_foreign(tmp_path, "m", "bracket") and is_foreign(tmp_path, "m", "yours")


ODD = "a?b # 50% & 'q' \"d\" [x] {y} $HOME ; é"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", [ODD, f"{ODD}\nline"])
def test_a_session_and_its_pictures_may_be_called_anything(own_trainer: None, tmp_path: Path, name: str) -> None:
    data = write_demo_dataset(tmp_path / f"data {name}")
    folder = launch.create(scripted.settings_for(data, configs=3, pairs=5, seeds=1), tmp_path / "runs" / name)
    summary = scripted.play(folder)
    assert summary is not None and summary.verdict.kind == "config"
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [name], "the ledger and all else is in its own folder"
    assert (folder / "study.db").is_file() and view.read(folder).state == "done"
    assert certificate.verify(folder / "report" / "certificate.json") == []
    assert (folder / "report" / "report.html").is_file()
    for script in folder.glob("trials/*/command.sh"):
        subprocess.run(["sh", "-n", str(script)], check=True)
