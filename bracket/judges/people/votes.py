"""A person's blind votes between two pictures of the same prompt and seed, kept in `votes.jsonl`.

One line a vote, only ever added to; an undo is a line too. Each pair counts once, by its first vote that stands, so two
open pages can't count one pair twice.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bracket.domain import Preference, Sample
from bracket.errors import JudgeError
from bracket.files import append_json, read_json_lines, whole_lines

FILE = "votes.jsonl"
NAME = "human"
VALUES = (0.0, 0.5, 1.0)
Key = frozenset[Path]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Vote:
    """What a person said of two pictures: 1 prefers the left one, 0 the right one, 0.5 neither.

    `at` is in seconds since 1970; `shown_swapped` when the first arm's picture was the right one.
    """

    prompt: str
    seed: int
    left: Path
    right: Path
    value: float
    at: float
    shown_swapped: bool

    @property
    def key(self) -> Key:
        return frozenset((self.left, self.right))


@dataclass(frozen=True)
class Shown:
    """Two pictures to vote on, without a word on whose they are. Their paths tell: show the pictures, not the paths."""

    prompt: str
    seed: int
    left: Path
    right: Path

    @property
    def key(self) -> Key:
        return frozenset((self.left, self.right))


@dataclass(frozen=True)
class Progress:
    """How far the voting is.

    Attributes:
        voted, ties: pairs with a vote that stands, and those of them without a preference.
        total: pairs there are.
        missing: pairs without a vote that can't be shown since a picture of theirs vanished.
    """

    voted: int
    ties: int
    total: int
    missing: int


def read_votes(folder: Path, *, strict: bool = True) -> list[Vote]:
    """The votes of a session that stand, in the order they were cast; [] when there are none.

    Of several votes on one pair the first counts. Lines a kill tore are left out, lines that are no votes are logged.

    Args:
        strict: for who draws conclusions from them; a page shows none where the file can't be read.

    Raises:
        StorageError: the file is there but can't be read.
    """
    standing: dict[Key, Vote] = {}
    for line in (read_json_lines if strict else whole_lines)(folder / FILE):
        try:
            if "undo" in line:
                standing.pop(frozenset(folder / str(p) for p in line["undo"]), None)
                continue
            vote = _vote_from_json(line, folder)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            log.warning("A line of %s is no vote (%s) and was left out: %.200s", folder / FILE, error, line)
            continue
        standing.setdefault(vote.key, vote)
    return list(standing.values())


def matching_pairs(arms: Mapping[str, Sequence[Sample]]) -> list[tuple[Sample, Sample]]:
    """Every pair of samples of the same prompt and seed from two different arms, the earlier arm's first.

    An arm that drew a prompt and seed several times (several training seeds) is paired in the order given, the first
    with the first; give one step's samples of each training only.
    """
    drawn = [_numbered(samples) for samples in arms.values()]
    return [
        (sample, theirs[place])
        for ours, theirs in itertools.combinations(drawn, 2)
        for place, sample in ours.items()
        if place in theirs and theirs[place].path != sample.path
    ]


class VoteBook:
    """The pairs of a session to be voted on, and what was said of them.

    Which pair comes next and who stands left follow from hashes of the session's seed and the pair, so they are random
    but the same after a restart; a person who stops at any time has voted on a random subset. Several threads and
    processes may use one folder at once.

    Args:
        folder: the session's.
        arms: samples by arm (winner and baseline, or the finalists); names are never shown.
        seed: the session's.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        arms: Mapping[str, Sequence[Sample]],
        seed: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder, self.arms, self._seed, self._clock = folder, arms, seed, clock
        pairs = {frozenset((a.path, b.path)): (a, b) for a, b in matching_pairs(arms)}
        self._pairs = dict(sorted(pairs.items(), key=lambda item: self._hash("order", item[0])))
        self._handed: set[Key] = set()
        self._lock = threading.Lock()

    def votes(self, *, strict: bool = True) -> list[Vote]:
        """Those that stand on pairs of this book, in the order they were cast. Raises as `read_votes`."""
        return [vote for vote in read_votes(self.folder, strict=strict) if vote.key in self._pairs]

    def next_pair(self) -> Shown | None:
        """A pair without a vote whose pictures are there, None when all have one.

        A pair that was given out and not voted on (another page shows it, or it was reloaded) comes again after all
        others. Raises StorageError.
        """
        with self._lock:
            voted = {vote.key for vote in self.votes()}
            left = [key for key in self._pairs if key not in voted]
            left.sort(key=lambda key: key in self._handed)
            for key in left:
                if all(path.is_file() for path in key):
                    self._handed.add(key)
                    return self._shown(key)
            return None

    def record(self, shown: Shown, value: float) -> Vote:
        """Keeps a vote: 1 prefers the left picture, 0 the right one, 0.5 neither.

        Returns:
            The vote that stands: an earlier one if the pair has been voted on meanwhile, on another page.

        Raises:
            JudgeError: the pair isn't one of this book's, or the value is none of the three.
            StorageError: it can't be written; nothing of it was then.
        """
        if value not in VALUES:
            raise JudgeError(f"a vote is 0, 0.5 or 1, not {value}", remedy="Vote again.")
        if shown.key not in self._pairs or shown != self._shown(shown.key):
            raise JudgeError("this pair is not one to vote on here", path=shown.left, remedy="Reload the page.")
        with self._lock:
            for earlier in self.votes():
                if earlier.key == shown.key:
                    return earlier
            swapped = shown.right == self._pairs[shown.key][0].path
            vote = Vote(shown.prompt, shown.seed, shown.left, shown.right, float(value), self._clock(), swapped)
            append_json(self.folder / FILE, _vote_to_json(vote, self.folder))
            return vote

    def undo(self) -> Shown | None:
        """Takes the last vote back and gives its pair to be shown again; None when there was none. Raises StorageError.

        The line names the pair, so an undo on two pages at once takes back one vote.
        """
        with self._lock:
            votes = self.votes()
            if not votes:
                return None
            last = votes[-1]
            undone = [_inside(path, self.folder) for path in (last.left, last.right)]
            append_json(self.folder / FILE, {"undo": undone, "at": self._clock()})
            return self._shown(last.key)

    def progress(self) -> Progress:
        """How far it is; nowhere, where the votes can't be read."""
        votes = self.votes(strict=False)
        voted = {vote.key for vote in votes}
        missing = sum(key not in voted and not all(path.is_file() for path in key) for key in self._pairs)
        return Progress(len(votes), sum(vote.value == 0.5 for vote in votes), len(self._pairs), missing)

    def preferences(self) -> list[Preference]:
        """The votes in the order they were cast, the earlier arm's sample as `a`. Raises StorageError."""
        found = []
        for vote in self.votes():
            a, b = self._pairs[vote.key]
            found.append(Preference(a, b, NAME, vote.value if vote.left == a.path else 1 - vote.value))
        return found

    def fingerprint(self) -> str:
        """16 hex digits that change with every vote, not with the folder's place. Raises StorageError."""
        said = [f"{_inside(v.left, self.folder)}\0{_inside(v.right, self.folder)}\0{v.value}" for v in self.votes()]
        return hashlib.sha256("\n".join(sorted(said)).encode()).hexdigest()[:16]

    def _shown(self, key: Key) -> Shown:
        a, _ = self._pairs[key]
        # By the paths, not by the arms: a page opened before the arms were listed otherwise is still right.
        left, right = sorted(key, reverse=bool(self._hash("side", key)[0] & 1))
        return Shown(a.prompt, a.seed, left, right)

    def _hash(self, purpose: str, key: Key) -> bytes:
        names = sorted(_inside(path, self.folder) for path in key)
        return hashlib.sha256("\0".join([str(self._seed), purpose, *names]).encode()).digest()


def _numbered(samples: Sequence[Sample]) -> dict[tuple[str, int, int], Sample]:
    """Samples by prompt, seed and how many of these came before."""
    found: dict[tuple[str, int, int], Sample] = {}
    counts: dict[tuple[str, int], int] = {}
    for sample in samples:
        number = counts.get((sample.prompt, sample.seed), 0)
        counts[sample.prompt, sample.seed] = number + 1
        found[sample.prompt, sample.seed, number] = sample
    return found


def _inside(path: Path, folder: Path) -> str:
    """The path within the session's folder, so that the folder can be moved; whole when it lies elsewhere."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _vote_to_json(vote: Vote, folder: Path) -> dict[str, Any]:
    return {
        "prompt": vote.prompt,
        "seed": vote.seed,
        "left": _inside(vote.left, folder),
        "right": _inside(vote.right, folder),
        "value": vote.value,
        "at": vote.at,
        "shown_swapped": vote.shown_swapped,
    }


def _vote_from_json(data: Any, folder: Path) -> Vote:
    """Raises KeyError, TypeError, ValueError or OverflowError for what is no vote."""
    left, right, value = folder / str(data["left"]), folder / str(data["right"]), float(data["value"])
    if value not in VALUES or left == right or not isinstance(data["shown_swapped"], bool):
        raise ValueError("its values don't fit")
    return Vote(str(data["prompt"]), int(data["seed"]), left, right, value, float(data["at"]), data["shown_swapped"])
