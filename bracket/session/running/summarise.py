"""Gathers a session's folder into the one `Summary` its report is written from."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bracket.domain import Outcome, Round, Trial, TrialResult
from bracket.errors import StorageError
from bracket.files import read_json, read_mapping, storage_errors, write_json
from bracket.homes import UPSTREAMS, known_home
from bracket.homes.look import commit_of
from bracket.report.claims.again import Standing
from bracket.report.summary import Ranked, Summary
from bracket.runner.processes.launched import write_command_sh
from bracket.search.suggestion import suggest
from bracket.session.asked.settings import fingerprint_in
from bracket.session.duel.again import marked
from bracket.session.duel.blind import read_controls
from bracket.session.duel.calibrate import calibrate
from bracket.session.duel.course import trial_judgements
from bracket.session.duel.fight import read_fight, verdict_of
from bracket.session.job import BEFORE, Context
from bracket.session.planning import memory
from bracket.session.running.confirm import plan_for
from bracket.session.running.judging import base_score
from bracket.session.running.pairwise import read_ranking
from bracket.session.running.stages import duellists, rank, rank_search, ranked_of
from bracket.session.store import Store
from bracket.trainers.base import drawn_in, newest

log = logging.getLogger(__name__)
ARGV = "argv.json"
"""In `winner/`: the words of the command that trains the winner in full, and what it was made for."""
REMARKS = "remarks.json"
"""In a session's folder: what its judge wants known of its scores."""
_PACKAGES = ("torch", "diffusers", "transformers", "peft", "optuna", "gradio")


def summarise(
    context: Context, store: Store, *, judge: str, seconds: Mapping[str, float], warnings: Sequence[str] = ()
) -> Summary:
    """Everything the report says, from the ledger and the folder; works at any stage of a session."""
    results = {r: [_with_files(context, x) for x in store.results(r)] for r in Round}
    rounds = {r: (rank_search if r is Round.SEARCH else rank)(found) for r, found in results.items()}
    told = [r for found in results.values() for r in found]
    pair = duellists(store.results(Round.FINALS))
    winner, baseline = _found_again(rounds[Round.FINALS], pair) if pair else (None, None)
    fight = read_fight(context.folder, store, plan_for(context, store.results(Round.FINALS)))
    standing = Standing.of(fight.plan) if fight.plan else marked(context.folder)
    calibration = calibrate(context.folder, store, fight.duel)
    ranking, flip_rate = read_ranking(context.folder)
    s = context.settings
    return Summary(
        name=context.folder.name,
        folder=context.folder,
        fingerprint=fingerprint_in(context.folder),
        preset_name=context.preset.name,
        preset_title=context.preset.title,
        settings=s.question(),
        knobs=context.knobs,
        baseline_config=context.baseline,
        rounds={r: tuple(ranking) for r, ranking in rounds.items() if ranking},
        searched=tuple(results[Round.SEARCH]),
        suggestion=_next_space(context, results[Round.SEARCH]),
        verdict=verdict_of(winner, baseline, fight, calibration, s.confirmation.alpha),
        plan=fight.plan,
        calibration=calibration,
        ranking=ranking,
        flip_rate=flip_rate,
        controls=read_controls(context.folder),
        plain=fight.plain,
        base_score=base_score(context.folder),
        remarks=_remarks(context.folder / REMARKS),
        prompts=context.dataset.prompts,
        verdict_prompts=context.dataset.verdict_prompts,
        winner=winner,
        baseline=baseline,
        runner_up=ranked_of(results[Round.FINALS], third) if (third := fight.runner_up) else None,
        duel=fight.duel,
        pairs=fight.pairs,
        left_out=fight.left_out,
        additions=fight.additions,
        before=tuple(newest(drawn_in(context.trainer, context.folder / BEFORE))),
        judge=judge,
        command=full_training(context, winner) if winner else (),
        seconds=dict(seconds),
        dataset=_dataset(context),
        warnings=tuple(warnings),
        versions=_versions(context),
        promotion=promotion(context),
        memory=memory.told(context.folder),
        again=standing.words if standing else (),
        loss_counts=any(r.validation_loss is not None for r in told),
    )


def _remarks(path: Path) -> tuple[str, ...]:
    try:
        found = read_json(path) if path.exists() else []
    except StorageError as error:
        log.warning("%s", error)
        found = []
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _next_space(context: Context, searched: Sequence[TrialResult]) -> dict[str, object] | None:
    """The next session's space, as plain data; None before the search."""
    whole = context.preset.knob_list()
    return suggest(context.knobs, searched, whole=whole, seed=context.settings.seed).as_dict() if searched else None


def full_training(context: Context, winner: Ranked) -> tuple[str, ...]:
    """The command that trains the winner in full; writes the config it names into `winner/`.

    What somebody trained there already is never touched: the same winner's is kept as it is, another's moved aside.
    """
    folder = context.folder / "winner"
    seed, steps = winner.results[0].trial.seed, context.preset.final_steps
    trial = Trial("winner", Round.FINALS, "winner", winner.config, seed, steps, folder)
    asked = {"config": dict(winner.config), "seed": seed, "steps": steps, "fingerprint": fingerprint_in(context.folder)}
    known = read_mapping(folder / ARGV)
    if known.get("asked") == asked and isinstance(known.get("argv"), list):
        return tuple(map(str, known["argv"]))
    if folder.exists():
        beside = (folder.with_name(f"winner-{number}") for number in itertools.count(1))
        with storage_errors(folder):
            folder.rename(next(place for place in beside if not os.path.lexists(place)))
    launch = context.trainer.launch(context.choosing_job(), [trial])
    write_command_sh(folder / "command.sh", launch)
    write_json(folder / ARGV, {"argv": list(launch.argv), "asked": asked})
    return launch.argv


def _found_again(ranking: Sequence[Ranked], pair: tuple[Ranked, Ranked]) -> tuple[Ranked, Ranked]:
    """The duellists as they stand in the ranking with files attached."""
    by_config = {repr(sorted(r.config.items())): r for r in ranking}
    winner, baseline = (by_config[repr(sorted(p.config.items()))] for p in pair)
    return winner, baseline


def _with_files(context: Context, result: TrialResult) -> TrialResult:
    """A result of the ledger with its pictures and judgements, which stay on disk."""
    samples = tuple(newest(context.trainer.find_samples(result.trial)))
    judgements = tuple(trial_judgements(result)) if result.outcome is Outcome.OK else ()
    return replace(result, samples=samples, judgements=judgements)


def _dataset(context: Context) -> dict[str, object]:
    d = context.dataset
    return {
        "folder": str(d.folder),
        "training pictures": len(d.train),
        "held-out pictures": len(d.validation),
        "trigger word": d.trigger_word,
        "class word": d.class_word,
    }


def promotion(context: Context) -> str:
    """How finalists get from the search's length to the finals', in words."""
    if context.goes_on:
        return (
            "trained on from where their search trial ended, on a schedule laid out for the finals' length from the "
            "start; the other finals seeds from step 0"
        )
    if not context.trainer.continues:
        return "trained anew from step 0: this trainer can't go on from a saved state with the same steps and schedule"
    return "trained anew from step 0"


def _versions(context: Context) -> dict[str, str]:
    found = {}
    upstream = UPSTREAMS.get(context.trainer.name)
    if upstream and (home := known_home(upstream.name)):
        found[upstream.title] = (commit_of(home.folder) or "unknown commit")[:9]
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
