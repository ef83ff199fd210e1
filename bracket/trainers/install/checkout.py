"""A trainer's code: cloned at a commit, or moved to another one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bracket.errors import TrainerError
from bracket.files import given_path, storage_errors
from bracket.homes.look import changes, commit_of, listed
from bracket.homes.problems import INSTALL_RECORD
from bracket.homes.registry import check_checkout
from bracket.homes.upstream import Upstream
from bracket.trainers.install.commands import Commands, git

_SILENCE = 120.0
"""Seconds without a word from git, which reports its progress, before a server counts as out of reach."""
_SLOW = {"GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "60"}
_COMMIT = re.compile(r"[A-Za-z0-9][\w./+-]*")
_OURS = "refs/bracket"


def clone(commands: Commands, upstream: Upstream, source: str, commit: str, folder: Path) -> Iterator[str]:
    """Clones beside `folder` and moves it there once it is whole.

    Raises:
        TrainerError: git failed, or what was cloned is not that trainer.
    """
    part = commands.work / "clone"
    shutil.rmtree(part, ignore_errors=True)
    command = [git(), "clone", "--progress", "--no-checkout", "--", source, str(part)]
    yield from commands.run(command, commands.work, f"cloning {source}", env=_SLOW, silence=_SILENCE)
    yield from check_out(commands, part, commit)
    try:
        check_checkout(upstream, part)
        _check_whole(part)
    except TrainerError as error:
        shutil.rmtree(part, ignore_errors=True)
        remedy = "Check the source and the commit."
        raise TrainerError(error.message, path=source, remedy=remedy) from error
    with storage_errors(folder):
        # Neither our record nor the venv is a change of theirs.
        exclude = part / ".git" / "info" / "exclude"
        exclude.parent.mkdir(parents=True, exist_ok=True)
        with exclude.open("a", encoding="utf-8") as file:
            file.write(f"/{INSTALL_RECORD}\n/venv/\n")
        (part / INSTALL_RECORD).write_text("{}\n", encoding="utf-8")
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_dir():
            folder.rmdir()  # an empty one; Windows moves nothing onto it
        os.replace(part, folder)


def _check_whole(folder: Path) -> None:
    """git takes a repository that lacks some files' contents for a whole one: raises TrainerError for it."""
    lacking = [name for name in changes(folder) if not os.path.lexists(folder / name)]
    if lacking:
        raise TrainerError(f"this repository is not whole: it lacks the contents of {listed(lacking)}", path=folder)


def move(commands: Commands, folder: Path, source: str, commit: str) -> Iterator[str]:
    """Moves a checkout to another commit, fetching it if need be. Branches stay where they are.

    Raises:
        TrainerError: there are changes that would be lost, or git failed.
    """
    changed = changes(folder)
    if changed:
        raise TrainerError(
            f"this checkout has changes of yours: {listed(changed)}",
            path=folder,
            remedy="Commit, stash or undo them, then run the same again.",
        )
    there = [git(), "-C", str(folder), "cat-file", "-e", f"{commit}^{{commit}}"]
    if subprocess.run(there, capture_output=True, check=False).returncode:
        refs = [f"+refs/heads/*:{_OURS}/*", "+refs/tags/*:refs/tags/*"]
        fetch = [git(), "fetch", "--progress", "--", source, *refs]
        yield from commands.run(fetch, folder, f"fetching from {source}", env=_SLOW, silence=_SILENCE)
    yield from _kept(folder)
    yield from check_out(commands, folder, commit)


def _kept(folder: Path) -> Iterator[str]:
    """Commits that no branch or tag leads to would be lost with the next move: they get a branch."""
    here = commit_of(folder)
    words = [git(), "-C", str(folder)]
    ask = [*words, "for-each-ref", "--count=1", "--contains", "HEAD", "--format=%(refname)"]
    led = subprocess.run(ask, capture_output=True, check=False)
    if here and led.returncode == 0 and not led.stdout.strip():
        branch = f"bracket-kept-{here[:7]}"
        if subprocess.run([*words, "branch", branch, "HEAD"], capture_output=True, check=False).returncode == 0:
            yield f"your commits are kept in the branch {branch}"


def check_out(commands: Commands, folder: Path, commit: str) -> Iterator[str]:
    command = [
        git(),
        "-c",
        "advice.detachedHead=false",
        "checkout",
        "--progress",
        "--no-overwrite-ignore",
        "--detach",
        commit,
        "--",
    ]
    yield from commands.run(command, folder, f"checking out {commit[:40]}", env=_SLOW)


def stands_at(folder: Path, commit: str) -> bool:
    """Whether a checkout stands at a commit given whole or by its first digits (a tag never counts as reached)."""
    at = commit_of(folder)
    return at is not None and len(commit) >= 7 and at.startswith(commit.lower())


def checked_commit(commit: str) -> str:
    """Raises TrainerError for what can't name a commit, so that it never becomes an option of git's."""
    if not _COMMIT.fullmatch(commit):
        raise TrainerError(f"{commit!r} can't be a commit", remedy="Give its hexadecimal number, or a tag.")
    return commit


def checked_source(source: str) -> str:
    """An address, or a folder made absolute. Raises TrainerError for what could become an option of git's."""
    place = given_path(source)
    if place.exists():
        return str(place.absolute())
    if source.startswith("-") or not ("://" in source or ":" in source):
        raise TrainerError("there is no such repository", path=source, remedy="Give an address or a folder.")
    return source
