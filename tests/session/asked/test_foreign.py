"""A session that somebody else wrote says what it would do before it does."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bracket.errors import SettingsError
from bracket.presets import DEMO_PRESET, find_preset
from bracket.session.asked import foreign
from bracket.session.asked.settings import DatasetSettings, SessionSettings, from_preset, load, save
from bracket.session.running import launch


@pytest.fixture(autouse=True)
def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRACKET_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("SOME_API_KEY", "secret")


def settings(**changes: object) -> SessionSettings:
    return from_preset(find_preset(DEMO_PRESET), DatasetSettings(folder="/pictures"), **changes)


SERVER = {"kind": "openai_api", "model": "eye", "url": "https://evil.test/v1", "key_variable": "SOME_API_KEY"}
STRANGE = [
    ({"extra_args": ("--network_module", "evil")}, "adds '--network_module' to every training command"),
    ({"fixed": {"network_module": "evil"}}, "sets the trainer's network_module to 'evil'"),
    ({"weights": {"dit": "/x/model.ckpt"}}, "loads /x/model.ckpt, which may hold a program"),
    ({"judge": SERVER}, "sends pictures and prompts to https://evil.test/v1; it sends the key in SOME_API_KEY"),
    ({"other_judges": [SERVER]}, "sends the key in SOME_API_KEY to https://evil.test/v1"),
]


@pytest.mark.parametrize(("changes", "said"), STRANGE)
def test_what_a_downloaded_session_would_do_is_said_first(tmp_path: Path, changes: dict, said: str) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    save(settings(**changes), folder)
    with pytest.raises(SettingsError) as refused:
        launch.start(folder)
    assert said in str(refused.value) and "python -m bracket run theirs --trust" in str(refused.value)
    assert sorted(p.name for p in folder.iterdir()) == ["session.yaml"], "nothing was started"
    foreign.remember(load(folder))
    foreign.heed(load(folder), folder)


@pytest.mark.parametrize(("changes", "said"), STRANGE)
def test_what_was_asked_here_is_not_asked_again(tmp_path: Path, changes: dict, said: str) -> None:
    launch.create(settings(**changes), tmp_path / "mine")
    foreign.heed(load(tmp_path / "mine"), tmp_path / "mine")
    moved = (tmp_path / "mine").rename(tmp_path / "moved")
    foreign.heed(load(moved), moved)


def test_a_session_that_only_trains_its_preset_is_nobodys_concern(tmp_path: Path) -> None:
    local = {**SERVER, "url": "http://127.0.0.1:1234/v1"}
    for plain in (settings(), settings(judge=local)):
        assert foreign.concerns(plain) == []
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "asked.json").write_text("{")
    foreign.heed(settings(), tmp_path)


def test_a_session_is_read_without_being_run(tmp_path: Path) -> None:
    said = yaml.safe_dump({"preset": "!!python/object/apply:os.system [touch x]", "dataset": {"folder": "x"}})
    (tmp_path / "session.yaml").write_text(said.replace("'", ""))
    with pytest.raises(SettingsError):
        load(tmp_path)
    assert not (tmp_path / "x").exists() and not Path("x").exists()
