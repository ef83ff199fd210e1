"""Where the trainers people already have live on this machine, and what is wrong with them.

A *home* is a checkout of one trainer and the Python it runs in. Nothing here imports or starts a trainer; an
interpreter is only asked for its version and its path.
"""

from __future__ import annotations

from bracket.homes.flags import dataset_keys, flags_of, missing_flags
from bracket.homes.problems import checked_home, home_problems
from bracket.homes.registry import Home, find_home, forget, known_home, use
from bracket.homes.state import State, state_of
from bracket.homes.upstream import TRAINERS, UPSTREAMS, Upstream, identify, trainer_named

__all__ = [
    "TRAINERS",
    "UPSTREAMS",
    "Home",
    "State",
    "Upstream",
    "checked_home",
    "dataset_keys",
    "find_home",
    "flags_of",
    "forget",
    "home_problems",
    "identify",
    "known_home",
    "missing_flags",
    "state_of",
    "trainer_named",
    "use",
]
