"""What an installed trainer would refuse of all that will be sent to it: flags, dataset files and prompt files of every
phase, as the adapter itself writes them, before any GPU time is spent."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bracket.domain import Launch, Problem, Prompt, Round, Trial
from bracket.errors import BracketError
from bracket.files import read_json
from bracket.homes import UPSTREAMS, Home, flags_of, missing_flags, parser_of, words_of
from bracket.homes.look import commit_of
from bracket.strict import nearest
from bracket.trainers.base import Job, Trainer, settings_of
from bracket.trainers.kohya.flags import flags

_DATASET_FILE, _PROMPTS_FILE = "--dataset_config", "--sample_prompts"
_ALWAYS = {"sd_scripts": "image_dir", "musubi": "image_directory"}
"""A key that the source of any version names."""
_TABLES = {"general", "datasets", "subsets"}


def refusals(trainer: Trainer, job: Job, home: Home, own: Set[str] = frozenset(), sound: bool = True) -> list[Problem]:
    """Everything a kohya checkout lacks for this job, in a sentence a script.

    It is held against the scripts' own parsers where these were asked (`homes.ask_parsers`), else against their source.

    Args:
        own: flags that a person added, each of which is told by itself.
        sound: nothing else is wrong with the job, so that its files can be written for a try.
    """
    with TemporaryDirectory() as folder:
        sent: dict[str, list[str]] = {}
        for script, words in _every_command(trainer, job, Path(folder) if sound else None):
            sent.setdefault(script, []).extend(words)
        found = {script: list(_refused(home, script, words)) for script, words in sent.items()}
    told: list[Problem] = []
    for script, gone in found.items():
        mine = [sentence for sentence in gone if sentence.partition(":")[0] in own]
        told += [_own_problem(home, script, sentence) for sentence in mine]
        if theirs := [sentence for sentence in gone if sentence not in mine]:
            told.append(_problem(home, script, theirs))
    return told


def _every_command(trainer: Trainer, job: Job, folder: Path | None) -> Iterator[tuple[str, list[str]]]:
    """Scripts with what they are given: in every phase, and what a knob, a lower memory profile or an expert adds.

    Nothing of the session is touched: the files are written for one picture, into `folder`.
    """
    assert job.preset.scripts, "held by the presets' contract test"
    for script in (*job.preset.scripts.cache, job.preset.scripts.train):
        yield script.script, [*flags({**script.settings, **dict.fromkeys(script.weights, "x")}), _DATASET_FILE, "x"]
    train = job.preset.scripts.train.script
    values = [(knob.name, value) for knob in job.knobs for value in knob.choices or (knob.low, knob.high)]
    varied = [{name: value} for name, value in values if value is not None]
    for settings in (*(settings_of(job, v) for v in varied), *(p.settings for p in job.preset.vram)):
        yield train, flags(settings)
    yield train, list(job.extra_args)
    if folder is None:
        return
    with suppress(BracketError):  # what a dataset lacks, its own check says
        for launch in _launches(trainer, job, folder):
            yield _split(launch)


def _launches(trainer: Trainer, job: Job, folder: Path) -> Iterator[Launch]:
    """One of each kind that a session would start."""
    some = replace(job.dataset, train=job.dataset.train[:1], validation=job.dataset.validation[:1])
    prompts = job.prompts[:1] or tuple(Prompt(p.caption, 1) for p in some.train)
    job = replace(job, folder=folder, dataset=some, prompts=prompts)
    yield from trainer.prepare(job)
    trial = Trial("search-000", Round.SEARCH, "baseline", job.preset.baseline, 1, 2, folder / "trials" / "search-000")
    yield trainer.launch(job, [trial])
    yield trainer.draw(job, None, prompts, folder / "before")


def _split(launch: Launch) -> tuple[str, list[str]]:
    """A launch's script and what it is given, where it is given flags."""
    first = next((i for i, word in enumerate(launch.argv) if word.startswith("--")), len(launch.argv))
    return Path(launch.argv[first - 1]).name, list(launch.argv[first:])


def _refused(home: Home, script: str, words: Sequence[str]) -> Iterator[str]:
    """What a script lacks by name, and what it refuses as `--flag: why`."""
    gone = missing_flags(home, script, words)
    if gone == [script]:
        yield script
        return
    parser = parser_of(home, script)
    told = parser.refused(words, whole=False) if parser else []
    yield from (*told, *(flag for flag in gone if flag not in told))
    named = words_of(home, script)
    if _ALWAYS[home.trainer] in named:  # its source is there to be looked at
        known = parser.keys if parser and parser.keys else named
        yield from (f"{key} in dataset files" for key in sorted(_toml_keys(_files(words, _DATASET_FILE)) - known))
        yield from (f"{key} in prompts" for key in sorted(_prompt_keys(_files(words, _PROMPTS_FILE)) - named))


def _files(words: Sequence[str], flag: str) -> list[Path]:
    return [Path(after) for word, after in pairwise(words) if word == flag and Path(after).is_file()]


def _toml_keys(files: Sequence[Path]) -> set[str]:
    found: set[str] = set()
    tables: list[Any] = [tomllib.loads(file.read_text("utf-8")) for file in files]
    while tables:
        table = tables.pop()
        if isinstance(table, list):
            tables += table
        elif isinstance(table, dict):
            found |= table.keys() - _TABLES
            tables += [table[key] for key in _TABLES & table.keys()]
    return found


def _prompt_keys(files: Sequence[Path]) -> set[str]:
    return {key for file in files for prompt in read_json(file) for key in prompt}


def _own_problem(home: Home, script: str, sentence: str) -> Problem:
    flag, colon, why = sentence.partition(": ")
    if colon:
        return Problem("error", f"{script} refuses {flag}: {why}", "Correct it, or take it out.")
    what = f"{script} has no flag {flag}{nearest(flag, flags_of(home, script))}"
    return Problem("error", what, "Take it out, or correct its name.")


def _problem(home: Home, script: str, gone: Sequence[str]) -> Problem:
    upstream, at = UPSTREAMS[home.trainer], (commit_of(home.folder) or "")[:7]
    version = f"this {upstream.title}" + (f" ({at})" if at else "")
    unknown = [name for name in gone if ": " not in name]
    refused = [name for name in gone if ": " in name]
    what = [f"doesn't know {', '.join(unknown)} in {script}"] if unknown else []
    what += [f"refuses {'; '.join(refused)} in {script}"] if refused else []
    said = f"has no {script}" if script in gone else " and ".join(what)
    remedy = f"Update it: `python -m bracket trainers update {upstream.verb}`."
    return Problem("error", f"{version} {said}: it is of another version", remedy, home.folder)
