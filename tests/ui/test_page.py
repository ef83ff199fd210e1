"""The page's handlers, called as the browser would call them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bracket.presets import DEMO_PRESET, find_preset
from bracket.session import launch
from bracket.session.settings import load
from bracket.ui import form
from bracket.ui.context import caught
from bracket.ui.page import Page


@pytest.fixture(scope="module")
def page(runs: Path) -> Page:
    return Page(runs)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Folders of sessions that would have been started."""
    folders: list[Path] = []
    monkeypatch.setattr(launch, "start", folders.append)
    yield folders


def filled(page: Page, runs: Path, **changes: Any) -> list[Any]:
    preset = find_preset(DEMO_PRESET)
    values = {**form.default_values(preset, str(runs / "demo-dataset")), **changes}
    paths = [preset.default_weight(spec) for spec in preset.weights]
    rest = [""] * (len(page.setup.weights) - len(paths))
    return [*(values[name] for name in page.fields), *paths, *rest]


def skipped(value: object) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update" and "value" not in value


def test_the_session_of_this_browser_comes_first(page: Page) -> None:
    session, tabs = page._restore("zorp")
    assert (session["value"], tabs["selected"]) == ("zorp", "results")
    for forgotten in ("", "gone"):
        session, tabs = page._restore(forgotten)
        assert (session["value"], tabs["selected"]) == ("zorp-live", "monitor")


def test_with_no_session_one_begins_at_setup(tmp_path: Path) -> None:
    session, tabs = Page(tmp_path / "none")._restore("")
    assert (session["value"], tabs["selected"]) == (None, "setup")


def test_a_poll_tells_only_what_changed(page: Page) -> None:
    first = page._poll("zorp", "", {})
    again = page._poll("zorp", "", first[-1])
    assert len(first) == len(page._live)
    assert "Done" in first[1]
    # The meter moves by itself; all else stays.
    assert [i for i, value in enumerate(again[:-1]) if not skipped(value)] in ([], [2])


def test_a_session_that_is_gone_is_said_and_nothing_breaks(page: Page) -> None:
    told = page._poll("gone", "", {})
    message = told[page._live.index(page.monitor.message)]
    assert "There is no session called" in message


def test_the_plan_says_what_is_wrong_with_the_form(page: Page, runs: Path) -> None:
    html, _, start, _ = page._plan(*filled(page, runs, folder=""))
    assert "Choose a folder" in html and start["interactive"] is False
    html, _, start, _ = page._plan(*filled(page, runs, steps=None))
    assert "Steps in the search: a whole number is needed" in html and start["interactive"] is False


def test_start_writes_the_settings_and_starts_once(page: Page, runs: Path, started: list[Path]) -> None:
    words, session, remembered, tabs = page._start("owls", *filled(page, runs, configs=5))
    assert started == [runs / "owls"]
    assert (words, session["value"], remembered, tabs["selected"]) == ("", "owls", "owls", "monitor")
    assert load(runs / "owls").search.configs == 5


def test_start_refuses_a_name_that_holds_another_session(page: Page, runs: Path, started: list[Path]) -> None:
    words, *_ = page._start("zorp", *filled(page, runs, configs=7))
    assert "this session was started with other settings" in words.lower()
    assert "search.configs: 12 → 7" in words
    assert started == []
    assert 'data-do="set name zorp-2"' in words, "the next free name is a click away"


def test_start_refuses_a_name_that_leaves_the_runs_folder(page: Page, runs: Path, started: list[Path]) -> None:
    words, *_ = page._start("../owls", *filled(page, runs))
    assert "can&#x27;t be a session" in words
    assert started == []
    assert "data-do" not in words


def test_every_demo_gets_a_folder_of_its_own(page: Page, runs: Path, started: list[Path]) -> None:
    page._demo()
    page._demo()
    assert [f.name for f in started] == ["demo", "demo-2"]


def test_another_preset_keeps_the_pictures(page: Page, runs: Path) -> None:
    given = filled(page, runs, preset="flux2-klein-4b-lora", trigger_word="zorp")
    values = dict(zip(page.fields, page._preset_chosen(*given), strict=False))
    assert values["folder"] == str(runs / "demo-dataset")
    assert values["trigger_word"] == "zorp"
    assert values["steps"] == find_preset("flux2-klein-4b-lora").rounds.search_steps
    assert [row[0] for row in values["knobs"]] == list(find_preset("flux2-klein-4b-lora").knobs)


def test_what_a_handler_does_not_foresee_is_told_once_a_minute(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("gradio.Warning", lambda words, **_: told.append(words))

    def broken(name: str) -> str:
        raise ZeroDivisionError(f"<b>{name}</b>")

    handler = caught(broken)
    assert skipped(handler("one")) and skipped(handler("one")) and skipped(handler("two"))
    assert len(told) == 2 and "ZeroDivisionError: &lt;b&gt;one&lt;/b&gt;" in told[0] and "Traceback" not in told[0]
    assert all(hasattr(event.fn, "__wrapped__") for event in page.blocks.fns.values() if event.fn)
