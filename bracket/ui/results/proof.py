"""Results → Add proof: more fresh pairs of winner and baseline, for a claim about the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bracket.domain import Problem
from bracket.errors import BracketError
from bracket.session.after import proof
from bracket.session.running import launch
from bracket.session.view import SessionView
from bracket.ui.shared.context import Context, said, warned
from bracket.ui.shared.format import esc, problems_html, sentence
from bracket.ui.shared.header import on_shown

_ASKS = (
    "<h2>Add proof</h2><p>Winner and baseline are trained again with fresh seeds, both from the start, and compared. "
    "The search stays as it is, and so does the duel before.</p>"
)
_PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Proof:
    """The part's pieces. `start` is wired by the page, which shows Monitor then; it writes what went wrong into
    `trouble`."""

    button: gr.Button
    why: gr.HTML
    panel: gr.Column
    pairs: gr.Number
    start: gr.Button
    trouble: gr.HTML

    @property
    def outputs(self) -> list[gr.components.Component | gr.Column]:
        """What `updates` fills."""
        return [self.button, self.why, self.panel]


def button() -> gr.Button:
    """What opens the panel; it stands beside the report's link."""
    return gr.Button("Add proof", elem_id="add-proof", visible=False, scale=0, min_width=110)


def build(context: Context, session: gr.Dropdown, opens: gr.Button) -> Proof:
    """The panel with its events."""
    why = gr.HTML(apply_default_css=False, elem_id="no-proof")
    with gr.Column(visible=False, elem_id="proof") as panel:
        gr.HTML(_ASKS, apply_default_css=False)
        pairs = gr.Number(label="Fresh pairs", precision=0, elem_id="proof-pairs", min_width=120)
        told = gr.HTML(apply_default_css=False, elem_id="proof-told")
        with gr.Row():
            start = gr.Button("Start", variant="primary", elem_id="proof-start", scale=0, min_width=110)
            close = gr.Button("Close", elem_id="proof-close", scale=0, min_width=90)
        trouble = gr.HTML(apply_default_css=False, elem_id="proof-said")

    def opened(name: str | None) -> tuple[Any, ...]:
        if not name:
            return (gr.skip(),) * 5
        found = proof.offer(context.folder(name))
        words, able = _told(context, name, found.suggested)
        return gr.update(visible=True), found.suggested, words, gr.update(interactive=able), ""

    def counted(name: str | None, wanted: float | None) -> tuple[Any, ...]:
        words, able = _told(context, name or "", int(wanted or 0))
        return words, gr.update(interactive=able)

    opens.click(warned(opened), session, [panel, pairs, told, start, trouble], js=on_shown(), **_PRIVATE)
    close.click(lambda: gr.update(visible=False), None, panel, **_PRIVATE)
    pairs.input(warned(counted), [session, pairs], [told, start], trigger_mode="always_last", **_PRIVATE)
    return Proof(opens, why, panel, pairs, start, trouble)


def _told(context: Context, name: str, pairs: int) -> tuple[str, bool]:
    """What so many pairs take and can show, and whether they may be started."""
    folder = context.folder(name)
    offer = proof.offer(folder)
    problem = offer.refusal or offer.problem(pairs)
    if problem:
        return problems_html([Problem("error", f"{problem}.", offer.remedy)]), False
    return f"<p>{esc(proof.cost(folder, pairs).words)}</p><p>{esc(offer.wants(pairs))}</p>", True


def updates(view: SessionView | None) -> list[Any]:
    """What `Proof.outputs` become: the button where there is a verdict, or in its place why nothing can be added."""
    shut = gr.update(visible=False)
    if view is None or not view.verdict:
        return [shut, "", shut]
    try:
        found = proof.offer(view.folder)
        refusal = esc(f"{sentence(found.refusal)}. {found.remedy}".strip()) if found.refusal else ""
    except BracketError as error:
        refusal = said(error)
    why = f'<p class="quiet">No proof to add: {refusal}</p>' if refusal else ""
    return [gr.update(visible=True, interactive=not refusal), why, shut]


def begin(context: Context, name: str | None, pairs: float | None) -> None:
    """Plan so many pairs for the open session and run it.

    Raises:
        BracketError: why not.
    """
    folder = context.folder(name or "")
    proof.begin(folder, int(pairs or 0))
    launch.start(folder)
