"""Results: which one wins, how sure, and now what. The verdict comes first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bracket.report.writing.markdown import escape
from bracket.session.view import SessionView, TrialView
from bracket.ui.results import mattered, proof, xyz
from bracket.ui.shared import gallery
from bracket.ui.shared.context import Context, warned
from bracket.ui.shared.format import empty_html, esc, file_url, progress_words, sentence, trial_state
from bracket.ui.shared.loss_chart import chart
from bracket.ui.shared.outcome import (
    TABLE,
    TABLE_TYPES,
    Duellists,
    before_after_html,
    command_text,
    compare_choices,
    compare_html,
    downloads_html,
    duel_of,
    sealed_html,
    slider_pair,
    table_rows,
    table_title,
    winner_html,
)
from bracket.ui.views import booth as vote
from bracket.ui.views import bracket as bracket_view

MOST = 4
"""Configs compared side by side."""
NOBODY = "Choose trials to compare."
_LEAD = 2
"""Sentences of the verdict in large letters."""
_SENTENCE = re.compile(r"(?<=\.) (?=[A-Z])")


@dataclass(frozen=True)
class Results:
    """The tab's parts; `outputs` are filled by the page whenever the session changed."""

    verdict: gr.Markdown
    report: gr.HTML
    pictures: gr.HTML
    winner: gr.HTML
    command: gr.Textbox
    eyes: gr.HTML
    pick: gr.Dropdown
    table: gr.Dataframe
    title: gr.HTML
    grid: gr.State
    tournament: gr.HTML
    mattered: mattered.Mattered
    duel: gr.HTML
    """Kept up to date by the page, like Monitor's."""
    proof: proof.Proof

    @property
    def outputs(self) -> list[Any]:
        shown = [self.verdict, self.report, self.pictures, self.winner, self.command, self.eyes, self.pick, self.table]
        found = self.mattered
        return [*shown, self.title, self.grid, self.tournament, found.html, found.use, *self.proof.outputs]


def build(context: Context, session: gr.Dropdown) -> Results:
    """The tab with the events of its comparison."""
    with gr.Row(elem_id="verdict-row"):
        verdict = gr.Markdown(elem_id="verdict")
        report = gr.HTML(apply_default_css=False, elem_id="report")
        add = proof.button()
    more = proof.build(context, session, add)
    duel = gr.HTML(apply_default_css=False, elem_id="duel-result")
    eyes = vote.build(context)
    pictures, winner, command = _winner()
    grid = xyz.build(context, session)
    gr.HTML("<h2>The tournament</h2>", apply_default_css=False, elem_classes="section")
    tournament = bracket_view.build(context, "tournament")
    title = gr.HTML(table_title(None), apply_default_css=False)
    table = _table()
    what = mattered.build()
    pick = _side_by_side(context, session)
    shown = (verdict, report, pictures, winner, command, eyes, pick, table, title, grid, tournament, what, duel)
    return Results(*shown, more)


def _winner() -> tuple[gr.HTML, gr.HTML, gr.Textbox]:
    """Before and after, the winner's settings, and its command."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=480):
            pictures = gr.HTML(apply_default_css=False, elem_id="before-after")
        with gr.Column(scale=1, min_width=260):
            winner = gr.HTML(apply_default_css=False, elem_id="winner")
            command = gr.Textbox(
                label="Train the winner in full",
                lines=4,
                max_lines=8,
                interactive=False,
                buttons=["copy"],
                elem_id="winner-command",
                elem_classes="mono",
                visible=False,
            )
    return pictures, winner, command


def _side_by_side(context: Context, session: gr.Dropdown) -> gr.Dropdown:
    """The comparison with its events; gives what is picked."""
    gr.HTML("<h2>Side by side</h2>", apply_default_css=False)
    with gr.Row():
        pick = gr.Dropdown(
            [], value=[], multiselect=True, max_choices=MOST, label="Two to four trials", elem_id="pick", scale=3
        )
        prompt = gr.Dropdown([], label="Prompt of the slider", elem_id="slider-prompt", visible=False, scale=2)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=420):
            side = gr.HTML(empty_html(NOBODY), apply_default_css=False, elem_id="side")
        with gr.Column(scale=1, min_width=260):
            slider = gr.ImageSlider(
                show_label=False, elem_id="slider", visible=False, interactive=False, buttons=["fullscreen"], height=300
            )
    curves = chart(context.read, "compare-loss", "Choose trials to see their curves.")

    def compare(name: str | None, ids: list[str] | None) -> tuple[Any, ...]:
        return compared(context.read(name) if name else None, ids or [])

    def slide(name: str | None, ids: list[str] | None, text: str | None) -> Any:
        pair = slider_pair(chosen(context.read(name), ids or []), text) if name and text else None
        return gr.update(value=pair) if pair else gr.skip()

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    gr.on([pick.change, session.change], warned(compare), [session, pick], [side, prompt, slider, curves], **private)
    prompt.input(warned(slide), [session, pick, prompt], slider, **private)
    return pick


def compared(view: SessionView | None, ids: list[str]) -> tuple[Any, ...]:
    """The picked trials: their pictures, the slider's prompts and pair, and their curves."""
    trials = chosen(view, ids)[:MOST] if view is not None else []
    if view is None or not trials:
        nothing = gr.update(visible=False)
        return empty_html(NOBODY), gr.update(visible=False, choices=[]), nothing, _curves(view, [])
    html, sealed = compare_html(trials), vote.sealed(view, trials)
    prompts = list(dict.fromkeys(p for p, _ in gallery.prompts_of(s for t in trials[:2] for s in t.samples)))
    first = prompts[0] if prompts else None
    pair = slider_pair(trials, first) if first is not None and not sealed else None
    return (
        sealed_html("With pictures of the duel", html) if sealed else html,
        gr.update(visible=pair is not None, choices=prompts, value=first),
        gr.update(visible=pair is not None, value=pair),
        _curves(view, [t.id for t in trials]),
    )


def _table() -> gr.Dataframe:
    return gr.Dataframe(
        headers=list(TABLE),
        datatype=list(TABLE_TYPES),
        interactive=False,
        elem_id="table",
        show_search="search",
        buttons=["copy", "fullscreen"],
        max_height=340,
        wrap=False,
        show_label=False,
    )


def values(view: SessionView | None, *, pick: bool = False) -> list[Any]:
    """What `Results.outputs` become.

    Args:
        pick: also choose what is compared: the winner and the baseline. Otherwise the person's own choice stays.
    """
    if view is None:
        none = gr.update(choices=[], value=[])
        nothing = [verdict_text(None), "", "", "", gr.update(visible=False), vote.value_of(None), none, []]
        rest = [*mattered.updates(None), *proof.updates(None)]
        return [*nothing, table_title(None), "", bracket_view.value_of(None), *rest]
    duel = duel_of(view)
    command = command_text(view.folder, duel)
    return [
        verdict_text(view),
        report_html(view),
        before_after_html(view, duel, sealed=not vote.voted(view)),
        winner_html(duel) + downloads_html(view, duel),
        gr.update(visible=bool(command), value=command),
        vote.value_of(view),
        gr.update(choices=compare_choices(view), **({"value": suggested(duel)} if pick else {})),
        table_rows(view),
        table_title(view),
        xyz.stamp_of(view),
        bracket_view.value_of(view),
        *mattered.updates(view),
        *proof.updates(view),
    ]


def verdict_text(view: SessionView | None) -> str:
    """The verdict, or in its place what is still to come. Markdown."""
    if view is None:
        return "No session yet. Start the demo, or choose a folder."
    if view.verdict:  # a file, which may be somebody else's: each line is shown as it stands, but for what is bold
        said = [part for line in view.verdict.splitlines() for part in _parted(line)]
        return "\n\n".join(_bold(part) for part in said if part.strip())
    if view.state == "failed":
        return f"No verdict: the session failed. {_plain(sentence(view.message))}"
    if view.state in ("running", "stopping"):
        return f"No verdict yet: {progress_words(view) or 'it has just begun'}. What has ended is in the table below."
    return f"No verdict yet: the session is {view.state}. {_plain(sentence(view.message))}"


def _parted(line: str) -> tuple[str, str]:
    """Who wins and how clearly, and all that is said beside."""
    sentences = _SENTENCE.split(line)
    return " ".join(sentences[:_LEAD]), " ".join(sentences[_LEAD:])


def _bold(line: str) -> str:
    """A line of the verdict, which sets labels bold and nothing else."""
    parts = line.strip().split("**")
    if len(parts) % 2 == 0 or not all(part.strip() for part in parts[1::2]):
        return _plain(line.replace("**", " "))
    words = [f"**{_plain(part)}**" if n % 2 else _plain(part) for n, part in enumerate(parts)]
    return " ".join(word for word in words if word).replace("** .", "**.")


def _plain(text: str) -> str:
    """Text as Markdown that shows just that, with no address made into a link."""
    return escape(text).replace(":", "&#58;").replace("www.", "www&#46;").replace("@", "&#64;")


def report_html(view: SessionView) -> str:
    """The link to the report, once there is one."""
    if view.report is None:
        return ""
    address = esc(file_url(view.report))
    return f'<a class="button" href="{address}" target="_blank">Open report</a>'


def chosen(view: SessionView, ids: list[str]) -> list[TrialView]:
    """The trials with these ids, in the order they were picked."""
    known = {t.id: t for t in view.trials}
    return [known[i] for i in ids if i in known]


def suggested(duel: Duellists | None) -> list[str]:
    """The trials to compare before a person chose any."""
    return [] if duel is None or duel.same else [duel.winner.id, duel.baseline.id]


def stamp(view: SessionView | None) -> tuple[Any, ...]:
    """Changes when Results must be drawn again."""
    if view is None:
        return ()
    trials = tuple((t.id, trial_state(t) if t.outcome else "", len(t.samples)) for t in view.trials)
    words = verdict_text(view)
    return view.name, view.state, words, view.report, trials, vote.voted(view)


def _curves(view: SessionView | None, ids: list[str]) -> dict[str, Any]:
    return {"session": view.name if view else "", "only": ids, "live": False}
