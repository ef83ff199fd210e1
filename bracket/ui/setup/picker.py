"""The preset's field: what is typed finds presets by words in any order, grouped by model, with what each needs."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import gradio as gr

from bracket.presets import Preset, broken_presets, list_presets, mended, search
from bracket.report.words import counted
from bracket.session.shelf import Here, grouped, shelf
from bracket.ui.shared.format import esc
from bracket.ui.shared.theme import script

_FRAME = """
<div class="picker">
  <label for="preset-words">Preset</label>
  <input id="preset-words" type="text" role="combobox" aria-autocomplete="list" aria-expanded="false"
    aria-controls="preset-list" autocomplete="off" spellcheck="false"
    placeholder="Type model, method, trainer or memory: flux lora kohya 16gb">
  <div id="preset-list" role="listbox" aria-label="Presets" hidden></div>
  <p class="hits" role="status"></p>
</div>
"""
_SECONDS = 10
"""For so long it is believed what of the presets is here."""


def build(presets: Sequence[Preset]) -> gr.HTML:
    """A field whose value is a preset's name."""

    def find(asked: Mapping[str, Any]) -> dict[str, str]:
        return found(str(asked.get("query", ""))[:200], str(asked.get("chosen", "")))

    return gr.HTML(
        value=presets[0].name,
        html_template=_FRAME,
        js_on_load=script("setup/picker.js"),
        server_functions=[find],
        elem_id="preset",
        apply_default_css=False,
        titles={p.name: p.title for p in presets},
    )


def found(query: str, chosen: str = "") -> dict[str, str]:
    """The list for what is typed, and how long it is in words. With no match, what may have been meant is listed."""
    presets = list_presets()
    hits, guess = search(query, presets), ""
    if not hits:
        guess = mended(query, presets)
        hits = search(guess, presets) if guess else []
    here = _here(int(time.monotonic() / _SECONDS))
    listed = grouped([here[p.name] for p in hits if p.name in here])
    groups = [_group(i, list(same), chosen) for i, (_, same) in enumerate(groupby(listed, lambda h: h.preset.family))]
    said = counted(len(listed), "preset") if listed else "No preset has all of these words."
    if broken := broken_presets():
        said += f". {counted(len(broken), 'file')} of presets can't be read: {broken[0]}"
    return {"html": "".join(groups), "said": f"{said} for “{guess}”, which is nearest" if guess else said}


@functools.lru_cache(maxsize=1)
def _here(_moment: int) -> dict[str, Here]:
    return {h.preset.name: h for h in shelf(list_presets())}


def _group(number: int, same: Sequence[Here], chosen: str) -> str:
    name = f"preset-family-{number}"
    options = "".join(_option(h, h.preset.name == chosen) for h in same)
    return (
        f'<div role="group" aria-labelledby="{name}"><div class="family" id="{name}">{esc(same[0].preset.family)}'
        f"</div>{options}</div>"
    )


def _option(here: Here, chosen: bool) -> str:
    p = here.preset
    ways = p.title.removeprefix(p.family).lstrip(" ·")
    gb = f"{p.least_gb} GB" if p.least_gb else ""
    said = ", ".join(filter(None, (p.title, gb and f"needs {gb}", here.lacks)))
    tone, mark = ("here", "✓ ") if here.ready else ("lacks", "")
    return (
        f'<div role="option" id="preset-is-{esc(p.name)}" data-name="{esc(p.name)}" '
        f'aria-selected="{str(chosen).lower()}" aria-label="{esc(said)}"><span>{esc(ways)}</span>'
        f'<span class="gb">{gb}</span><span class="{tone}">{mark}{esc(here.lacks)}</span></div>'
    )
