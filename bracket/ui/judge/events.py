"""What happens on the Judge tab: checks, the server's models, the test on two pictures, and the rubric."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.dataset import split_from_json
from bracket.domain import DatasetSplit, Problem, Sample
from bracket.errors import BracketError, JudgeError
from bracket.files import read_json
from bracket.judges import check_judge, make_asker
from bracket.judges.vlm.drafting import draft
from bracket.presets import find_preset
from bracket.report.words import counted, percent
from bracket.session.asked.settings import JudgeSettings, validated
from bracket.session.job import resolve
from bracket.ui.form import form
from bracket.ui.form import judge as judge_form
from bracket.ui.form.judge import LOCAL, MODEL, VLM
from bracket.ui.judge.tab import SHOWN_BY, Tab, needs_html, pair_choices, used_by
from bracket.ui.judge.tryout import NOWHERE, Tryout, tryout_html
from bracket.ui.setup.tab import Setup
from bracket.ui.shared.context import Context, only_here, said, warned
from bracket.ui.shared.format import esc, problems_html, sentence
from bracket.ui.shared.narrow import narrowed, rubric_allowed
from bracket.ui.shared.relay import TYPED
from bracket.ui.views import booth as vote

_PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
_POLL = 0.3
_DRAFTS = 20
"""Prompts that the judge is asked for at a time."""
_WORKING = '<p class="working">Asking the server…</p>'
_TEST, _TEST_ANYWAY, _TESTING = "Test the judge", "Test all the same", "Testing…"


class Events:
    """What happens on the tab. One test at a time is under way in an app.

    Args:
        session: the picker of the open session.
        inputs: every field of the form; `meant` makes settings of their values, or says what is wrong.
    """

    def __init__(self, context: Context, session: gr.Dropdown, tab: Tab, setup: Setup) -> None:
        self._context, self._tab, self._setup = context, tab, setup
        self._now: Tryout | None = None
        self._twice = gr.State(False)
        self._fields = {**{n: setup.fields[n] for n in ("judge", "judge_model")}, **tab.fields}
        self._around = {n: setup.fields[n] for n in ("preset", "folder", "trigger_word", "class_word")}
        self._same_fields()
        self._server()
        self._test(session)
        self._rubric()
        self._draft()

    @property
    def _inputs(self) -> list[gr.components.Component]:
        return [*self._fields.values(), *self._around.values()]

    def _read(self, given: Sequence[Any]) -> dict[str, Any]:
        return dict(zip([*self._fields, *self._around], given, strict=True))

    def _same_fields(self) -> None:
        """Setup and this tab show one and the same kind and model, whoever was asked to change them."""
        t, s = self._tab, self._setup
        kind, model = s.fields["judge"], s.fields["judge_model"]
        shown = [n for n in t.fields if n in SHOWN_BY]
        dependent = [t.kind, t.needs, s.judge_needs, t.server, t.rubric_part, model, t.model]
        dependent += [t.fields[n] for n in shown]

        def follows(given: str, name: str) -> list[Any]:
            return [
                given,
                needs_html(given),
                needs_html(given),
                gr.update(visible=given == "openai_api"),
                gr.update(open=given in VLM),
                gr.update(info=MODEL[given]),
                gr.update(info=MODEL[given], value=name),
                *(gr.update(visible=used_by(n, given)) for n in shown),
            ]

        quiet: dict[str, Any] = {**_PRIVATE, "queue": False}
        kind.change(follows, [kind, model], dependent, **quiet)
        model.change(lambda name: name, model, t.model, **quiet)
        t.model.input(lambda name: form.text(name), t.model, model, **quiet)
        picked = [kind, model]
        kind.input(_kind_chosen, [kind, s.fields["preset"]], picked, **quiet)
        t.kind.input(_kind_chosen, [t.kind, s.fields["preset"]], picked, **quiet)
        gr.on(None, self._checked, [*self._fields.values()], [t.checks, s.judge_checks], **TYPED)

    def _checked(self, *given: Any) -> tuple[str, str]:
        try:
            meant = judge_form.judges_meant(dict(zip(self._fields, given, strict=True)))
            judges = [JudgeSettings.model_validate(j) for j in (meant["judge"], *meant["other_judges"])]
            narrowed(self._context, judges)
            found = [p for j in judges for p in check_judge(j)]
        except BracketError as error:
            found = [Problem("error", error.message, error.remedy)]
        except ValueError as error:
            found = [Problem("error", f"the judge's settings don't fit: {_plain(error)}")]
        html = problems_html(found or [Problem("info", "Nothing keeps the judge from working")])
        return html, html

    def _server(self) -> None:
        t = self._tab
        inputs = [*self._fields.values()]
        told = [t.model, t.connected]
        asked = t.list_models.click(lambda: _WORKING, None, t.connected, **_PRIVATE, queue=False)
        asked.then(self._list_models, inputs, told, **_PRIVATE, concurrency_limit=None)
        tested = t.connect.click(lambda: _WORKING, None, t.connected, **_PRIVATE, queue=False)
        tested.then(self._connect, inputs, t.connected, **_PRIVATE, concurrency_limit=None)

    def _settings(self, given: Sequence[Any]) -> JudgeSettings:
        """The judge that the fields mean.

        Raises:
            SettingsError: a field can't be read.
            JudgeError: the fields don't fit.
        """
        try:
            meant = judge_form.judge_meant(dict(zip(self._fields, given, strict=False)))
            made = JudgeSettings.model_validate(meant)
            narrowed(self._context, [made])
            return made
        except ValueError as error:
            raise JudgeError(
                f"the judge's settings don't fit: {_plain(error)}", remedy="Mend what it names."
            ) from error

    def _list_models(self, *given: Any) -> tuple[Any, Any]:
        from bracket.judges.server.openai_api import models

        try:
            found = models(self._settings(given))
        except BracketError as error:
            return gr.skip(), f'<p class="message error">{said(error)}</p>'
        if not found:
            return gr.skip(), '<p class="message">It offers no model yet: load one on the server.</p>'
        return gr.update(choices=found), f"<p>It offers {counted(len(found), 'model')}: choose one above.</p>"

    def _connect(self, *given: Any) -> str:
        from bracket.judges.server.openai_api import test_connection

        try:
            with _swatch() as image:
                return f"<p>{esc(sentence(test_connection(self._settings(given), image)))}</p>"
        except BracketError as error:
            return f'<p class="message error">{said(error)}</p>'

    # The test on two pictures.

    def _test(self, session: gr.Dropdown) -> None:
        t = self._tab
        t.pair.input(warned(self._pair_chosen), [session, t.pair], [t.left, t.right, t.prompt], **_PRIVATE)
        first = [t.pair, t.left, t.right, t.prompt]
        session.change(warned(self._first_pair), session, first, **_PRIVATE)
        inputs = [session, t.left, t.right, t.prompt, t.rubric, t.base, self._twice, *self._inputs]
        shown = [t.result, t.test, self._twice]
        begun = t.test.click(self._begin, inputs, shown, **_PRIVATE)
        begun.then(self._follow, None, [t.result, t.test], **_PRIVATE, concurrency_limit=None)

    def _first_pair(self, name: str | None) -> tuple[Any, ...]:
        pairs = vote.pairs_of(self._context.read(name)) if name else []
        update = gr.update(choices=pair_choices(pairs), value=0 if pairs else None)
        return update, *self._pair_chosen(name, 0)

    def _pair_chosen(self, name: str | None, place: int | None) -> tuple[Any, ...]:
        pairs = vote.pairs_of(self._context.read(name)) if name else []
        if place is None or not 0 <= int(place) < len(pairs):
            return gr.skip(), gr.skip(), gr.skip()
        a, b = pairs[int(place)]
        return str(a.path), str(b.path), a.prompt

    def _begin(
        self, name: str | None, left: str | None, right: str | None, prompt: str, rubric: str, base: str,
        twice: bool, *given: Any,
    ) -> tuple[Any, Any, bool]:  # fmt: skip
        again = gr.update(value=_TEST, interactive=True)
        if self._now is not None and self._now.running:
            return tryout_html(self._now), gr.skip(), False
        self._now = None
        if not left or not right:
            return _wrong("Two pictures are needed: choose a pair of the open session, or drop two in."), again, False
        try:
            settings = self._settings(given[: len(self._fields)])
            if not twice and (rival := self._rival(settings)):
                ask = (
                    f"Session {rival} trains on this machine's only GPU, and the test would compete with it for memory."
                )
                return _wrong(ask + " Click again to test all the same."), gr.update(value=_TEST_ANYWAY), True
            text = ""
            if settings.kind in VLM:
                judge_form.check_rubric(rubric, base)
                text = judge_form.rooted(rubric, base)
            words = form.text(prompt)
            pair = Sample(Path(left), words, 0, 0), Sample(Path(right), words, 0, 0)
            self._now = Tryout(settings, text, self._dataset(name, given), pair)
        except BracketError as error:
            return f'<p class="message error">{said(error)}</p>', again, False
        return tryout_html(self._now), gr.update(value=_TESTING, interactive=False), False

    async def _follow(self) -> AsyncIterator[tuple[Any, Any]]:
        now = self._now
        if now is None:
            yield gr.skip(), gr.skip()
            return
        while now.running:
            yield tryout_html(now), gr.skip()
            await asyncio.sleep(_POLL)
        yield tryout_html(now), gr.update(value=_TEST, interactive=True)

    def _rival(self, settings: JudgeSettings) -> str:
        """The session that trains on the only GPU, where this judge would want it too; "" without one."""
        if settings.kind not in LOCAL or settings.device == "cpu":
            return ""
        running = [line.name for line in self._context.lines() if line.state in ("running", "stopping")]
        if not running:
            return ""
        from bracket.runner.devices import devices

        found = devices()
        return running[0] if len(found) == 1 and found[0].kind != "cpu" else ""

    def _dataset(self, name: str | None, given: Sequence[Any]) -> DatasetSplit:
        """The training pictures: those of Setup's folder, else the open session's, else none."""
        values = self._read(given)
        trigger, word = (form.text(values[n]) for n in ("trigger_word", "class_word"))
        if folder := form.text(values["folder"]):
            asked = {
                "preset": values["preset"],
                "dataset": {"folder": folder, "trigger_word": trigger, "class_word": word},
            }
            return resolve(validated(asked)).heed().dataset
        kept = self._context.folder(name) / "dataset.json" if name else NOWHERE
        if name and kept.exists():
            return split_from_json(read_json(kept))
        return DatasetSplit(NOWHERE, (), (), (), (), trigger, word)

    # Prompts that the judge writes.

    def _draft(self) -> None:
        s = self._setup
        own = s.fields["own_prompts"]
        shown = [own, s.drafted, s.draft]
        s.draft.click(self._write, [own, *self._inputs], shown, **_PRIVATE, concurrency_limit=1)

    async def _write(self, own: str, *given: Any) -> AsyncIterator[tuple[Any, Any, Any]]:
        """The box with one prompt more each time, how it goes, and the button."""
        lines = form.own_prompts(own)
        count, asker, free = 0, None, gr.update(interactive=True)
        try:
            settings = self._settings(given[: len(self._fields)])
            if settings.kind not in VLM:
                raise JudgeError(
                    "this judge only measures", remedy="Choose a vision-language judge, which can write, under 3."
                )
            if rival := self._rival(settings):
                raise JudgeError(f"session {rival} trains on this machine's only GPU", remedy="Draft when it is done.")
            dataset, asker = self._dataset(None, given), make_asker(settings)
            yield gr.skip(), '<p class="working">Asking the judge…</p>', gr.update(interactive=False)
            written = draft(asker, dataset, _DRAFTS, [*dataset.prompts, *dataset.verdict_prompts, *lines])
            while (prompt := await asyncio.to_thread(next, written, None)) is not None:
                lines, count = (*lines, prompt), count + 1
                yield "\n".join(lines), f'<p class="working">{counted(count, "prompt")} so far…</p>', gr.skip()
            told = "Read them: what you leave in the box is used." if count else "It wrote none that can be used."
            yield gr.skip(), f"<p>The judge wrote {counted(count, 'prompt')}. {told}</p>", free
        except BracketError as error:
            yield gr.skip(), f'<p class="message error">{said(error)}</p>', free
        finally:
            if asker is not None:
                asker.close()

    # The rubric.

    def _rubric(self) -> None:
        t = self._tab
        path = t.fields["judge_rubric"]
        gr.on(None, functools.partial(_rubric_read, self._context), path, [t.rubric, t.base, t.rubric_checks], **TYPED)
        t.shipped.input(lambda name: (name, None), t.shipped, [path, t.shipped], **_PRIVATE)
        t.rubric.input(functools.partial(_rubric_checked, self._context), [t.rubric, t.base], t.rubric_checks, **TYPED)
        saved = [path, t.rubric_checks]
        t.save.click(warned(self._save), [t.rubric, t.base, t.target], saved, **_PRIVATE)

    def _save(self, text: str, base: str, target: str) -> tuple[str, str]:
        rubric_allowed(self._context, base, text)
        if self._context.runs not in Path(os.path.normpath(self._context.runs / form.text(target))).parents:
            only_here("writing a rubric outside the folder of sessions")
        file = judge_form.save_rubric(text, base, form.text(target), self._context.runs)
        return str(file), problems_html([Problem("info", "Saved, and used by the next session", path=file)])


def _kind_chosen(kind: str, preset: str) -> tuple[str, str]:
    """The kind, and the model it begins with: the preset's where this kind can use it, else whatever is its own."""
    found = find_preset(preset)
    # Reference metrics work with any CLIP.
    uses = {found.judge.kind, *(["reference"] if found.judge.kind == "clip" else [])}
    return kind, found.judge_model() if kind in uses else ""


def _rubric_read(context: Context, path: str | None) -> tuple[Any, Any, str]:
    try:
        rubric_allowed(context, form.text(path))
        text = judge_form.rubric_text(form.text(path))
    except BracketError as error:
        return gr.skip(), gr.skip(), problems_html([Problem("error", error.message, error.remedy, _path(error))])
    return text, form.text(path), _rubric_checked(context, text, form.text(path))


def _rubric_checked(context: Context, text: str, base: str) -> str:
    try:
        rubric_allowed(context, base, text)
        found = judge_form.check_rubric(text, base)
    except BracketError as error:
        return problems_html([Problem("error", error.message, error.remedy, _path(error))])
    total = sum(found.weights.values())
    rows = "".join(
        f"<tr><th>{esc(name)}</th><td>{percent(axis.weight / total)}</td>"
        f"<td>{esc(' · '.join(o.answer for o in found.scale_of(name)))}</td>"
        f"<td>{esc('needs ' + ', '.join(axis.needs) if axis.needs else '')}</td></tr>"
        for name, axis in found.axes.items()
    )
    told = [Problem("info", f"It fits: {counted(len(found.axes), 'question')}")]
    if text != judge_form.rubric_text(base):
        told.append(Problem("warning", "Edited but not saved", "The test above asks it; a session asks the saved one."))
    fits = problems_html(told)
    return f'{fits}<table class="rubric-axes"><tbody>{rows}</tbody></table>'


def _wrong(words: str) -> str:
    return f'<p class="message error">{esc(words)}</p>'


def _path(error: BracketError) -> Path | None:
    return Path(error.path) if error.path is not None else None


def _plain(error: ValueError) -> str:
    from pydantic import ValidationError

    from bracket.strict import plain_error

    return plain_error(error, JudgeSettings) if isinstance(error, ValidationError) else str(error)


@contextlib.contextmanager
def _swatch() -> Iterator[Path]:
    """A small picture to ask a server about."""
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="bracket-judge-") as folder:
        path = Path(folder) / "grey.png"
        Image.new("RGB", (64, 64), (128, 128, 128)).save(path)
        yield path
