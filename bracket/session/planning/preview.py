"""Every command a session will run, before it runs: caches, the first trial, the pictures of the base.

The trainers' adapters themselves build them, in a folder that is thrown away, for a handful of the dataset's pictures:
how many there are changes no command.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bracket.domain import DatasetSplit, Launch, Round, Trial
from bracket.session.job import BEFORE, Context

PLACE = "SESSION"
"""Stands for the session's folder, which has no name yet."""
_PICTURES = 3
_FILES = ("config.json", "config.yaml", "dataset.toml")
_LONGEST = 6000
"""Characters of a file that are shown."""


@dataclass(frozen=True)
class Command:
    """One command as it will run: what it is for, its words, and what its environment adds."""

    title: str
    argv: tuple[str, ...]
    cwd: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """What the command reads of what bracket writes for it: names and contents."""

    @property
    def text(self) -> str:
        """The command as it can be pasted into a shell, and under it the files it reads."""
        files = [f"\n# {name}\n{text.rstrip()}" for name, text in self.files.items()]
        return "\n".join([shlex.join(self.argv), *files])


def commands(question: Context) -> tuple[Command, ...]:
    """The commands of every phase, in their order.

    Raises:
        BracketError: the settings, the dataset or the trainer's installation don't allow to build them.
    """
    with tempfile.TemporaryDirectory(prefix="bracket-") as place:
        folder = Path(place)
        context = replace(question.heed(), folder=folder, dataset=_few(question.dataset))
        job = context.choosing_job()
        titles = [(f"Cache {n}" if n > 1 else "Cache", one) for n, one in enumerate(context.trainer.prepare(job), 1)]
        first = _first(context)
        titles.append(("Train the first trial", context.trainer.launch(job, [first])))
        titles.append(("Draw the base", context.trainer.draw(job, None, job.prompts, folder / BEFORE)))
        made = [_command(title, launch, place) for title, launch in titles]
        return tuple(replace(c, files=_files(first.folder, place)) if "first trial" in c.title else c for c in made)


def _first(context: Context) -> Trial:
    settings = context.settings
    seed = settings.seeds.training(Round.SEARCH, 1)[0]
    schedule = settings.finals.steps if context.goes_on else 0
    place, steps = context.folder / "trials" / "search-000", settings.search_rungs()[0].steps
    return Trial("search-000", Round.SEARCH, "baseline", context.baseline, seed, steps, place, schedule)


def _few(dataset: DatasetSplit) -> DatasetSplit:
    """The split with a few pictures of each source."""
    kept = []
    for source in sorted({p.source for p in dataset.train}):
        kept += [p for p in dataset.train if p.source == source][:_PICTURES]
    return replace(dataset, train=tuple(kept), validation=dataset.validation[:_PICTURES])


def _command(title: str, launch: Launch, place: str) -> Command:
    argv = tuple(word.replace(place, PLACE) for word in launch.argv)
    return Command(title, argv, str(launch.cwd), dict(launch.env))


def _files(folder: Path, place: str) -> dict[str, str]:
    """The config and dataset files of a trial, cut where they are long."""
    found = {}
    for name in _FILES:
        path = folder / name
        if path.exists():
            text = path.read_text(encoding="utf-8").replace(place, PLACE)
            found[name] = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n…"
    return found
