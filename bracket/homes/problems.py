"""stub"""

from bracket.domain import Problem
from bracket.homes.registry import Home


def home_problems(home: Home) -> list[Problem]:
    return []
