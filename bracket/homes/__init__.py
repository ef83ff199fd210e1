"""Where the trainers people already have live on this machine, and what is wrong with them.

A *home* is a checkout of one trainer and the Python it runs in. Only `ask_parsers` and `examined` start it, up to where
it would read its arguments; all else reads files, and asks an interpreter for its version and its path.
"""

from __future__ import annotations

from bracket.homes.asked import ask_parsers, examined, parser_of
from bracket.homes.flags import dataset_keys, flags_of, missing_flags, words_of
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
    "ask_parsers",
    "checked_home",
    "dataset_keys",
    "examined",
    "find_home",
    "flags_of",
    "forget",
    "home_problems",
    "identify",
    "known_home",
    "missing_flags",
    "parser_of",
    "state_of",
    "trainer_named",
    "use",
    "words_of",
]
