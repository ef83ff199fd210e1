"""`trainers`: the trainers bracket drives, as the command line gets, finds and forgets them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bracket.homes import State
    from bracket.trainers.install import Progress

app = typer.Typer(
    no_args_is_help=True, help="Install, update, find and forget sd-scripts, musubi-tuner and AI-Toolkit."
)

TrainerName = Annotated[str, typer.Argument(help="sd-scripts, musubi or ai-toolkit.", metavar="TRAINER")]
Source = Annotated[str, typer.Option(help="Repository to take instead: the address of a mirror, or a folder.")]
Commit = Annotated[str, typer.Option(help="Commit or tag to take instead of the one bracket was written for.")]


@app.command()
def status() -> None:
    """Say where each trainer is, which versions it has, and what is wrong with it."""
    from bracket.homes import TRAINERS, state_of

    typer.echo("\n".join(state_lines([state_of(name) for name in TRAINERS])))


@app.command()
def install(
    trainer: TrainerName,
    folder: Annotated[Path | None, typer.Argument(help="Where to; a folder of bracket's own by default.")] = None,
    source: Source = "",
    commit: Commit = "",
    torch_index: Annotated[str, typer.Option(help="Package index to take torch from.")] = "",
    torch: Annotated[str, typer.Option(help='What to install as torch, as in "torch==2.13.0 torchvision".')] = "",
    python: Annotated[Path | None, typer.Option(help="The Python to make its venv with.")] = None,
) -> None:
    """Clone a trainer, make it a venv with the torch that fits this machine, and install what it needs.

    Run it again to go on with an install that was broken off.
    """
    from bracket.homes import trainer_named
    from bracket.trainers import install as installing

    name = trainer_named(trainer).name
    _show(installing.install(installing.Wish(name, folder, source, commit, torch, torch_index, python)))


@app.command()
def update(trainer: TrainerName, source: Source = "", commit: Commit = "") -> None:
    """Move a trainer to the commit bracket was written for, and install what that needs."""
    from bracket.homes import trainer_named
    from bracket.trainers import install as installing

    _show(installing.update(installing.Wish(trainer_named(trainer).name, source=source, commit=commit)))


@app.command()
def use(
    trainer: TrainerName,
    folder: Annotated[Path, typer.Argument(help="A checkout you have.")],
    python: Annotated[Path | None, typer.Option(help="The Python it runs in, or its venv's folder.")] = None,
) -> None:
    """Point at a checkout that is there already; nothing in it is changed."""
    from bracket import homes

    upstream = homes.trainer_named(trainer)
    home = homes.use(upstream.name, folder, python)
    typer.echo(f"{upstream.title}: {home.folder} with {home.python}")
    for problem in homes.home_problems(home):
        typer.echo(str(problem))


@app.command()
def forget(trainer: TrainerName) -> None:
    """Forget where a trainer is. Its files stay."""
    from bracket import homes

    upstream = homes.trainer_named(trainer)
    known = homes.forget(upstream.name)
    typer.echo(f"Forgot where {upstream.title} is; its files stay." if known else f"{upstream.title} was not known.")


def state_lines(states: Iterable[State]) -> list[str]:
    """A line for each trainer, then what is wrong with it and what to do."""
    states = list(states)
    titles = max(len(s.upstream.title) for s in states)
    facts = max(len(", ".join(s.facts)) for s in states)
    lines = []
    for state in states:
        mark = "✓" if state.ready else "✗"
        told = ", ".join(state.facts)
        where = str(state.home.folder) if state.home else "not installed"
        lines.append(f"{mark} {state.upstream.title:<{titles}}  {told:<{facts}}  {where}".rstrip())
        lines += [f"    {problem}" for problem in state.problems]
    return lines


def _show(steps: Iterable[Progress]) -> None:
    """Each step on a line; on a terminal, under it what its command says just now."""
    from tqdm import tqdm

    title = ""
    with tqdm(bar_format="{desc}", leave=False, disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:
        for progress in steps:
            if progress.title != title:
                title = progress.title
                tqdm.write(f"[{progress.step}/{progress.total}] {title}")
            bar.set_description_str(progress.line[: shutil.get_terminal_size().columns - 1])
        last = progress.line
    typer.echo(last)
