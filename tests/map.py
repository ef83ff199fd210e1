"""Draws docs/architecture.svg from the imports there are: `python -m tests.map`.

Floors are bands, rooms are boxes in them, wings are the boxes in those. The walk of one question is numbered on it.
"""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, field
from html import escape

from tests.imports import FLOORS, ROOT, all_imports, module_name, resolved, room_of, sources

PICTURE = ROOT / "docs" / "architecture.svg"
WALK = (
    "cli.run",
    "session.running.launch",
    "session.running.run",
    "session.planning.plan",
    "session.running.stages",
    "search.strategies.protocol",
    "session.running.rounds",
    "trainers.base",
    "runner.executor",
    "training.launch",
    "runner.reading.outcome",
    "judges.base",
    "session.store",
    "session.running.confirm",
    "stats.duel.verdict",
    "report.sections.write",
)
"""`run NAME`, module by module; docs/architecture.md says what happens at each."""
ROUND = range(6, 14)
"""The steps that are gone through once a trial: from who proposes it to the ledger, and back."""
SAID = {5: "doors", 4: "the session", 3: "the work", 2: "the tools", 1: "the ground"}
APART, GROUND, OWN = "training", "bracket/*.py", "own files"
SHOWN = {
    5: ("cli", "app", "ui"),
    4: ("session",),
    3: ("search", "report", "judges", "trainers", APART),
    2: ("stats", "dataset", "runner"),
    1: (GROUND, "presets", "weights", "homes", "demo"),
}
"""The rooms in the order in which they are drawn: few lines cross then."""
COLUMNS = {"ui": 5, "session": 7, "report": 2, "judges": 2, "training": 2, "stats": 2, "dataset": 2, "runner": 2}
COLUMNS |= {GROUND: 6}

WIDTH, LEFT, EDGE = 1040, 100, 18
"""Of the picture; where the rooms begin; its margin."""
PAD, GAP, BETWEEN = 9, 7, 52
"""Inside a room; between chips and between rooms; between floors."""
TITLE, HEAD, LINE, FOOT = 26, 23, 24, 4
"""Heights: of a room's title, a chip's name, a step in it, and what is below the steps."""

LEGEND = (
    ("import", "imports, less what a longer way says; all use the ground", 418),
    ("walk", "the walk", 112),
    ("walk round", "once a trial", 130),
    ("", "a number beside a name: its modules", 0),
)
"""(line, words, how wide both are)."""


@dataclass
class Chip:
    """A wing, or the files that a room has beside its wings."""

    name: str
    said: str
    """How many modules it has."""
    steps: list[tuple[int, str]] = field(default_factory=list)
    """(number on the walk, the module's own name)."""
    x: float = 0
    y: float = 0
    width: float = 0

    @property
    def height(self) -> float:
        return HEAD + LINE * len(self.steps) + FOOT * bool(self.steps)


@dataclass
class Room:
    name: str
    said: str
    chips: list[Chip]
    x: float = 0
    y: float = 0
    width: float = 0
    height: float = 0

    @property
    def columns(self) -> int:
        return COLUMNS.get(self.name, 1)

    @property
    def weight(self) -> int:
        """How much of a floor it takes: by its longest word."""
        return self.columns * max(12, *(len(chip.name) + len(chip.said) + 4 for chip in self.chips))

    def place(self, x: float, y: float, width: float) -> None:
        """Chips go into its columns row by row; a row is as high as its highest."""
        self.x, self.y, self.width = x, y, width
        inner = (width - 2 * PAD - GAP * (self.columns - 1)) / self.columns
        top = y + TITLE
        for start in range(0, len(self.chips), self.columns):
            row = self.chips[start : start + self.columns]
            for column, chip in enumerate(row):
                chip.x, chip.y, chip.width = x + PAD + column * (inner + GAP), top, inner
            top += max(chip.height for chip in row) + GAP
        self.height = top - GAP + PAD - y


def rooms() -> dict[str, Room]:
    """Every room that is shown, with its wings: one imports only those that come after it."""
    counted = Counter(_wing(module_name(path)) for path in sources() if path.name != "__init__.py")
    made = {}
    for name in (room for floor in SHOWN.values() for room in floor):
        wings = _ordered([wing for wing in counted if wing[0] == name])
        alone = [wing[1] for wing in wings] == [OWN]
        chips = [Chip("" if alone else wing[1], _counted(wing, counted[wing], alone)) for wing in wings]
        made[name] = Room(name, _sentence(name), chips)
    at = {(room.name, chip.name or OWN): chip for room in made.values() for chip in room.chips}
    for number, step in enumerate(WALK, 1):
        module = f"bracket.{step}"
        assert resolved(module) == module, f"there is no {module}: the walk goes elsewhere now"
        at[_wing(module)].steps.append((number, module.rpartition(".")[2]))
    return made


def _counted(wing: tuple[str, str], count: int, alone: bool) -> str:
    if wing[0] == GROUND:
        return ""
    return f"{count} modules" if alone and count > 1 else "1 module" if alone else str(count)


def _wing(module: str) -> tuple[str, str]:
    """(room, wing) of a module; files outside a wing are of the wing OWN, those of the ground wings themselves."""
    parts = module.split(".")
    room = room_of(module)
    if len(parts) <= 2:
        return (GROUND, room) if parts[0] == "bracket" and room in FLOORS[1] and _is_file(module) else (room, OWN)
    return room, parts[2] if len(parts) > 3 else OWN


def _is_file(module: str) -> bool:
    return (ROOT.joinpath(*module.split(".")).with_suffix(".py")).exists()


def _ordered(wings: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each before those that it imports; a room's door (`__init__`) hands on what its wings have and doesn't count."""
    above = {wing: set[tuple[str, str]]() for wing in wings}
    for importer, name, _ in all_imports():
        mine, theirs = _wing(importer), _wing(resolved(name))
        rooms_door = f"bracket.{mine[0]}" in (importer, resolved(name))
        if mine != theirs and not rooms_door and theirs in above:
            above[theirs] |= {mine} & above.keys()
    found: list[tuple[str, str]] = []
    while len(found) < len(wings):
        left = [wing for wing in wings if wing not in found]
        free = [wing for wing in left if not above[wing] & {*left}]
        found.append(min(free or left, key=lambda wing: (wing[1] == OWN, wing)))
    return found


def _sentence(room: str) -> str:
    path = ROOT / "bracket" / room / "__init__.py"
    return (ast.get_docstring(sources()[path]) or "").partition("\n\n")[0] if path in sources() else ""


def edges() -> list[tuple[str, str]]:
    """(room, room it imports), of those above the ground, without what a longer way already says."""
    drawn = {room for floor, shown in SHOWN.items() if floor > 1 for room in shown}
    every = {(room_of(importer), room_of(name)) for importer, name, _ in all_imports()}
    every = {(a, b) for a, b in every if a != b and {a, b} <= drawn and b != APART}
    reached = set(every)
    while more := {(a, d) for a, b in reached for c, d in every if b == c} - reached:
        reached |= more
    return sorted((a, b) for a, b in every if not any((a, m) in every and (m, b) in reached for m in drawn))


def laid_out(made: dict[str, Room]) -> float:
    """Gives every room its place; returns the picture's height."""
    y = 64.0
    for floor in sorted(SHOWN, reverse=True):
        row = [made[name] for name in SHOWN[floor]]
        free = WIDTH - EDGE - LEFT - GAP * 2 * (len(row) - 1) - sum(2 * PAD + GAP * (r.columns - 1) for r in row)
        x = float(LEFT)
        for room in row:
            width = free * room.weight / sum(r.weight for r in row) + 2 * PAD + GAP * (room.columns - 1)
            room.place(x, y, width)
            x += width + GAP * 2
        height = max(room.height for room in row)
        for room in row:
            room.height = height
        y += height + BETWEEN
    return y - BETWEEN + 58


STYLE = """
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink) }
  svg { --paper: #ffffff; --band: #f4f5f7; --room: #ffffff; --edge: #c9ced6; --chip: #eef0f3; --ink: #1d2129;
        --quiet: #5d6673; --line: #8d97a5; --walk: #b4470f; --round: #1f6f5c; --on: #ffffff }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #14171c; --band: #1b1f26; --room: #22272f; --edge: #3c444f; --chip: #2c323c; --ink: #e7eaee;
          --quiet: #a3acb8; --line: #76818f; --walk: #f08a4b; --round: #55c2a3; --on: #14171c }
  }
  .paper { fill: var(--paper) } .band { fill: var(--band) }
  .room { fill: var(--room); stroke: var(--edge) } .apart { stroke-dasharray: 5 4; stroke: var(--line) }
  .chip { fill: var(--chip) }
  .title, .name, .count, .step { paint-order: stroke; stroke: var(--chip); stroke-width: 3px; stroke-linejoin: round }
  .title { stroke: var(--room) }
  .title { font-size: 15px; font-weight: 650 } .name { font-size: 12.5px } .count, .note { fill: var(--quiet) }
  .count { font-size: 11.5px } .note { font-size: 13.5px } .step { font-size: 13px; font-weight: 600 }
  .floor { font-size: 22px; font-weight: 650; fill: var(--quiet) } .head { font-size: 19px; font-weight: 650 }
  .import { fill: none; stroke: var(--line); stroke-width: 1.4 } .tip { fill: var(--line) }
  .walk { fill: none; stroke: var(--walk); stroke-width: 2.2; opacity: .62 } .walk.round { stroke: var(--round) }
  .badge { fill: var(--walk) } .badge.round { fill: var(--round) }
  .number { font-size: 11.5px; font-weight: 700; fill: var(--on); text-anchor: middle }
"""


def svg() -> str:
    made = rooms()
    height = laid_out(made)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-labelledby="t d">',
        '<title id="t">bracket: floors, rooms and wings, and the walk of one question</title>',
        f'<desc id="d">Drawn by tests/map.py from the imports. The walk: {" → ".join(WALK)}.</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height:.0f}" rx="10"/>',
        _text(EDGE, 36, "head", "The house, and the walk of one question"),
        *_bands(made),
        *(_import(made[a], made[b], made) for a, b in edges()),
        *(line for room in made.values() for line in _boxes(room)),
        *_strides(made),
        *(line for room in made.values() for line in _words(room)),
        *_badges(made),
        *_legend(height),
        "</svg>\n",
    ]
    return "\n".join(drawn)


def _text(x: float, y: float, kind: str, words: str, more: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def _bands(made: dict[str, Room]) -> list[str]:
    drawn = []
    for floor, shown in SHOWN.items():
        first = made[shown[0]]
        top, tall = first.y - 8, first.height + 16
        drawn.append(f'<rect class="band" x="8" y="{top:.1f}" width="{WIDTH - 16}" height="{tall:.1f}" rx="8"/>')
        drawn.append(_text(EDGE, first.y + 24, "floor", str(floor)))
        drawn.append(_text(EDGE, first.y + 44, "note", SAID[floor]))
    return drawn


def _boxes(room: Room) -> list[str]:
    kind = "room apart" if room.name == APART else "room"
    drawn = [f'<rect class="{kind}" {_box(room)} height="{room.height:.1f}" rx="6"/>']
    return [*drawn, *(f'<rect class="chip" {_box(c)} height="{c.height:.1f}" rx="4"/>' for c in room.chips)]


def _box(it: Room | Chip) -> str:
    return f'x="{it.x:.1f}" y="{it.y:.1f}" width="{it.width:.1f}"'


def _words(room: Room) -> list[str]:
    said = f"<title>{escape(room.said)}</title>" if room.said else ""
    title = f"{room.name}, apart" if room.name == APART else room.name
    drawn = [f"<g>{said}{_text(room.x + PAD, room.y + 18, 'title', title)}</g>"]
    for chip in room.chips:
        end, x = ("", chip.x + 7) if not chip.name else (' text-anchor="end"', chip.x + chip.width - 7)
        drawn.append(_text(x, chip.y + 16, "count", chip.said, end) if chip.said else "")
        drawn.append(_text(chip.x + 7, chip.y + 16, "name", chip.name) if chip.name else "")
        for place, (_, module) in enumerate(chip.steps):
            drawn.append(_text(chip.x + 30, _row(chip, place) + 4.5, "step", module))
    return list(filter(None, drawn))


def _row(chip: Chip, place: int) -> float:
    """The middle of a step's line."""
    return chip.y + HEAD + LINE * place + LINE / 2


def _import(upper: Room, lower: Room, made: dict[str, Room]) -> str:
    """A line from one room's floor to another's ceiling, at a place of its own on either."""
    if upper.y == lower.y:
        x, y = (upper.x, upper.y + 14) if lower.x < upper.x else (upper.x + upper.width, upper.y + 14)
        end = lower.x + lower.width if lower.x < upper.x else lower.x
        return f'<path class="import" d="M{x:.1f} {y:.1f} L{end:.1f} {y:.1f}"/>'

    def middle(room: Room) -> float:
        return room.x + room.width / 2

    out = sorted((b for a, b in edges() if a == upper.name), key=lambda b: middle(made[b]))
    into = sorted((a for a, b in edges() if b == lower.name), key=lambda a: middle(made[a]))
    x = upper.x + upper.width * (out.index(lower.name) + 1) / (len(out) + 1)
    end = lower.x + lower.width * (into.index(upper.name) + 1) / (len(into) + 1)
    if len(out) == 1 and lower.x < x < lower.x + lower.width and len(into) < 3:
        end = x
    if len(into) == 1 and upper.x < end < upper.x + upper.width:
        x = end
    y, low = upper.y + upper.height, lower.y - 7
    half = (low - y) / 2
    curve = f"M{x:.1f} {y:.1f} C{x:.1f} {y + half:.1f} {end:.1f} {low - half:.1f} {end:.1f} {low:.1f}"
    tip = f"M{end - 4.5:.1f} {low - 1:.1f} L{end + 4.5:.1f} {low - 1:.1f} L{end:.1f} {low + 7:.1f} Z"
    return f'<path class="import" d="{curve}"/><path class="tip" d="{tip}"/>'


def _places(made: dict[str, Room]) -> dict[int, tuple[float, float]]:
    chips = [chip for room in made.values() for chip in room.chips]
    return {n: (chip.x + 16, _row(chip, at)) for chip in chips for at, (n, _) in enumerate(chip.steps)}


def _strides(made: dict[str, Room]) -> list[str]:
    places = _places(made)
    steps = [*((n, n + 1) for n in range(1, len(WALK))), (ROUND[-1], ROUND[0])]
    return [_stride(places[a], places[b], {a, b} <= set(ROUND)) for a, b in steps]


def _badges(made: dict[str, Room]) -> list[str]:
    drawn = []
    for number, (x, y) in sorted(_places(made).items()):
        kind = "badge round" if number in ROUND else "badge"
        drawn.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="9.5"/>')
        drawn.append(_text(x, y + 4, "number", str(number)))
    return drawn


def _stride(a: tuple[float, float], b: tuple[float, float], in_round: bool) -> str:
    (x, y), (u, v) = a, b
    kind = " round" if in_round else ""
    bow = (v - y) / 2 if abs(v - y) > 60 else 0
    side = 0 if bow else 26 if abs(u - x) < 5 else 0
    curve = f"C{x - side:.1f} {y + bow:.1f} {u - side:.1f} {v - bow:.1f} {u:.1f} {v:.1f}"
    return f'<path class="walk{kind}" d="M{x:.1f} {y:.1f} {curve}"/>'


def _legend(height: float) -> list[str]:
    y, x, drawn = height - 26, float(EDGE), []
    for kind, words, width in LEGEND:
        if kind:
            drawn.append(f'<path class="{kind}" d="M{x:.1f} {y - 4:.1f} h26"/>')
        drawn.append(_text(x + 33 * bool(kind), y, "note", words))
        x += width
    return drawn


def main() -> None:
    PICTURE.write_text(svg(), encoding="utf-8", newline="\n")
    print(f"Drew {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
