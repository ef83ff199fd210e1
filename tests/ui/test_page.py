"""The page's handlers, called as the browser would call them."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from bracket.presets import DEMO_PRESET, find_preset
from bracket.session.asked.settings import load
from bracket.session.running import launch
from bracket.ui.form import draft, form
from bracket.ui.page import Page
from bracket.ui.shared.context import Context, caught


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
    assert [i for i, value in enumerate(again[:-1]) if not skipped(value)] == []


def test_a_session_that_is_gone_is_said_and_nothing_breaks(page: Page) -> None:
    told = page._poll("gone", "", {})
    message = told[page._live.index(page.monitor.message)]
    assert "There is no session called" in message
    state = told[page._live.index(page.header.state)]
    assert 'data-session="gone"' in state and 'data-stamp=""' in state, "it is looked at again"


def test_what_nobody_foresaw_is_said_and_the_page_goes_on(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    first = page._poll("zorp", "", {})
    monkeypatch.setattr(page.context, "read", lambda name: 1 // 0)
    told = page._poll("zorp", "", first[-1])
    assert "did not expect: ZeroDivisionError" in told[page._live.index(page.monitor.message)]
    monkeypatch.undo()
    healed = page._poll("zorp", "", told[-1])
    assert "Done" in healed[page._live.index(page.monitor.message)]


def test_a_trial_of_another_session_gives_way_to_the_newest(page: Page) -> None:
    place = page._live.index(page.monitor.trial)
    kept = page._poll("zorp", "search-009", {})
    assert "value" not in kept[place]
    other = page._poll("zorp-live", "search-009", kept[-1])
    assert other[place]["value"] == ""
    assert other[page._live.index(page.header.ask)]["visible"] is False, "a question is asked of one session"


def test_fields_give_what_is_shown(page: Page) -> None:
    """Of every field whose choices or limits may change under an open page."""
    fields = [b for b in page.blocks.blocks.values() if isinstance(b, gr.Dropdown | gr.Radio | gr.Number | gr.Slider)]
    assert len(fields) > 30
    for field in fields:
        many = getattr(field, "multiselect", False)
        for sent in ("gone", 10**9, -1, None, ["gone", {}], {"a": 1}, True, 0.5):
            given = field.preprocess(sent)
            if isinstance(field, gr.Slider):
                assert field.minimum <= given <= field.maximum
            elif isinstance(field, gr.Number):
                assert given is None or isinstance(given, int | float)
            elif many:
                assert given == (["gone"] if isinstance(sent, list) else [])
            else:
                assert given == (None if isinstance(sent, list | dict) else sent)


def test_the_stamp_moves_when_something_may_be_new_and_only_then(own: Path) -> None:
    context, seen = Context(own.parent), []

    def moved() -> bool:
        seen.append(context.stamp("zorp"))
        return len(seen) > 1 and seen[-1] != seen[-2]

    moved()
    assert not moved() and not seen[-1][1]
    changes = {
        "a vote": lambda: (own / "votes.jsonl").write_text("{}\n"),
        "a log": lambda: (own / "session.log").open("a").write("more\n"),
        "a report": lambda: (own / "report" / "verdict.txt").write_text("x"),
        "another session": lambda: shutil.copytree(own, own.parent / "other"),
        "its end": lambda: shutil.rmtree(own.parent / "other"),
        "damage": lambda: (own / "study.db").write_bytes(b"no"),
        "its own end": lambda: shutil.rmtree(own),
        "no folder at all": lambda: shutil.rmtree(own.parent, ignore_errors=True),
    }
    for what, change in changes.items():
        change()
        assert moved() or what == "no folder at all", what
        assert not moved(), what


def test_a_draft_comes_back_with_what_still_fits(page: Page, runs: Path) -> None:
    values = dict(zip(page.fields, filled(page, runs), strict=False))
    kept = {**values, "configs": 9, "folder": "/half/typed", "knobs": {"data": values["knobs"]}, "name": "mine"}
    told = page._first("zorp", kept)
    shown = dict(zip(page.fields, told, strict=False))
    assert (shown["configs"], shown["folder"], told[-2], told[-1]["visible"]) == (9, "/half/typed", "mine", True)
    odd = {"strategy": "gone", "configs": "many", "knobs": [["x"]], "memory": "yes", "folder": 3}
    again = dict(zip(page.fields, page._first("zorp", {**kept, **odd}), strict=False))
    assert {name: again[name] for name in odd} == {**{n: values[n] for n in odd}, "folder": ""}
    for nothing in (None, "", [], {"preset": "gone"}):
        assert page._first("zorp", nothing)[-1]["visible"] is False


def test_the_plan_says_what_is_wrong_with_the_form(page: Page, runs: Path) -> None:
    html, _, start, _ = page._plan(*filled(page, runs, folder=""))
    assert "Choose a folder" in html and start["interactive"] is False
    html, _, start, _ = page._plan(*filled(page, runs, steps=None))
    assert "Steps in the search: a whole number is needed" in html and start["interactive"] is False


def test_start_writes_the_settings_and_starts_once(page: Page, runs: Path, started: list[Path]) -> None:
    words, session, remembered, tabs, kept = page._start("owls", *filled(page, runs, configs=5))
    assert draft.restored(kept, page.fields) is None, "what was started is no draft any more"
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


def test_no_two_handlers_of_one_event_can_keep_each_other_going(page: Page) -> None:
    listening = Counter(
        target for event in page.blocks.fns.values() for target in event.targets if event.trigger_mode == "always_last"
    )
    assert {target for target, handlers in listening.items() if handlers > 1} <= {(None, "then")}
    typed = [event.js for event in page.blocks.fns.values() if event.js and "bracketTyping" in event.js]
    assert len(typed) == len(set(typed)) > 5, "each counts its own"
