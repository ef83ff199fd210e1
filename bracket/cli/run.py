"""`run`: from what a person typed to a session's settings, and the session itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bracket.errors import SettingsError
from bracket.files import given_path, path_text

SessionName = Annotated[str, typer.Argument(help="A session's name under the runs folder, or its folder.")]
Share = Annotated[bool, typer.Option("--share", help="Beside another session on the same GPU, not after it.")]

_PLACES = {
    "preset": "preset",
    "data": "dataset.folder",
    "trigger": "dataset.trigger_word",
    "class_word": "dataset.class_word",
    "configs": "search.configs",
    "steps": "search.steps",
    "finals_steps": "finals.steps",
    "pairs": "confirmation.pairs",
    "keep_at_least": "confirmation.keep_at_least",
    "strategy": "search.strategy",
    "stop_below": "search.stop_below",
    "sample_weight": "score.sample_weight",
    "judge": "judge.kind",
    "judge_model": "judge.model",
    "judge_url": "judge.url",
    "rubric": "judge.rubric",
    "lr_min": "bounds.learning_rate.low",
    "lr_max": "bounds.learning_rate.high",
    "batch_min": "bounds.batch_size.low",
    "batch_max": "bounds.batch_size.high",
    "seed": "seed",
    "per_folder": "dataset.per_folder",
    "prompt": "dataset.own_prompts",
    "use_for": "dataset.use_for",
    "kind": "dataset.kind",
    "vram": "vram",
    "extra": "extra_args",
    "device": "device",
    "memory": "search.memory",
    "stamp": "confirmation.stamp",
}
"""Where in the settings an option of `run` goes."""


def run(
    context: typer.Context,
    session: SessionName,
    preset: Annotated[str, typer.Option(help="See `presets`. Needed for a new session.")] = "",
    data: Annotated[
        list[str] | None, typer.Option(help="Folder of pictures with captions, or a dataset TOML. Repeatable.")
    ] = None,
    trigger: Annotated[str, typer.Option(help="The new concept's word in the captions.")] = "",
    class_word: Annotated[str, typer.Option(help="What the judge is told instead of the trigger word.")] = "",
    space_from: Annotated[
        str, typer.Option(metavar="SESSION", help="Begin as that session was asked, in the space it suggests.")
    ] = "",
    hours: Annotated[
        float | None, typer.Option(min=0.0, help="Wall time to fill: chooses configs, finalists, seeds and pairs.")
    ] = None,
    configs: Annotated[int | None, typer.Option(help="Configs to compare.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of a search trial.")] = None,
    finals_steps: Annotated[int | None, typer.Option(help="Optimiser steps of a finals trial.")] = None,
    pairs: Annotated[int | None, typer.Option(help="Fresh paired trainings for the claim about the settings.")] = None,
    keep_at_least: Annotated[
        int | None, typer.Option(help="Percentage of what the base could that a winner has to keep to be recommended.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="tournament, screen, tpe, random, hyperband, asha or nsga2.")
    ] = None,
    stop_below: Annotated[
        float | None,
        typer.Option(min=0.0, max=99.9, help="End the search once the rest would likely gain less, of 100; 0: never."),
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
    prompt: Annotated[list[str] | None, typer.Option(help="A prompt of your own. Repeatable.")] = None,
    use_for: Annotated[str | None, typer.Option(help="What --prompt is for: search, verdict or both.")] = None,
    kind: Annotated[str | None, typer.Option(help="What bracket's own prompts are for: person… (auto, none).")] = None,
    vram: Annotated[int | None, typer.Option(help="GB of GPU memory to fit into; default: what there is.")] = None,
    extra: Annotated[str | None, typer.Option(help="Arguments added to every training command, in quotes.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda:0, cpu…; default: whatever the machine has.")] = None,
    share: Share = False,
    memory: Annotated[bool | None, typer.Option("--memory/--no-memory", help="Learn from earlier sessions.")] = None,
    stamp: Annotated[
        bool | None, typer.Option("--stamp/--no-stamp", help="Have a time-stamp authority sign the duel's plan.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and every command; start nothing.")] = False,
    workers: Annotated[int, typer.Option(help="Trials at a time; 0 for one per GPU (or core).")] = 0,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Run what a session from elsewhere asks for.")] = False,
) -> None:
    """Start a session, or continue it when its folder is already there."""
    from bracket.session.asked import foreign
    from bracket.session.asked.settings import load, save_workers
    from bracket.session.running import launch

    folder, asked = launch.named(session), _asked(context.params)
    if dry_run:
        asked |= {"workers": workers} if workers else {}
        return _show_plan(_settings(folder, asked, space_from, hours), folder)
    if asked or space_from or hours is not None:
        launch.create(_settings(folder, asked, space_from, hours), folder)
    if workers:
        save_workers(workers, folder)
    if trust:
        foreign.remember(load(folder))
    start(folder, quiet=quiet, **({"share": True} if share else {}))


def start(folder: Path, quiet: bool = False, share: bool = False) -> None:
    """Run a session here and say how it ended; exit code 1 where nothing could be judged."""
    from bracket.cli.text import ending_lines
    from bracket.report.sections.undecided import nothing_judged
    from bracket.session.asked import foreign
    from bracket.session.asked.settings import load
    from bracket.session.running.run import run as run_session

    foreign.heed(load(folder), folder)
    if quiet:
        summary = run_session(folder, share=share)
    else:
        from bracket.cli.bar import Bar

        with Bar(folder.name) as bar:
            summary = run_session(folder, bar, share=share)
    typer.echo("\n".join(ending_lines(folder, summary)))
    if summary is not None and nothing_judged(summary):
        raise typer.Exit(1)


def _show_plan(settings: Any, folder: Path) -> None:
    from bracket.cli.text import plan_lines
    from bracket.session.planning import plan

    made = plan.make(settings, folder=folder)
    typer.echo("\n".join(plan_lines(made)))
    if made.errors:
        raise typer.Exit(1)


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options a person gave, over the settings file if there is one, as a tree of settings."""
    from bracket.dataset import places
    from bracket.session.asked.settings import split_words
    from bracket.trainers.base import nested

    flat = {place: given[name] for name, place in _PLACES.items() if given[name] not in (None, "", [], ())}
    if "search.stop_below" in flat:
        flat["search.stop_below"] = round(flat["search.stop_below"] / 100, 8)  # settings have it in 0..1
    if "extra_args" in flat:
        flat["extra_args"] = split_words(flat["extra_args"])
    if "dataset.folder" in flat:
        flat["dataset.folder"] = "\n".join(str(p) for each in flat["dataset.folder"] for p in places(each))
    tree = nested(flat)
    for entry in given["weight"] or []:
        key, equals, path = entry.partition("=")
        if not equals:
            raise SettingsError(f"--weight needs key=path, got {entry!r}")
        place = path_text(path)
        tree.setdefault("weights", {})[key] = os.path.abspath(place) if os.path.exists(place) else place
    return _over(_from_file(given_path(str(given["settings_file"]))), tree) if given["settings_file"] else tree


def _from_file(path: Path) -> dict[str, Any]:
    from bracket.reading import Unreadable, from_yaml, read_text, why

    try:
        found = from_yaml(read_text(path))
    except (OSError, Unreadable) as error:
        raise SettingsError(f"the settings file can't be read: {why(error)}", path=path) from error
    if not isinstance(found, dict) or not found:
        raise SettingsError("the settings file holds no settings", path=path)
    return found


def _settings(folder: Path, asked: dict[str, Any], space_from: str, hours: float | None) -> Any:
    """What is asked over what is known: the session in `folder`, else the one whose space is taken over, else the
    preset's suggestions. With hours, the counts that nobody named are those that so many hours pay for."""
    from bracket.session.asked.settings import FILE, load, validated

    known = load(folder) if (folder / FILE).exists() else None
    if space_from:
        known, asked = _in_space_of(space_from, known, asked)
    made = validated(_over((known or _suggested(asked)).model_dump(mode="json"), asked))
    return made if hours is None else _filled(made, hours, asked)


def _in_space_of(earlier: str, known: Any, asked: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What the session begins from and what is asked of it, in the space that an earlier one suggests; says which."""
    from bracket.cli.text import space_lines
    from bracket.session.asked import foreign
    from bracket.session.planning.next_space import next_space
    from bracket.session.running import launch

    folder = launch.named(earlier)
    found = next_space(folder)
    foreign.heed(found.settings, folder)
    theirs, ours = found.settings.preset, asked.get("preset", (known or found.settings).preset)
    if ours != theirs:
        message = f"the space of {folder.name} is of the preset {theirs}, this session's preset is {ours}"
        raise SettingsError(message, remedy="A space goes from one session to another of the same preset.")
    typer.echo("\n".join(space_lines(folder.name, found)))
    bounds = found.settings.model_dump(mode="json", include={"bounds"})
    return known or found.settings, _over(bounds, asked)


def _suggested(asked: Mapping[str, Any]) -> Any:
    """A new session as its preset suggests it."""
    from bracket.presets import find_preset
    from bracket.session.asked.settings import DatasetSettings, from_preset

    if not {"preset", "dataset"} <= set(asked):
        raise SettingsError("a new session needs --preset and --data", remedy="See `presets` and the README.")
    return from_preset(find_preset(str(asked["preset"])), DatasetSettings(folder=""))


def _filled(settings: Any, hours: float, asked: dict[str, Any]) -> Any:
    """The settings with what so many hours pay for; says what that is."""
    from bracket.session.job import resolve
    from bracket.session.planning.budget import fit_here

    places = {"configs": "search", "finalists": "finals", "seeds": "finals", "pairs": "confirmation"}
    fitted = fit_here(
        resolve(settings), hours, [name for name, group in places.items() if name in asked.get(group, {})]
    )
    typer.echo(fitted.words)
    return fitted.question.settings


def _over(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it, maps merged."""
    both = {
        k: _over(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v for k, v in change.items()
    }
    return {**base, **both}
