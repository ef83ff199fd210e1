"""What the tabs make of a session's folder, without a browser."""

from __future__ import annotations

import base64
import re
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from bracket.dataset import PromptChoice
from bracket.domain import Outcome, Round, Score
from bracket.errors import BracketError, SettingsError
from bracket.presets import DEMO_PRESET, find_preset
from bracket.session import view
from bracket.session.planning import plan
from bracket.ui.form import form
from bracket.ui.monitor import tab as monitor
from bracket.ui.monitor import trial as trial_view
from bracket.ui.results import tab as results
from bracket.ui.run import tab as run
from bracket.ui.setup import tab as setup
from bracket.ui.shared import gallery, header, outcome
from bracket.ui.shared.context import Context
from bracket.ui.shared.loss_chart import default_shown, points
from bracket.ui.shared.served import file_headers
from bracket.ui.views import bracket as bracket_view
from bracket.ui.views import cards as bracket_cards
from tests.ui.made import FRESH, PROMPTS


def test_only_sessions_of_the_runs_folder_are_opened(runs: Path) -> None:
    context = Context(runs)
    assert context.read("zorp").state == "done"
    for name in ("..", "zorp/trials", "/", "demo-dataset", ""):
        with pytest.raises(SettingsError, match="there is no session called"):
            context.read(name)


def test_only_pictures_logs_and_reports_are_served(own: Path) -> None:
    runs, zorp = own.parent, own
    context = Context(runs)
    trial = zorp / "trials" / "search-000"
    shown = (zorp / "report" / "figures" / "a.png", zorp / "confirm" / "winner" / "b.png", trial / "samples" / "c.png")
    refused = (
        zorp / "session.yaml",
        zorp / "report",
        trial / "config.yaml",
        trial / "checkpoints" / "final" / "state.pt",
        trial / "samples" / ".." / "exit.json",
        zorp / "report" / ".." / "study.db",
        runs / "no-session" / "report" / "a.png",
        runs.parent / "zorp" / "report" / "a.png",
        Path("/etc/hostname"),
    )
    for path in (*shown, *refused):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith(".png"):
            path.write_bytes(b"")
    assert [p for p in (*shown, *refused) if context.openable(str(p))] == list(shown)
    assert context.openable(str(trial / "logs" / "trainer.log"))


def test_messages_have_words_for_every_state(done: view.SessionView) -> None:
    assert "No session yet. Start the demo" in monitor.message_html(None)
    failed = replace(done, state="failed", message="the disk is full. Free some space.")
    assert "<b>Failed.</b> The disk is full. Free some space." in monitor.message_html(failed)
    assert "No verdict: the session failed" in results.verdict_text(replace(failed, verdict=""))
    assert "7 of 41" in results.verdict_text(replace(done, state="running", done=7, verdict=""))


def test_only_labels_of_the_verdict_are_bold(done: view.SessionView) -> None:
    said = results.verdict_text(replace(done, verdict="**lr 1e-2, rank 4** wins. <b>x</b> **a** [y](http://z)"))
    assert said.startswith("**lr 1e-2, rank 4** wins.") and "<b>" not in said and "**a**" in said
    assert "http:" not in said and r"\[y\](" in said
    assert "**" not in results.verdict_text(replace(done, verdict="** **** one ** left"))


def test_what_is_said_beside_the_verdict_is_a_paragraph_of_its_own(done: view.SessionView) -> None:
    said = results.verdict_text(replace(done, verdict="**lr 4.5e-3** wins. In 5 of 5 pairs (p = 0.03). Its file."))
    assert said == r"**lr 4.5e-3** wins. In 5 of 5 pairs (p = 0.03)." + "\n\nIts file."


def test_samples_are_rows_of_steps_and_columns_of_prompts(done: view.SessionView) -> None:
    html = monitor.samples_html(done, "search-001")
    assert html.index("step 30") < html.index("step 15")
    assert html.count("<img") == 2 * len(PROMPTS)
    assert "No pictures of search-007" in monitor.samples_html(done, "search-007")


def test_a_grid_keeps_prompts_in_their_columns(done: view.SessionView) -> None:
    trial = done.trials[0]
    columns = gallery.prompts_of(trial.samples)
    found = gallery.newest(trial.samples)
    del found[columns[1]]
    html = gallery.grid([("a", found)], columns, limit=3)
    assert html.count("<img") == 2
    assert html.count('<span class="frame">') == 1
    assert f"{len(columns) - 3} more pictures" in html


def test_the_winner_is_the_finals_best(done: view.SessionView) -> None:
    duel = outcome.duel_of(done)
    assert duel is not None
    assert duel.winner.label.startswith("lr 9e-4")
    assert (duel.baseline.origin, duel.winner.seed) == ("baseline", duel.baseline.seed)
    assert "<b>9e-4</b>" in outcome.winner_html(duel)
    assert "bracket.training" in outcome.command_text(done.folder, duel)


def test_before_and_after_shows_fresh_prompts_first(done: view.SessionView) -> None:
    html = outcome.before_after_html(done, outcome.duel_of(done))
    fresh, rest = html.split("<h2>Before and after</h2>")
    assert fresh.count("<img") == 2 * len(FRESH)
    assert rest.count("<img") == 3 * len(PROMPTS)


def test_nothing_is_claimed_before_the_finals(live: view.SessionView) -> None:
    assert outcome.duel_of(live) is None
    assert outcome.before_after_html(live, None) == ""
    assert outcome.command_text(live.folder, None) == ""


def test_the_table_holds_failures_too(done: view.SessionView) -> None:
    rows = outcome.table_rows(done)
    melted = next(r for r in rows if r[5] == "melted")
    assert len(rows) == len(done.trials) == 41
    assert melted[6:9] == [None, None, None]
    assert melted[-1] == "the loss became infinite at step 21"


def _many(done: view.SessionView, count: int) -> view.SessionView:
    """As many trials, of which the earlier are the worse."""
    one = next(t for t in done.trials if t.score and t.samples)
    scores = [Score(1 - n / count, 0.0, 0.0) for n in range(count)]
    return replace(done, trials=tuple(replace(one, id=f"search-{n:04d}", score=s) for n, s in enumerate(scores)))


def test_of_very_many_trials_the_page_gets_the_best_or_the_newest_and_says_so(done: view.SessionView) -> None:
    view_ = _many(done, 1_200)
    rows = outcome.table_rows(view_)
    assert (len(rows), rows[0][0], rows[-1][0]) == (1_000, "search-1199", "search-0200")
    assert "best 1,000 of 1,200" in outcome.table_title(view_) and "study.db" in outcome.table_title(view_)
    assert "of" not in outcome.table_title(done)
    assert [i for _, i in outcome.compare_choices(view_)] == [r[0] for r in rows]
    picks = [i for _, i in monitor.trial_choices(view_, "search-0003")]
    assert len(picks) == 1_002 and picks[:2] == ["", "search-1199"] and picks[-1] == "search-0003"
    curves = [one["id"] for one in points(replace(view_, trials=view_.trials[::-1]), None, {})]
    assert {"search-1199", "search-0000"} < set(curves) and len(curves) < 210
    assert [one["id"] for one in points(view_, ["search-0500"], {})] == ["search-0500"]


def test_comparing_begins_with_winner_and_baseline(done: view.SessionView) -> None:
    ids = results.suggested(outcome.duel_of(done))
    trials = results.chosen(done, [*ids, "gone-001"])
    assert [t.origin for t in trials] == ["finalist", "baseline"]
    assert outcome.compare_html(trials).count("<img") == 2 * len(PROMPTS)
    pair = outcome.slider_pair(trials, PROMPTS[0])
    assert pair is not None and all(Path(p).is_file() for p in pair)
    assert outcome.slider_pair(trials[:1], PROMPTS[0]) is None


def numbers(packed: str) -> tuple[float, ...]:
    data = base64.b64decode(packed)
    return struct.unpack(f"<{len(data) // 4}f", data)


def test_the_chart_gets_only_what_is_new(done: view.SessionView) -> None:
    first = points(done, ["search-000"], {})[0]
    assert numbers(first["train"]["steps"])[:3] == (1.0, 2.0, 3.0)
    assert len(numbers(first["train"]["values"])) == first["train"]["cursor"] == 30
    assert numbers(first["marks"]["steps"]) == (30.0,)
    again = points(done, ["search-000"], {"search-000": [28, 1]})[0]
    assert numbers(again["train"]["steps"]) == (29.0, 30.0)
    assert again["marks"] is None


def test_the_chart_begins_with_the_newest_round(done: view.SessionView, live: view.SessionView) -> None:
    assert all(t.startswith("confirmation") for t in default_shown(done))
    shown = default_shown(live)
    assert {"search-000", "search-007"} <= shown
    assert len(shown) == 4


def test_pictures_are_counted_as_one_types(runs: Path) -> None:
    html = setup.pictures_html(runs / "demo-dataset", find_preset(DEMO_PRESET), "zorp", (8, 12, 20))
    assert "24 images · 24 captions · 0 missing" in html
    assert "1 bucket" in html
    assert "20 for the verdict" in html


def test_what_the_bank_is_for_is_told_beside_the_pictures(runs: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(runs / "demo-dataset", tmp_path / "data")
    (folder / "verdict_prompts.txt").unlink()
    choice = PromptChoice(own=("a zorp",), use="verdict")
    preset = find_preset(DEMO_PRESET)
    assert "20 for the verdict · bracket&#x27;s own are for drawn shapes" in setup.pictures_html(
        folder, preset, "zorp", (8, 12, 20), "star", choice
    )
    told = setup._pictures_found(DEMO_PRESET, str(folder), "zorp", "", "a --w b", "both", "none", 8, 12, 20, 2)
    assert "Line 1: --w takes a whole number" in told


def test_a_trigger_word_that_no_caption_holds_is_said(runs: Path) -> None:
    html = setup.pictures_html(runs / "demo-dataset", find_preset(DEMO_PRESET), "blarg", (8, 12, 20))
    assert "24 of 24 captions lack the trigger word" in html


def test_the_plan_in_words(runs: Path) -> None:
    values = form.default_values(find_preset(DEMO_PRESET), str(runs / "demo-dataset"))
    html = run.plan_html(plan.make(form.to_settings({**values, "configs": 6, "pairs": 2})))
    assert "6 trials" in html
    assert "This finds the best of 6 settings" in html
    assert "add 3 paired runs" in html


def test_states_of_the_header(live: view.SessionView) -> None:
    html = header.state_html(live)
    assert 'data-title="7/30 Searching · zorp-live · bracket"' in html
    assert re.search(r"7 of 30 trials, about 1\d min( \d+ s)? left", html), "it counts down from what was said"
    assert "No session" in header.state_html(None)
    assert 'data-session="x"' in header.state_html(None, "x") and "Not readable" in header.state_html(None, "x")
    assert "RAM" in header.meter_html() or "VRAM" in header.meter_html()


def test_an_error_becomes_a_sentence() -> None:
    html = run.error_html(BracketError("the folder <b> is gone", path="/pics", remedy="Choose another."))
    assert "The folder &lt;b&gt; is gone (/pics). Choose another." in html


def test_labels_from_a_session_are_escaped(done: view.SessionView) -> None:
    evil = "<script>alert(1)</script>"
    trials = tuple(replace(t, label=evil, origin=evil, cause=evil) for t in done.trials)
    bad = replace(done, name=evil, message=evil, trials=trials)
    duel = outcome.duel_of(bad)
    for html in (
        "".join(bracket_cards.html(bracket_view.drawing(bad), bad.verdict, sparks=True)),
        str(trial_view.told(bad, bad.trials[0].id)),
        monitor.message_html(bad),
        monitor.samples_html(bad, "search-000"),
        header.state_html(bad),
        outcome.before_after_html(bad, duel),
        outcome.compare_html(trials[:2]),
    ):
        assert "<script" not in html


def test_the_log_is_read_and_searched(own: Path) -> None:
    context, log = Context(own.parent), own / "session.log"

    def read(trial: str = "", source: str = monitor.SESSION_LOG, find: str = "") -> str:
        return monitor.log_of(context, "zorp", trial, source, find)[0]

    assert "search-011 ended" in read()
    with log.open("a") as file:
        file.write("one more line\n")
    assert read().endswith("one more line")
    assert read(find="SEARCH-003") == "2026-01-01 10:00:03 INFO trial search-003 ended: ok"
    assert read("search-007", monitor.TRIAL_LOG).startswith("step 1 loss 1.0000")
    assert read("gone", monitor.TRIAL_LOG) == read()
    for nothing in (None, "", "gone"):
        assert monitor.log_of(context, nothing, None, None, None) == ("", None)


def test_the_newest_trial_is_the_last_that_began(live: view.SessionView) -> None:
    newest = monitor.chosen_trial(live, monitor.NEWEST)
    assert newest is not None and newest.id == "search-007"
    assert monitor.chosen_trial(live, "gone-001") is None
    waiting = replace(live, trials=(*live.trials, replace(live.trials[0], id="x", state="waiting", outcome=None)))
    again = monitor.chosen_trial(waiting, monitor.NEWEST)
    assert again is not None and again.id == "search-007"


def test_rounds_and_outcomes_all_have_a_place(done: view.SessionView) -> None:
    assert {t.round for t in done.trials} == set(Round)
    assert {t.outcome for t in done.trials} == {Outcome.OK, Outcome.DIVERGED}


def checkpoint(trial: Path, size: int = 2000) -> Path:
    """What a finished trial of the built-in trainer leaves."""
    folder = trial / "checkpoints" / "final"
    folder.mkdir(parents=True)
    (folder / "state.pt").write_bytes(b"optimiser")
    (folder / "pytorch_lora_weights.safetensors").write_bytes(bytes(size))
    return folder


def test_the_loras_of_the_finals_are_links_the_winner_first(own: Path) -> None:
    seen = view.read(own)
    finals = [t for t in seen.trials if t.round is Round.FINALS]
    with_files = [replace(t, checkpoint=checkpoint(t.folder)) for t in finals]
    seen = replace(seen, trials=(*(t for t in seen.trials if t.round is not Round.FINALS), *with_files))
    html = outcome.downloads_html(seen, outcome.duel_of(seen))
    first, *others = re.findall(r'<a href="([^"]*)" download>([^<]*)</a>', html)
    assert first[1] == "winner: lr 9e-4, rank 8" and "/zorp/trials/finals-" in first[0]
    assert len(others) == len({str(t.config) for t in finals}) - 1, "each config once"
    assert "baseline" in [name for _, name in others] and "2 kB" in html
    bare = view.read(own)
    assert outcome.downloads_html(bare, outcome.duel_of(bare)) == "", "the ledger names no checkpoint"


def test_of_a_checkpoint_only_the_weights_are_served(own: Path, tmp_path: Path) -> None:
    context, trial = Context(own.parent), own / "trials" / "finals-005"
    folder = checkpoint(trial)
    weights = folder / "pytorch_lora_weights.safetensors"
    outside = tmp_path / "other.safetensors"
    outside.write_bytes(b"mine")
    (trial / "link.safetensors").symlink_to(outside)
    (trial / "state.safetensors").symlink_to(folder / "state.pt")
    (own / "loose.safetensors").write_bytes(b"")
    for refused in (
        folder / "state.pt",
        folder,
        trial / "link.safetensors",
        trial / "state.safetensors",
        trial / "gone.safetensors",
        outside,
        own / "loose.safetensors",
        trial / ".." / ".." / ".." / ".." / "other.safetensors",
    ):
        assert context.openable(str(refused)) is None, refused
    assert context.openable(str(weights)) == weights.resolve()
    told = file_headers(weights)
    assert told["content-disposition"] == "attachment; filename*=UTF-8''zorp-finals-005.safetensors"
    assert told["content-type"] == "application/octet-stream"
