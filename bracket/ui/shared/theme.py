"""The page's look: neutral greys, one accent, system fonts. Stylesheets and scripts lie beside their pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.report.glossary import COINED, FIELD

_UI = Path(__file__).parents[1]
_STYLES = ("shared/style.css", "views/bracket.css", "views/duel_panel.css")
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")
_ACCENT = gr.themes.Color(
    name="accent",
    c50="#eef4fb",
    c100="#d9e6f5",
    c200="#b5cfea",
    c300="#86b0dc",
    c400="#568fcb",
    c500="#3574b8",
    c600="#2a5f9c",
    c700="#234e80",
    c800="#1d4068",
    c900="#183452",
    c950="#0f2238",
)


def theme() -> gr.themes.Base:
    """The theme: small type, a 4-px grid, flat blocks without frames around frames."""
    base = gr.themes.Base(
        primary_hue=_ACCENT,
        secondary_hue=_ACCENT,
        neutral_hue=gr.themes.colors.zinc,
        text_size=gr.themes.sizes.text_sm,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_sm,
        font=_FONTS,
        font_mono=_MONO,
    )
    return base.set(
        body_background_fill="#f7f7f8",
        body_background_fill_dark="#131315",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_padding="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_title_text_weight="500",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_400",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1c1c1f",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        button_primary_background_fill="*primary_500",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_400",
        button_primary_text_color="#ffffff",
        layout_gap="12px",
        form_gap_width="12px",
        table_row_focus="*primary_50",
        table_row_focus_dark="*neutral_800",
        slider_color="*primary_500",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        input_padding="6px 10px",
        checkbox_label_padding="4px 10px",
        checkbox_label_background_fill="transparent",
        checkbox_label_background_fill_dark="transparent",
        checkbox_label_background_fill_selected="*neutral_200",
        checkbox_label_background_fill_selected_dark="*neutral_800",
        button_large_padding="8px 16px",
        button_large_text_size="*text_md",
        button_small_padding="4px 10px",
        button_cancel_background_fill="#c0392f",
        button_cancel_background_fill_hover="#a5312a",
        button_cancel_background_fill_dark="#c0392f",
        button_cancel_background_fill_hover_dark="#d4584e",
        button_cancel_text_color="#ffffff",
        table_text_color="*body_text_color",
    )


def script(name: str) -> str:
    """One of the page's scripts (or styles), by its path in the app's folder."""
    return (_UI / name).read_text(encoding="utf-8")


def look() -> dict[str, Any]:
    """What `launch` wants to know about the look."""
    return {
        "theme": theme(),
        "css": "".join(map(script, _STYLES)),
        "head": f"<script>window.bracketWords = {_words()};{script('page.js')}</script>",
    }


def _words() -> str:
    """The glossary for page.js: (forms, word, sentence, whether bracket coined it) each."""
    told = [(t.pattern, t.word, t.said, coined) for some, coined in ((COINED, 1), (FIELD, 0)) for t in some]
    return json.dumps(told).replace("<", r"\u003c")


def early() -> None:
    """Has Gradio's page begin with a script of ours; what `launch` calls the head is added when its own have run."""
    from gradio.routes import templates
    from jinja2 import BaseLoader, Environment

    gradio = templates.env.loader

    class Early(BaseLoader):
        def get_source(self, environment: Environment, template: str) -> Any:
            source, *rest = gradio.get_source(environment, template)
            return source.replace("<head>", head, 1), *rest

    # Gradio names the page itself, but for the one that asks for a password.
    head = f"<head><title>bracket</title><script>{script('early.js')}</script>"
    if head not in gradio.get_source(templates.env, "frontend/index.html")[0]:
        templates.env.loader = Early()
