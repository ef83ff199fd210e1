"""What a family of models is told by: tests on the names and shapes of tensors, to be read as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bracket.weights.header import Shapes

Test = Callable[[Shapes], bool]


@dataclass(frozen=True)
class Variant:
    """One size or version of a family, told by shapes or further names."""

    kind: str
    title: str
    when: Test


@dataclass(frozen=True)
class Family:
    """Models that share the names of their tensors. The first variant that fits is it; with none, the family is."""

    kind: str
    title: str
    marks: Test
    variants: tuple[Variant, ...] = ()


def has(*names: str) -> Test:
    """All of these are there."""
    return lambda shapes: all(name in shapes for name in names)


def lacks(*names: str) -> Test:
    """None of these is there."""
    return lambda shapes: not any(name in shapes for name in names)


def size(axis: int, length: int, *names: str) -> Test:
    """The first of these tensors that is there has this length along `axis`."""

    def test(shapes: Shapes) -> bool:
        shape = next((shapes[name] for name in names if name in shapes), ())
        return len(shape) > axis and shape[axis] == length

    return test


def rank(axes: int, *names: str) -> Test:
    """The first of these tensors that is there has so many axes."""
    return lambda shapes: next((len(shapes[name]) for name in names if name in shapes), None) == axes


def every(*tests: Test) -> Test:
    return lambda shapes: all(test(shapes) for test in tests)


def either(*tests: Test) -> Test:
    """Any of these: mostly the same model's names in its own and in diffusers' layout."""
    return lambda shapes: any(test(shapes) for test in tests)
