"""The command line: a door to the same rooms the app opens."""

from __future__ import annotations

import contextlib
import itertools
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from bracket.cli import grid as cli_grid
from bracket.cli import judge as cli_judge
from bracket.cli import prove as cli_prove
from bracket.cli import trainers as cli_trainers
from bracket.cli.run import SessionName, Share, run, start
from bracket.environment import no_proxy_for_loopback
from bracket.errors import BracketError
from bracket.files import storage_errors
from bracket.unforeseen import guarded

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find the best settings for a diffusion fine-tune, with evidence.",
)
app.add_typer(cli_trainers.app, name="trainers")
app.add_typer(cli_judge.app, name="judge")
app.command()(cli_grid.grid)
app.command()(cli_prove.prove)


@app.command()
def demo(
    session: Annotated[str, typer.Argument(help="Name or folder of the session.")] = "demo",
    seed: Annotated[int, typer.Option(help="Session seed; another one asks the question again with other dice.")] = 0,
    workers: Annotated[int, typer.Option(help="Trials at a time; 0 for one per core.")] = 0,
    fresh: Annotated[bool, typer.Option(help="Take a new name if the demo was already run.")] = False,
) -> None:
    """Run the whole job on the embedded base: search, duel, verdict, report. Minutes on a CPU."""
    from bracket.session.asked.settings import validated
    from bracket.session.running import launch

    folder = launch.named(session)
    if fresh:
        folder = _unused(folder)
    settings = validated({**launch.demo_settings(seed, session=folder).model_dump(), "workers": workers})
    start(launch.create(settings, folder))


app.command()(run)


@app.command()
def resume(
    session: SessionName,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
    share: Share = False,
) -> None:
    """Continue a session where it was, however it ended."""
    from bracket.session.running import launch

    start(launch.named(session), quiet=quiet, share=share)


@app.command()
def stop(session: SessionName, wait: Annotated[float, typer.Option(help="Seconds to wait for its end.")] = 60) -> None:
    """Ask a running session to stop; the trainers save first."""
    from bracket.session.asked.settings import load
    from bracket.session.running import launch

    folder = launch.named(session)
    load(folder)
    ended = launch.stop(folder, wait)
    typer.echo("Stopped. `resume` goes on where it was." if ended else "Asked to stop; its trainers are still saving.")


@app.command()
def status(session: Annotated[str, typer.Argument(help="Name or folder; none for all sessions.")] = "") -> None:
    """Where a session stands, trial by trial; without a name, all sessions."""
    from bracket.cli.text import session_lines, status_lines
    from bracket.environment import runs_folder
    from bracket.session import view
    from bracket.session.asked.settings import load
    from bracket.session.running import launch

    if not session:
        lines = session_lines(view.sessions(runs_folder()))
    else:
        load(launch.named(session))
        lines = status_lines(view.read(launch.named(session)))
    typer.echo("\n".join(lines))


@app.command()
def report(session: SessionName) -> None:
    """Write the report anew from what is in the session's folder."""
    from bracket.session.running import launch
    from bracket.session.running.run import write_session_report

    typer.echo(f"Report: {write_session_report(launch.named(session))}")


@app.command()
def verify(
    session: SessionName,
    pictures: Annotated[bool, typer.Option(help="Also look for every judged picture by its SHA-256.")] = False,
    rejudge: Annotated[bool, typer.Option(help="Also ask the same judge again; implies --pictures.")] = False,
) -> None:
    """Recompute the verdict from the certificate, and say how far it can be trusted: numbers, pictures, judgements."""
    from bracket.session.after import verified
    from bracket.session.running import launch

    path = launch.named(session)
    upto: verified.Level = "judgements" if rejudge else "pictures" if pictures else "numbers"
    file = path if path.is_file() else path / "report" / "certificate.json"
    held = verified.verify(file, upto)
    for level in verified.LEVELS[: verified.LEVELS.index(held.level) + 1] if held.level else ():
        typer.echo(f"{level.capitalize()} hold: {verified.MEANS[level]}.")
    if held.mismatches:
        failed = verified.LEVELS[verified.LEVELS.index(held.level) + 1 if held.level else 0]
        typer.echo("\n".join([f"{failed.capitalize()} do not hold:", *held.mismatches]), err=True)
        raise typer.Exit(1)
    if told := verified.stamped(file):
        typer.echo(told)
    typer.echo(f"The certificate holds at the level {held.level!r}. {verified.NOT_SHOWN}")


@app.command()
def rejudge(
    session: SessionName,
    new: Annotated[str, typer.Argument(help="Name or folder of the new session with the new scores.")],
    kind: Annotated[str, typer.Option(help="clip, qwen_vl, openai_api or reference.")] = "clip",
    model: Annotated[str, typer.Option(help="The judge's model: folder, hub id, or name on the server.")] = "",
    url: Annotated[str, typer.Option(help="Address of an OpenAI-compatible server.")] = "",
    rubric: Annotated[str, typer.Option(help="YAML with the questions of a vision-language judge.")] = "",
) -> None:
    """Judge a session again with another judge, without training anything."""
    from tqdm import tqdm

    from bracket.session.after.rejudge import rejudge as judge_again
    from bracket.session.asked.settings import JudgeSettings
    from bracket.session.running import launch
    from bracket.session.running.run import write_session_report

    folder = launch.named(new)
    asked = JudgeSettings(kind=kind, model=model, url=url, rubric=rubric)
    with tqdm(desc="judging", unit="trial") as bar:

        def progress(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        judge_again(launch.named(session), folder, (asked,), progress)
    typer.echo(f"Report: {write_session_report(folder)}")


@app.command()
def presets(
    words: Annotated[
        list[str] | None, typer.Argument(help="A preset's name, or words to look for: flux dev, sdxl kohya 16gb.")
    ] = None,
) -> None:
    """List the presets, those that have all the words, or show one: what it needs and whether that is there."""
    from bracket.cli.text import preset_details, preset_lines
    from bracket.presets import broken_presets, find_preset, list_presets, search
    from bracket.session.shelf import shelf

    known, query = list_presets(), " ".join(words or [])
    found = [p for p in known if p.name == query]
    if found:
        return typer.echo("\n".join(preset_details(found[0])))
    found = search(query, known) or [find_preset(query)]
    typer.echo("\n".join([*preset_lines(shelf(found)), *(f"left out: {error}" for error in broken_presets())]))


@app.command()
def doctor(
    trainer: Annotated[list[str] | None, typer.Option(help="A trainer that must be there. Repeatable.")] = None,
) -> None:
    """Look at Python, packages, devices, disk, trainers and weights; say what is missing and how to mend it."""
    from bracket.cli.doctor import examine
    from bracket.homes import trainer_named

    findings = examine([trainer_named(name).name for name in trainer or []])
    typer.echo("\n".join(str(f) for f in findings))
    if any(f.level == "error" for f in findings):
        raise typer.Exit(1)


def _unused(folder: Path) -> Path:
    """The folder, or the first of NAME-2, NAME-3… that nobody has. It is made at once, so that nobody else takes it."""
    with storage_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        candidate = folder.with_name(f"{folder.name}-{number}") if number > 1 else folder
        with storage_errors(candidate), contextlib.suppress(FileExistsError):
            candidate.mkdir()
            return candidate
    raise AssertionError("there is always one more number")


def main() -> None:
    """Run the command line; a BracketError becomes its one sentence and exit code 1."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s", handlers=[logging.NullHandler()])
    sys.exit(guarded(_main))


def _main() -> int:
    no_proxy_for_loopback()
    try:
        app()
    except BracketError as error:
        typer.echo(str(error), err=True)
        return 1
    except KeyboardInterrupt:
        typer.echo("Interrupted. `resume` goes on where it was.", err=True)
        return 130
    return 0
