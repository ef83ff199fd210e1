"""Results → What mattered: the sentences and figures of the report, and the space it suggests for the next session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.errors import BracketError
from bracket.files import read_json
from bracket.report.sections.mattered import FILE, VERSION, space_words
from bracket.report.words import knob_title, percent
from bracket.session.view import SessionView
from bracket.ui.shared.context import said
from bracket.ui.shared.format import esc, file_url

_ALL_IN_BARS = "importance"
"""The figure that the page draws itself, as bars."""
_CHANGES = {"narrowed": "narrower", "widened": "wider", "fixed": "fixed", "kept": "as it was"}


@dataclass(frozen=True)
class Mattered:
    """The section's parts. `use` is wired by the page, which knows the form."""

    html: gr.HTML
    use: gr.Button


def build() -> Mattered:
    """The section; empty until a report was written."""
    html = gr.HTML(apply_default_css=False, elem_id="mattered")
    use = gr.Button("Use this space for the next session", size="sm", elem_id="use-space", visible=False, scale=0)
    return Mattered(html, use)


def updates(view: SessionView | None) -> list[Any]:
    """What the section's two parts become."""
    return [mattered_html(view), gr.update(visible=view is not None and _suggests(view))]


def mattered_html(view: SessionView | None) -> str:
    """The section as the report wrote it down; "" before there is a report."""
    if view is None or view.report is None:
        return ""
    try:
        data = _read(view)
    except BracketError as error:
        return f'<h2>What mattered</h2><p class="message error">{said(error)}</p>'
    if not data.get("sentences"):
        return ""
    told = "".join(f"<li>{esc(sentence)}</li>" for sentence in data["sentences"])
    note = f'<p class="quiet">{esc(data["note"])}</p>' if data["note"] else ""
    figures = [_figure(one, view.report.parent) for one in data["figures"] if one["kind"] != _ALL_IN_BARS]
    return (
        f'<h2>What mattered</h2><ul class="remarks">{told}</ul>{note}'
        f'<div class="plots">{_bars(data["importance"])}{"".join(figures)}</div>{_space(data["suggestion"])}'
    )


def _read(view: SessionView) -> Mapping[str, Any]:
    """The report's own data; empty where it has none, or that of another version."""
    path = view.folder / "report" / FILE
    if not path.exists():
        return {}
    data = read_json(path)
    return data if isinstance(data, dict) and data.get("version") == VERSION else {}


def _suggests(view: SessionView) -> bool:
    try:
        suggestion = _read(view).get("suggestion") if view.report else None
    except BracketError:  # the section says so
        return False
    return bool(suggestion and suggestion["bounds"])


def _figure(one: Mapping[str, Any], folder: Path) -> str:
    drawn = "".join(
        f'<img class="on-{paper}" loading="lazy" src="{esc(file_url(folder / one[paper]))}" alt="{esc(one["alt"])}">'
        for paper in ("light", "dark")
    )
    return f"<figure><h3>{esc(one['alt'])}</h3>{drawn}<figcaption>{esc(one['caption'])}</figcaption></figure>"


def _bars(found: Sequence[Mapping[str, Any]]) -> str:
    """Every knob's share of the ranking, and a line where noise alone may reach."""
    if not found:
        return ""
    rows = "".join(_bar(one) for one in found)
    return (
        '<figure class="shares"><h3>How much of the score\'s ranking each knob explains</h3>'
        f"<dl>{rows}</dl><figcaption>The upright line is what noise alone reaches in one search of twenty."
        "</figcaption></figure>"
    )


def _bar(one: Mapping[str, Any]) -> str:
    words = "" if one["clear"] else "hardly matters" if one["negligible"] else "can't be told from noise"
    tone = "" if one["clear"] else ' class="unclear"'
    return (
        f'<div{tone}><dt>{esc(knob_title(one["knob"]))}</dt><dd><span class="track">'
        f'<i style="width: {100 * one["share"]:.1f}%"></i><b style="left: {100 * one["noise_floor"]:.1f}%"></b></span>'
        f"<span>{percent(one['share'])}<small>{words}</small></span></dd></div>"
    )


def _space(suggestion: Mapping[str, Any] | None) -> str:
    if not suggestion:
        return ""
    title = "<h3>The next session's space</h3>"
    if not suggestion["knobs"]:
        return f'{title}<p class="quiet">{esc(suggestion["note"])}</p>'
    rows = "".join(
        f'<tr class="{esc(a["change"])}"><td>{esc(knob_title(a["knob"]))}</td><td>{_CHANGES.get(a["change"], "")}</td>'
        f"<td>{esc(space_words(a))}</td><td>{esc(a['reason'])}</td></tr>"
        for a in suggestion["knobs"]
    )
    return (
        f'{title}<table class="settings"><thead><tr><th>Knob</th><td></td><th>Values</th><th>Why</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
