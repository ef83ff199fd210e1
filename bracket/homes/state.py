"""A trainer on this machine at a glance: for `trainers status`, `doctor` and the app."""

from __future__ import annotations

from dataclasses import dataclass

from bracket.domain import Problem
from bracket.errors import BracketError
from bracket.homes.asked import broken
from bracket.homes.look import commit_of, interpreter, torch_build
from bracket.homes.problems import home_problems
from bracket.homes.registry import Home, how_to_get, known_home
from bracket.homes.upstream import UPSTREAMS, Upstream


@dataclass(frozen=True)
class State:
    """What is known of a trainer without starting it; empty text where it can't be told.

    Attributes:
        home: None when bracket does not know of one.
        commit: whole.
        python: its version.
        torch: its version and what it was built for, as in "2.13.0 (CUDA 13.0)".
    """

    upstream: Upstream
    home: Home | None
    problems: tuple[Problem, ...]
    commit: str = ""
    python: str = ""
    torch: str = ""

    @property
    def ready(self) -> bool:
        """Whether it can be started, as far as can be told."""
        return self.home is not None and not any(p.level == "error" for p in self.problems)

    @property
    def facts(self) -> list[str]:
        """Commit and versions in words, those that are known."""
        named = (self.commit[:7], self.python and f"Python {self.python}", self.torch and f"torch {self.torch}")
        return [fact for fact in named if fact]


def state_of(trainer: str) -> State:
    """A trainer's state; what is wrong with bracket's own memory of it is among its problems."""
    upstream = UPSTREAMS[trainer]
    try:
        home = known_home(trainer)
    except BracketError as error:
        return State(upstream, None, (Problem("error", error.message, error.remedy),))
    if home is None:
        return State(upstream, None, (Problem("info", f"{upstream.title} is not installed", how_to_get(upstream)),))
    python = interpreter(home.python)
    build = torch_build(python.paths) if python else None
    return State(
        upstream,
        home,
        tuple([*home_problems(home), *broken(home)]),
        commit_of(home.folder) or "",
        ".".join(map(str, python.version)) if python else "",
        f"{build.version.partition('+')[0]} ({build.accelerator})" if build else "",
    )
