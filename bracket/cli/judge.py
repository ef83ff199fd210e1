"""`judge`: what a judge is worth, as the command line measures it, and what it says of two pictures."""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bracket.domain import DatasetSplit, Judgement, Preference, Sample
from bracket.errors import JudgeError, SettingsError
from bracket.files import given_path, is_foreign, write_json
from bracket.report.words import judged

if TYPE_CHECKING:
    from bracket.judges import Judge
    from bracket.judges.graded.bench import Table
    from bracket.session.asked.settings import JudgeSettings

app = typer.Typer(no_args_is_help=True, help="Measure a judge, try it on two pictures, see whether it can work.")

Kind = Annotated[str, typer.Option(help="clip, qwen_vl, openai_api or reference.")]
Model = Annotated[str, typer.Option(help="Its model: a folder, a hub id, or a name on the server.")]
Url = Annotated[str, typer.Option(help="Address of an OpenAI-compatible server.")]
Rubric = Annotated[str, typer.Option(help="YAML with the questions; the one that ships by default.")]
More = Annotated[list[str] | None, typer.Option("--set", help="Another setting of the judge: name=value. Repeatable.")]
NOWHERE = Path()
"""Folder of a dataset that was not named."""


@app.command()
def bench(
    kind: Kind = "clip",
    model: Model = "",
    url: Url = "",
    rubric: Rubric = "",
    more: More = None,
    pairs: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Pairs of each set; rounded up to a multiple of 40.")
    ] = 400,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Another seed makes other pictures.")] = 0,
    only: Annotated[str, typer.Option(help="drawings or photos; both by default.")] = "",
    photos: Annotated[Path | None, typer.Option(help="Folder of captioned photos to take instead of ours.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures, bench.md and bench.json.")] = None,
) -> None:
    """Measure how often a judge orders a good and a worse picture rightly, how often it flips, and how fast it is."""
    from bracket.judges.graded.bench import text, write_tables
    from bracket.judges.graded.pairs import SETS

    settings, tables = judge_settings(kind, model, url, rubric, more or []), {}
    with _folder(out) as folder:
        for name in [only] if only else SETS:
            tables[name] = _measured(name, settings, folder / name, pairs, seed, photos)
            typer.echo("\n".join([*text(name, tables[name]), ""]))
            if out:
                write_tables(tables, out)
    if out:
        typer.echo(f"Pictures and tables: {out}")


@app.command()
def test(
    a: Annotated[Path, typer.Argument(help="A picture.")],
    b: Annotated[Path, typer.Argument(help="Another one of the same prompt.")],
    prompt: Annotated[str, typer.Option(help="What was asked for.")],
    kind: Kind = "clip",
    model: Model = "",
    url: Url = "",
    rubric: Rubric = "",
    more: More = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the training pictures, for judges that compare.")] = None,
    trigger: Annotated[str, typer.Option(help="The new concept's word in the captions.")] = "",
    class_word: Annotated[str, typer.Option(help="What the judge is told instead of the trigger word.")] = "",
) -> None:
    """Let a judge look at two pictures: scores by axis, which is better, and the seconds that took."""
    settings = judge_settings(kind, model, url, rubric, more or [])
    dataset = _dataset(data, trigger, class_word)
    with _folder(None) as folder, _made(settings, dataset, folder / "judge.sqlite") as judge:
        samples = Sample(a, prompt, 0, 0), Sample(b, prompt, 0, 0)
        begin = time.perf_counter()
        # One by one: two pictures are no batch whose variety could be judged.
        first, second = (judge.score([sample])[0] for sample in samples)
        scored = time.perf_counter()
        preferred = judge.compare([samples])[0]
        seconds = scored - begin, time.perf_counter() - scored
        title = f"Judge {judge.name} {model_name(settings)} ({judge.fingerprint})"
        lines = [title, *test_lines(first, second, preferred, seconds)]
        typer.echo("\n".join([*lines, *judge.remarks()]))


@app.command()
def check(kind: Kind = "clip", model: Model = "", url: Url = "", rubric: Rubric = "", more: More = None) -> None:
    """Say what keeps a judge from working, without loading it."""
    from bracket.judges import check_judge

    problems = check_judge(judge_settings(kind, model, url, rubric, more or []))
    typer.echo("\n".join(str(p) for p in problems) or "Nothing keeps this judge from working.")
    if any(p.level == "error" for p in problems):
        raise typer.Exit(1)


def judge_settings(kind: str, model: str, url: str, rubric: str, more: list[str]) -> JudgeSettings:
    """A judge's settings from the command line; the demo's own judge when no model is named.

    Raises:
        SettingsError: one of `more` is no name=value, or a setting doesn't fit.
    """
    from pydantic import ValidationError

    from bracket.presets import DEMO_PRESET, find_preset
    from bracket.reading import Unreadable, from_yaml
    from bracket.session.asked.settings import JudgeSettings
    from bracket.strict import plain_error

    demo = find_preset(DEMO_PRESET)
    if not model and kind == demo.judge.kind:
        model = demo.judge_model()
    given: dict[str, Any] = {"kind": kind, "model": model, "url": url, "rubric": rubric}
    for entry in more:
        name, equals, value = entry.partition("=")
        try:
            given[name] = from_yaml(value)
        except Unreadable:
            equals = ""
        if not equals:
            raise SettingsError(f"--set needs name=value, got {entry!r}", remedy="As in --set repeats=3.")
    try:
        return JudgeSettings.model_validate(given)
    except ValidationError as error:
        raise SettingsError(f"these settings of the judge don't fit: {plain_error(error, JudgeSettings)}") from error


def model_name(settings: JudgeSettings) -> str:
    """What a reader knows a judge's model by: the name of its folder, or the id as it is."""
    return Path(settings.model).name if given_path(settings.model).is_dir() else settings.model


def test_lines(a: Judgement, b: Judgement, preferred: Preference, seconds: tuple[float, float]) -> list[str]:
    """What a judge said of two pictures, for a person; `seconds` is what scoring and comparing took."""
    axes = list(dict.fromkeys([*a.axes, *b.axes]))
    rows = [("", "A", "B"), ("judged", _number(a.score, a.spread), _number(b.score, b.spread))]
    rows += [(axis, _number(a.axes.get(axis)), _number(b.axes.get(axis))) for axis in axes]
    width = max(len(name) for name, *_ in rows)
    column = max(len(cell) for _, *cells in rows for cell in cells)
    how = f" ({a.how})" if a.how else ""
    return [
        f"A  {a.sample.path}",
        f"B  {b.sample.path}",
        "",
        *(f"{name:<{width}}  {one:>{column}}  {other:>{column}}" for name, one, other in rows),
        "",
        f"Judged{how}: {_ahead(a, b)}",
        f"Side by side: {_choice(preferred)}",
        f"{seconds[0]:.1f} s to score both, its start included; {seconds[1]:.1f} s to compare them.",
    ]


def _number(value: float | None, spread: float = 0.0) -> str:
    if value is None:
        return "–"
    return f"{judged(value)} ± {judged(spread)}" if spread else judged(value)


def _ahead(a: Judgement, b: Judgement) -> str:
    gap, noise = a.score - b.score, math.hypot(a.spread, b.spread)
    if abs(gap) < 0.0005:
        return "no difference."
    surely = f", {abs(gap) / noise:.1f} times their spread" if noise else ""
    return f"{'A' if gap > 0 else 'B'} is better by {judged(abs(gap))} points{surely}."


def _choice(preferred: Preference) -> str:
    if preferred.flipped:
        return "a tie, for in the other order it chose the other picture."
    if preferred.value == 0.5:
        return "a tie."
    surely = max(preferred.value, 1 - preferred.value)
    return f"{'A' if preferred.value > 0.5 else 'B'} is better" + (f" ({surely:.0%} sure)." if surely < 1 else ".")


def _measured(name: str, settings: JudgeSettings, folder: Path, pairs: int, seed: int, photos: Path | None) -> Table:
    from tqdm import tqdm

    from bracket.judges.graded.bench import measure
    from bracket.judges.graded.pairs import make_set

    graded = make_set(name, folder, pairs, seed, photos)
    # The cache is never kept: a second run would measure nothing but it.
    with (
        tempfile.TemporaryDirectory(prefix="bracket-judge-") as cache,
        _made(settings, graded.dataset, Path(cache) / "judge.sqlite") as judge,
        tqdm(desc=name, leave=False, disable=not sys.stderr.isatty()) as bar,
    ):

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return measure(judge, graded.pairs, model_name(settings), progress)


@contextlib.contextmanager
def _made(settings: JudgeSettings, dataset: DatasetSplit, cache: Path) -> Iterator[Judge]:
    from bracket.judges import make_judge

    try:
        judge = make_judge(settings, dataset, cache)
    except JudgeError as error:
        if error.path != NOWHERE:
            raise
        remedy = "Name the folder of your training pictures with --data."
        raise JudgeError(f"this judge needs training pictures: {error.message}", remedy=remedy) from error
    with contextlib.closing(judge):
        yield judge


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """The folder named, or one that goes when the work is done. A named one is marked as ours before anything else."""
    if kept:
        from bracket.judges.graded.bench import JSON

        kept = given_path(kept)
        if is_foreign(kept, JSON):
            remedy = "Choose another, or an empty one."
            raise SettingsError("this folder holds something that no bench made", path=kept, remedy=remedy)
        if not (kept / JSON).exists():
            write_json(kept / JSON, {})
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="bracket-judge-") as name:
        yield Path(name)


def _dataset(folder: Path | None, trigger: str, class_word: str) -> DatasetSplit:
    """The pictures in a folder as training pictures, none held out; an empty dataset when none is named."""
    from bracket.dataset import scan

    if folder is None:
        return DatasetSplit(NOWHERE, (), (), (), (), trigger, class_word)
    found = scan(folder)
    return DatasetSplit(found.folder, found.pictures, (), (), (), trigger, class_word, found.sources)
