"""`grid` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from bracket.cli.grid import grid
from bracket.errors import SettingsError
from tests.ui.made import PROMPTS, done_session


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return done_session(tmp_path_factory.mktemp("runs"))


def asked(session: Path, **given: object) -> None:
    """The command with what was typed, and its defaults for the rest."""
    plain: dict[str, object] = {"x": "", "y": "", "z": "", "round_": "", "prompt": None, "prompts": 4, "most": 12}
    grid(str(session), **{**plain, "side": 64, "out": None, **given})  # type: ignore[arg-type]


def test_it_goes_into_the_report_by_default(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(session)
    path = session / "report" / "grids" / "finals-200-steps-learning-rate-prompt.png"
    with Image.open(path) as image:
        assert capsys.readouterr().out.splitlines()[0] == f"{path} ({image.width} × {image.height} px)"


def test_axes_round_and_prompts_are_named(session: Path, tmp_path: Path) -> None:
    asked(
        session, x="lr", y="rank", z="prompt", round_="search", prompt=[PROMPTS[2], PROMPTS[0]], out=tmp_path / "g.png"
    )
    told = json.loads(Image.open(tmp_path / "g.png").text["bracket"])  # type: ignore[attr-defined]
    assert [told["axes"][axis]["name"] for axis in "xyz"] == ["learning_rate", "rank", "prompt"]
    assert told["axes"]["z"]["values"] == [PROMPTS[2], PROMPTS[0]]
    assert {cell["trial"].split("-")[0] for cell in told["cells"]} == {"search"}


def test_words_name_every_prompt_that_holds_them(session: Path, tmp_path: Path) -> None:
    asked(session, x="lr", z="rank", round_="confirmation", prompt=["on a"], out=tmp_path / "grid")
    told = json.loads(Image.open(tmp_path / "grid.png").text["bracket"])  # type: ignore[attr-defined]
    assert told["shown"] == "confirmation, 200 steps"
    assert len(told["axes"]["y"]["values"]) == len(PROMPTS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"x": "lerning_rate"}, "Did you mean learning_rate"),
        ({"x": "lr", "y": "lr"}, "learning_rate is on two axes"),
        ({"round_": "duel"}, "no pictures of a round called 'duel'"),
        ({"prompt": ["a dog"]}, "no prompt of this round holds 'a dog'"),
        ({"out": Path("grid.jpg")}, "must be a .png file"),
    ],
)
def test_what_is_wrong_is_one_sentence(session: Path, given: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        asked(session, **given)


def test_a_session_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        asked(tmp_path / "nowhere")


def test_a_file_that_is_there_stays_unless_it_is_asked_for(session: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.png"
    mine.write_bytes(b"mine")
    for name in ("mine", "mine.png"):
        with pytest.raises(SettingsError, match="a file of this name already"):
            asked(session, out=tmp_path / name)
    assert mine.read_bytes() == b"mine"
    asked(session, out=mine, force=True)
    assert mine.read_bytes().startswith(b"\x89PNG")
