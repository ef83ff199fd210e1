"""The command line: a door to the same rooms the app opens."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bracket import cli_grid, cli_judge, cli_trainers
from bracket.errors import BracketError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find the best settings for a diffusion fine-tune, with evidence.",
)
app.add_typer(cli_trainers.app, name="trainers")
app.add_typer(cli_judge.app, name="judge")
app.command()(cli_grid.grid)

SessionName = Annotated[str, typer.Argument(help="A session's name under the runs folder, or its folder.")]


@app.command()
def demo(
    session: Annotated[str, typer.Argument(help="Name or folder of the session.")] = "demo",
    seed: Annotated[int, typer.Option(help="Session seed; another one asks the question again with other dice.")] = 0,
    workers: Annotated[int, typer.Option(help="Trials at a time; 0 for one per core.")] = 0,
    fresh: Annotated[bool, typer.Option(help="Take a new name if the demo was already run.")] = False,
) -> None:
    """Run the whole job on the embedded base: search, duel, verdict, report. Minutes on a CPU."""
    from bracket.session import launch

    folder = launch.named(session)
    if fresh:
        folder = _unused(folder)
    settings = launch.demo_settings(seed)
    _run(launch.create(settings.model_copy(update={"workers": workers}), folder))


@app.command()
def run(
    session: SessionName,
    preset: Annotated[str, typer.Option(help="See `presets`. Needed for a new session.")] = "",
    data: Annotated[str, typer.Option(help="Folder of pictures with .txt captions.")] = "",
    trigger: Annotated[str, typer.Option(help="The new concept's word in the captions.")] = "",
    class_word: Annotated[str, typer.Option(help="What the judge is told instead of the trigger word.")] = "",
    hours: Annotated[
        float | None, typer.Option(min=0.0, help="Wall time to fill: chooses configs, finalists, seeds and pairs.")
    ] = None,
    configs: Annotated[int | None, typer.Option(help="Configs to compare.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of a search trial.")] = None,
    finals_steps: Annotated[int | None, typer.Option(help="Optimiser steps of a finals trial.")] = None,
    pairs: Annotated[int | None, typer.Option(help="Fresh paired trainings for the claim about the settings.")] = None,
    strategy: Annotated[
        str | None, typer.Option(help="tournament, screen, tpe, random, hyperband, asha or nsga2.")
    ] = None,
    stop_below: Annotated[
        float | None, typer.Option(help="End the search once the rest would likely gain less, in score; 0: never.")
    ] = None,
    sample_weight: Annotated[
        float | None, typer.Option(help="Share of the judged pictures in the score, 0..1.")
    ] = None,
    judge: Annotated[str | None, typer.Option(help="clip, qwen_vl, openai_api or reference.")] = None,
    judge_model: Annotated[str | None, typer.Option(help="The judge's model: folder, hub id or name.")] = None,
    judge_url: Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server.")] = None,
    rubric: Annotated[str | None, typer.Option(help="YAML with a vision-language judge's questions.")] = None,
    lr_min: Annotated[float | None, typer.Option(help="Lower bound of the learning rate for every config.")] = None,
    lr_max: Annotated[float | None, typer.Option(help="Upper bound of the learning rate for every config.")] = None,
    batch_min: Annotated[int | None, typer.Option(help="Lower bound of the batch size.")] = None,
    batch_max: Annotated[int | None, typer.Option(help="Upper bound of the batch size.")] = None,
    weight: Annotated[list[str] | None, typer.Option(help="A weight's path: key=path. Repeatable.")] = None,
    settings_file: Annotated[Path | None, typer.Option("--settings", help="A YAML with any of the settings.")] = None,
    seed: Annotated[int | None, typer.Option(help="Session seed.")] = None,
    per_folder: Annotated[int | None, typer.Option(help="Pictures of each folder that are trained on.")] = None,
    vram: Annotated[int | None, typer.Option(help="GB of GPU memory to fit into; default: what there is.")] = None,
    extra: Annotated[str | None, typer.Option(help="Arguments added to every training command, in quotes.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda:0, cpu…; default: whatever the machine has.")] = None,
    memory: Annotated[bool | None, typer.Option("--memory/--no-memory", help="Learn from earlier sessions.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and every command; start nothing.")] = False,
    workers: Annotated[int, typer.Option(help="Trials at a time; 0 for one per GPU (or core).")] = 0,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
) -> None:
    """Start a session, or continue it when its folder is already there."""
    from bracket.session import launch, settings

    folder = launch.named(session)
    asked = _asked(
        preset=preset,
        data=data,
        trigger=trigger,
        class_word=class_word,
        configs=configs,
        steps=steps,
        finals_steps=finals_steps,
        pairs=pairs,
        strategy=strategy,
        stop_below=stop_below,
        sample_weight=sample_weight,
        judge=judge,
        judge_model=judge_model,
        judge_url=judge_url,
        rubric=rubric,
        bounds={"learning_rate": (lr_min, lr_max), "batch_size": (batch_min, batch_max)},
        weight=weight or [],
        seed=seed,
        per_folder=per_folder,
        vram=vram,
        extra=settings.split_words(extra) if extra else None,
        device=device,
        memory=memory,
    )
    known = settings.load(folder) if (folder / settings.FILE).exists() else None
    if dry_run:
        return _show_plan(_merged(known, asked, settings_file, hours), folder)
    if settings_file or asked or hours is not None:
        launch.create(_merged(known, asked, settings_file, hours), folder)
    if workers:
        settings.save_workers(workers, folder)
    _run(folder, quiet=quiet)


@app.command()
def resume(session: SessionName, quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False) -> None:
    """Continue a session where it was, however it ended."""
    from bracket.session import launch

    _run(launch.named(session), quiet=quiet)


@app.command()
def stop(session: SessionName, wait: Annotated[float, typer.Option(help="Seconds to wait for its end.")] = 60) -> None:
    """Ask a running session to stop; the trainers save first."""
    from bracket.session import launch
    from bracket.session.settings import load

    folder = launch.named(session)
    load(folder)
    ended = launch.stop(folder, wait)
    typer.echo("Stopped. `resume` goes on where it was." if ended else "Asked to stop; its trainers are still saving.")


@app.command()
def status(session: Annotated[str, typer.Argument(help="Name or folder; none for all sessions.")] = "") -> None:
    """Where a session stands, trial by trial; without a name, all sessions."""
    from bracket.cli_text import session_lines, status_lines
    from bracket.environment import runs_folder
    from bracket.session import launch, view
    from bracket.session.settings import load

    if not session:
        lines = session_lines(view.sessions(runs_folder()))
    else:
        load(launch.named(session))
        lines = status_lines(view.read(launch.named(session)))
    typer.echo("\n".join(lines))


@app.command()
def report(session: SessionName) -> None:
    """Write the report anew from what is in the session's folder."""
    from bracket.session import launch
    from bracket.session.run import write_session_report

    typer.echo(f"Report: {write_session_report(launch.named(session))}")


@app.command()
def verify(session: SessionName) -> None:
    """Recompute the verdict from the certificate; says every number that doesn't hold."""
    from bracket.report import certificate
    from bracket.session import launch

    path = launch.named(session)
    mismatches = certificate.verify(path if path.is_file() else path / "report" / "certificate.json")
    if mismatches:
        typer.echo("\n".join(["The certificate does not hold:", *mismatches]), err=True)
        raise typer.Exit(1)
    typer.echo("The certificate holds: every number of the verdict follows from its judgements.")


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

    from bracket.session import launch
    from bracket.session.rejudge import rejudge as judge_again
    from bracket.session.run import write_session_report
    from bracket.session.settings import JudgeSettings

    folder = launch.named(new)
    asked = JudgeSettings(kind=kind, model=model, url=url, rubric=rubric)
    with tqdm(desc="judging", unit="trial") as bar:

        def progress(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        judge_again(launch.named(session), folder, (asked,), progress)
    typer.echo(f"Report: {write_session_report(folder)}")


@app.command()
def presets(name: Annotated[str, typer.Argument(help="One of them, in detail.")] = "") -> None:
    """List the presets, or show one: what it needs and whether that is there, and its knobs."""
    from bracket.cli_text import preset_details, preset_lines
    from bracket.presets import find_preset, list_presets

    typer.echo("\n".join(preset_details(find_preset(name)) if name else preset_lines(list_presets())))


@app.command()
def doctor(
    trainer: Annotated[list[str] | None, typer.Option(help="A trainer that must be there. Repeatable.")] = None,
) -> None:
    """Look at Python, packages, devices, disk, trainers and weights; say what is missing and how to mend it."""
    from bracket.doctor import examine
    from bracket.homes import trainer_named

    findings = examine([trainer_named(name).name for name in trainer or []])
    typer.echo("\n".join(str(f) for f in findings))
    if any(f.level == "error" for f in findings):
        raise typer.Exit(1)


def _show_plan(settings: Any, folder: Path) -> None:
    from bracket.cli_text import plan_lines
    from bracket.session import plan

    made = plan.make(settings, folder=folder)
    typer.echo("\n".join(plan_lines(made)))
    if made.errors:
        raise typer.Exit(1)


def _run(folder: Path, quiet: bool = False) -> None:
    from bracket.cli_text import ending_lines
    from bracket.report.undecided import nothing_judged
    from bracket.session.run import run as run_session

    if quiet:
        summary = run_session(folder)
    else:
        from bracket.cli_bar import Bar

        with Bar(folder.name) as bar:
            summary = run_session(folder, bar)
    typer.echo("\n".join(ending_lines(folder, summary)))
    if summary is not None and nothing_judged(summary):
        raise typer.Exit(1)


def _asked(*, bounds: dict[str, tuple[float | None, float | None]], weight: list[str], **given: Any) -> dict[str, Any]:
    """The options a person gave, as a tree of settings."""
    places = {
        "preset": "preset",
        "data": "dataset.folder",
        "trigger": "dataset.trigger_word",
        "class_word": "dataset.class_word",
        "configs": "search.configs",
        "steps": "search.steps",
        "finals_steps": "finals.steps",
        "pairs": "confirmation.pairs",
        "strategy": "search.strategy",
        "stop_below": "search.stop_below",
        "sample_weight": "score.sample_weight",
        "judge": "judge.kind",
        "judge_model": "judge.model",
        "judge_url": "judge.url",
        "rubric": "judge.rubric",
        "seed": "seed",
        "per_folder": "dataset.per_folder",
        "vram": "vram",
        "extra": "extra_args",
        "device": "device",
        "memory": "search.memory",
    }
    from bracket.errors import SettingsError
    from bracket.trainers.base import nested

    flat = {places[name]: value for name, value in given.items() if value not in (None, "")}
    tree = nested(flat)
    limits = {k: {"low": low, "high": high} for k, (low, high) in bounds.items() if (low, high) != (None, None)}
    if limits:
        tree["bounds"] = limits
    for entry in weight:
        key, equals, path = entry.partition("=")
        if not equals:
            raise SettingsError(f"--weight needs key=path, got {entry!r}")
        tree.setdefault("weights", {})[key] = path
    if "dataset" in tree and "folder" in tree["dataset"]:
        tree["dataset"]["folder"] = str(Path(tree["dataset"]["folder"]).expanduser().absolute())
    return tree


def _merged(known: Any, asked: dict[str, Any], settings_file: Path | None, hours: float | None = None) -> Any:
    """Settings from what is known (an existing session or a preset's suggestions), the file, and the options; with
    hours, the counts that nobody named are those that so many hours pay for."""
    import yaml

    from bracket.errors import SettingsError
    from bracket.presets import find_preset
    from bracket.session.settings import DatasetSettings, from_preset, validated

    if settings_file:
        try:
            from_file = yaml.safe_load(settings_file.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise SettingsError(f"the settings file can't be read: {error}", path=settings_file) from error
        if not isinstance(from_file, dict):
            raise SettingsError("the settings file holds no settings", path=settings_file)
        asked = _over(from_file, asked)
    if known is None:
        lacking = [n for n in ("preset", "dataset") if n not in asked]
        if lacking:
            raise SettingsError("a new session needs --preset and --data", remedy="See `presets` and the README.")
        dataset = asked["dataset"]
        known = from_preset(find_preset(asked["preset"]), DatasetSettings(folder=str(dataset.get("folder", ""))))
    made = validated(_over(known.model_dump(mode="json"), asked))
    return made if hours is None else _filled(made, hours, asked)


def _filled(settings: Any, hours: float, asked: dict[str, Any]) -> Any:
    """The settings with what so many hours pay for; says what that is."""
    from bracket.session.budget import fit_here

    places = {"configs": "search", "finalists": "finals", "seeds": "finals", "pairs": "confirmation"}
    fitted = fit_here(settings, hours, [name for name, group in places.items() if name in asked.get(group, {})])
    typer.echo(fitted.words)
    return fitted.settings


def _over(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it, maps merged."""
    both = {
        k: _over(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v for k, v in change.items()
    }
    return {**base, **both}


def _unused(folder: Path) -> Path:
    number = 2
    candidate = folder
    while candidate.exists():
        candidate = folder.with_name(f"{folder.name}-{number}")
        number += 1
    return candidate


def main() -> None:
    """Run the command line; a BracketError becomes its one sentence and exit code 1."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s", handlers=[logging.NullHandler()])
    try:
        app()
    except BracketError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("Interrupted. `resume` goes on where it was.", err=True)
        sys.exit(130)
