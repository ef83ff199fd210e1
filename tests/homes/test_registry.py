from __future__ import annotations

import os
from pathlib import Path

import pytest

from bracket import homes
from bracket.errors import StorageError, TrainerError
from bracket.homes import Home
from tests.trainers.upstreams import fake_venv, lookalike


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("BRACKET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BRACKET_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    lookalike(tmp_path / "mine", "sd_scripts")
    return tmp_path / "mine"


@pytest.mark.parametrize("name", ["sd-scripts", "sd_scripts", " SD-Scripts"])
def test_names_as_people_write_them(name: str) -> None:
    assert homes.trainer_named(name).name == "sd_scripts"
    assert [homes.trainer_named(n).name for n in ("musubi", "musubi-tuner", "musubi_tuner")] == ["musubi"] * 3
    assert [homes.trainer_named(n).name for n in ("ai-toolkit", "AI-Toolkit", "ai toolkit")] == ["ai_toolkit"] * 3
    with pytest.raises(TrainerError, match=r"no trainer called 'kohya_ss'"):
        homes.trainer_named("kohya_ss")
    with pytest.raises(TrainerError, match=r"Did you mean musubi\?"):
        homes.trainer_named("musubi-tunre")


def test_an_unknown_trainer_says_how_to_get_it() -> None:
    assert homes.known_home("musubi") is None
    with pytest.raises(TrainerError) as caught:
        homes.find_home("musubi")
    assert str(caught.value) == (
        "musubi-tuner is not installed. Run `python -m bracket trainers install musubi`, or point at a checkout you "
        "have with `python -m bracket trainers use musubi PATH`."
    )


def test_what_is_used_is_remembered_until_forgotten(mine: Path, tmp_path: Path, config: Path) -> None:
    python = fake_venv(mine / ".venv", {})
    home = homes.use("sd_scripts", mine)
    assert home == homes.find_home("sd_scripts") == Home("sd_scripts", mine, python)
    other = fake_venv(tmp_path / "else where", {})
    assert homes.use("sd_scripts", mine, tmp_path / "else where").python == other
    assert homes.find_home("sd_scripts").python == other
    assert [p.name for p in config.iterdir()] == ["trainers.json"]
    assert homes.forget("sd_scripts")
    assert homes.known_home("sd_scripts") is None
    assert not homes.forget("sd_scripts")
    assert (mine / "train_network.py").is_file()


def test_a_venv_beside_the_checkout_is_found(mine: Path, tmp_path: Path) -> None:
    python = fake_venv(tmp_path / "mine-venv", {})
    assert homes.use("sd_scripts", mine).python == python


def test_the_environment_comes_first(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_venv(mine / "venv", {})
    homes.use("sd_scripts", mine)
    lookalike(tmp_path / "other", "sd_scripts")
    monkeypatch.setenv("BRACKET_SD_SCRIPTS", str(tmp_path / "other"))
    home = homes.find_home("sd_scripts")
    assert home.folder == tmp_path / "other"
    assert home.python.parent.parent == tmp_path / "other" / "venv"  # where it would be; the problems say it isn't
    python = fake_venv(tmp_path / "env", {})
    monkeypatch.setenv("BRACKET_SD_SCRIPTS_PYTHON", str(python))
    assert homes.find_home("sd_scripts").python == python
    monkeypatch.delenv("BRACKET_SD_SCRIPTS")
    assert homes.find_home("sd_scripts") == Home("sd_scripts", mine, python)


def test_what_is_no_such_trainer_is_refused(mine: Path, tmp_path: Path, config: Path) -> None:
    (tmp_path / "empty").mkdir()
    for trainer, folder, python, words in [
        ("musubi", mine, None, "this is sd-scripts, not musubi-tuner"),
        ("musubi", tmp_path / "empty", None, "no checkout of musubi-tuner: it has no src/musubi_tuner/"),
        ("musubi", tmp_path / "gone", None, "no such folder"),
        ("sd_scripts", mine, None, "no venv was found for sd-scripts .* --python PYTHON"),
        ("sd_scripts", mine, tmp_path / "empty", "there is no Python there"),
    ]:
        with pytest.raises(TrainerError, match=words):
            homes.use(trainer, folder, python)
    assert not config.exists()


def test_a_damaged_memory_is_one_sentence(config: Path, mine: Path) -> None:
    config.mkdir()
    (config / "trainers.json").write_text('{"sd_scripts": "somewhere"}')
    with pytest.raises(TrainerError, match=r"can't be understood .*Remove the file"):
        homes.known_home("sd_scripts")
    (config / "trainers.json").write_text('{"sd_')
    with pytest.raises(StorageError, match="damaged"):
        homes.known_home("sd_scripts")
    assert [p.level for p in homes.state_of("sd_scripts").problems] == ["error"]
