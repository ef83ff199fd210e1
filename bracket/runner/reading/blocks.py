"""Finds in the end of a log the blocks that may say why a program ended, and which of them really may.

One pass: tracebacks (plain, chained, in rich's boxes, in exception groups, without their first line), aborts of native
code, refused flags, and errors that were only logged. A block is weighed by what wrote it: what cleans up or reports
another's end never outweighs what ended the run, and what the run went on after is no reason at all.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from bracket.runner.reading.exits import memory_of
from bracket.runner.reading.tail import clean

TRACEBACK = "Traceback (most recent call last)"
SURE = 2.0
"""A block of at least this weight ended the run itself."""
_DOUBTFUL = 0.8
_LONGEST = 2_000
_MOST_MESSAGE = 12
"""Lines kept of one message."""
_RANK = re.compile(r"^(?:\[(?:rank|default)?\d+\]:\s?|\(\w+ pid=\d+\) )")
_BAR_STATE = re.compile(r"\| *(\d{1,9})/(\d{1,9}) \[")
_LINKS = ("The above exception was the direct cause", "During handling of the above exception")
_EXCEPTION = re.compile(r"(?:[\w<>]+\.)*(?:\w+|<locals>)(?:: |:?$)")
_NO_EXCEPTION = re.compile(r"(?:[a-z]+|[A-Z]+|Result|Message|Arguments|Note)\b(?:: |:?$)")
_BARE = re.compile(r"(?:[\w<>]+\.)*[A-Z]\w*(?:Error|Exception)(?:: |:?$)")
LEVEL = re.compile(r"(?:^|[\s\[|])(INFO|WARNING|WARN|DEBUG|ERROR|CRITICAL|FATAL)(?=$|[\s\]:|])")
_SHOUTED = frozenset({"ERROR", "CRITICAL", "FATAL"})
_ERROR = re.compile(
    r"\s*(?:error|critical|fatal|exception) (?!in thread|ignored|raised from|in atexit|in sys)"
    r"|(?:\s*|\S+:\d+: )(?:fatal )?(?:error|fatal|exception)\s?: "
    r"|(?:/\S+/)?(?:python[\d.]*|bash|sh|zsh|env|nohup)(?:\.exe)?: .{0,300}(?:can't open|No module|not found"
    r"|No such file|permission denied|cannot |Exec format)|'[^']+' is not recognized as an internal"
    r"|[❌✗✖🚫]",
    re.IGNORECASE,
)
_USAGE = re.compile(r"\S[^:]{0,200}: (?:error(?: while loading shared libraries)?|symbol lookup error): (?![\d.+-])")
_ABORT = re.compile(
    r"memory allocation of \d+ bytes failed|"
    r"(?:Fatal Python error|Windows fatal exception|OMP: Error|INTEL MKL ERROR|Intel \S+ FATAL ERROR)\b"
    r"|terminate called (?:after|without)|libc\+\+abi: terminating|thread '[^']*' panicked at"
    r"|(?:free|malloc|realloc|munmap_chunk)\(\): |double free or corruption|corrupted (?:size|double)|\*\*\* \w"
    r"|\[?F\d{4} [\d:.]+ |.{0,80}Caught signal \d+"
)
_LAUNCHES = re.compile(r"torch\.distributed\.elastic|\[launch\.py:|Killing subprocess|closing signal SIG")
_GLOG = re.compile(r"\[?[EWIF]\d{3,4} [\d:.]+ |[\d\-: .]+: [EWIF] \w+/")
_ASSERTION = re.compile(r".{0,800}\bAssertion [`'\"].{0,400} failed")
_TITLE = re.compile(r"[╭┌+][─-]+ (?P<title>[^─]+?) [─-]+[╮┐+]$")
_STOPS = (
    *_LINKS,
    "Exception ignored",
    "Exception in thread",
    "Exception raised from",
    "Error in ",
    "--- Logging error",
    "Extension modules",
    "frame #",
    "wandb:",
    '"""',
)
_SEPARATOR = re.compile(r"\W{4,}$")
_WARNS = re.compile(r": \w*Warning: ")
_CLEANING = ("Exception ignored", "Error in atexit", "--- Logging error", "Error in sys.excepthook")
_CLEANERS = re.compile(
    r"resource_tracker\.py|multiprocessing[/\\]util\.py|weakref\.py.* in _exitfunc|in _run_exitfuncs"
)
_IMPORTS = re.compile(r"(?:ModuleNotFound|Import)Error\b")
# What libraries say of an import that they only try.
_PASSED = re.compile(
    r"\bnot available\b|\bwill not be\b|\bfall(?:ing)? ?back|\bskip|\bdisabl|\boptional", re.IGNORECASE
)
_CHILD = re.compile(r"Exception in thread |Process \S+:$")
_LAUNCHERS = re.compile(r"(?:[\w.]+\.)?(?:ChildFailedError|SignalException|ProcessExitedException)\b")
_OF_ANOTHER = re.compile(
    r"(?:subprocess\.)?CalledProcessError\b"
    r"|.{0,300}(?:non-zero exit|exit(?:ed|s)? (?:with )?(?:return )?(?:code|status)\b)"
)
_LAUNCHING = re.compile(r"accelerate|launch|torchrun|deepspeed")
_INTERRUPTS = re.compile(r"(?:[\w.]+\.)?(?:KeyboardInterrupt|CancelledError|SystemExit|GeneratorExit)\b")
_VAGUE = re.compile(
    r"RuntimeError: (?:DataLoader worker \(pid\(s\) [\d, ]+\) exited|Pin memory thread exited)"
    r"|(?:ConnectionReset|BrokenPipe|EOF|ConnectionRefused|ConnectionAborted)Error\b|(?:\w+\.)*(?:Empty|BrokenProcessPool)\b"
    r"|(?:Base)?ExceptionGroup\b|.{0,200}(?:unexpected pos \d+ vs|can only test a child process)"
    r"|AttributeError: 'NoneType' object has no attribute '(?:close|shutdown|terminate|join|is_alive)'"
)
_SLIPS = re.compile(r"(?:NameError|UnboundLocalError|AttributeError: 'NoneType')")
_PROBES = re.compile(r"(?:Key|Import|ModuleNotFound|Attribute|Index|FileNotFound|Name)Error\b")
_NOISE_AT_END = re.compile(r"Fatal Python error: _enter_buffered_busy|terminate called without")


@dataclass
class Block:
    """One thing a log says that may be the reason.

    Attributes:
        start, end: its lines, from the first to behind the last.
        kind: "traceback", "abort", "usage" (what a program refuses before it begins), or "error" (only logged).
        headline: its one line that names the error; message: lines that continue it.
        frames: where it was, the newest last.
        weight: how surely it ended the run; 0: it surely did not.
        links: what it was raised from, or in handling of which; the first one first.
    """

    start: int
    end: int
    message: list[str]
    kind: str
    headline: str
    frames: list[str] = field(default_factory=list)
    weight: float = 0.0
    links: list[Block] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Everything it says but where."""
        return "\n".join([self.headline, *self.message])


class Found:
    """The lines of a log's end without its progress bars, and the blocks in them.

    Attributes:
        lines: as a terminal would show them, without ranks before them.
        blocks: in their order.
        bar: the last progress bar, "" for none.
        assertion: the first assertion of a kernel or of native code that failed, "" for none.
    """

    def __init__(self, log: str) -> None:
        self.lines: list[str] = []
        self.bar = ""
        self._broken: set[int] = set()
        self._bars: list[tuple[int, str, int]] = []
        for raw in log.split("\n"):
            self._bars += [(len(self.lines), total, int(step)) for step, total in _BAR_STATE.findall(raw)]
            line = _RANK.sub("", clean(raw)).rstrip()
            if len(line) > _LONGEST:
                line = f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"
            said = _beside_bars(line)
            if said or not line:
                self.lines.append(said)
            else:
                self.bar = line
                self._broken.add(len(self.lines))
        self._open_groups()
        self.assertion = next((line for line in self.lines if "Assertion" in line and _ASSERTION.match(line)), "")
        self.blocks: list[Block] = []
        at = 0
        while at < len(self.lines):
            block = self._block(at)
            if block is not None:
                self._keep(block)
            at = max(at + 1, block.end if block else 0)
        self._weigh()

    def reason(self) -> Block | None:
        """The block that ended the run: the one that weighs most, of several the last; None for none."""
        weighed = [b for b in self.blocks if b.weight > 0]
        return max(reversed(weighed), key=lambda b: b.weight, default=None)

    @property
    def interrupted(self) -> bool:
        """Whether an interrupt may have ended it."""
        return any(b.kind == "traceback" and b.headline.startswith("KeyboardInterrupt") for b in self.blocks)

    def last_words(self, count: int = 3) -> list[str]:
        """The last lines that say something: launchers, clean-up and what was passed over aside."""
        aside = {n for b in self.blocks if not b.weight for n in range(b.start, b.end)}
        end = next((b.start for b in self.blocks if _LAUNCHERS.match(b.headline)), None)
        said = [x.strip() for n, x in enumerate(self.lines[:end]) if x and n not in aside and not is_noise(x)]
        return said[-count:]

    def _open_groups(self) -> None:
        """Takes the margin from exception groups, so that each exception in it is a traceback like others."""
        inside = False
        for number, line in enumerate(self.lines):
            if inside or "Exception Group " + TRACEBACK in line:
                inside = line.lstrip()[:1] in ("|", "+")
                if inside:
                    bare = re.sub(r"^\s*[|+] ?", "", line)
                    self.lines[number] = "" if bare[:2] in ("-+", "--") else bare.replace("Exception Group ", "")

    def _block(self, at: int) -> Block | None:
        line = self.lines[at]
        if TRACEBACK in line:
            return self._traceback(at, at + 1)
        if line.startswith('  File "') and at + 1 < len(self.lines):
            return self._traceback(at, at)
        if _ABORT.match(line):
            return self._abort(at)
        box = _TITLE.match(line)
        if box and box["title"].strip().lower() == "error":
            return self._box(at)
        if line == self.assertion and line:
            return Block(at, at + 1, [], "abort", line.strip())
        if _USAGE.match(line):
            return Block(at, *self._message(at + 1), "usage", line.strip())
        if _ERROR.match(line) or _BARE.match(line) or ((level := LEVEL.search(line, 0, 90)) and level[1] in _SHOUTED):
            return Block(at, *self._message(at + 1, indented=True), "error", line)
        return None

    def _traceback(self, at: int, body: int) -> Block | None:
        """The traceback at this line; None where it has no end."""
        lines, end, base = self.lines, body, _indent(self.lines[at]) if body > at else 0
        boxed = _TITLE.match(lines[at]) is not None
        while end < len(lines) and (
            not lines[end] or _indent(lines[end]) > base or (boxed and lines[end][0] in "│|╰└+")
        ):
            end += 1
        found = next((n for n in range(end, min(end + 4, len(lines))) if _is_exception(lines[n])), None)
        if found is None or TRACEBACK in lines[found]:
            return None
        frames = [line for line in lines[body:found] if line.strip(" ^~│|╰─╯└┘+-")]
        if boxed:
            frames = [line.strip("│|").rstrip() for line in frames]
        headline, behind = lines[found].strip(), found + 1
        if boxed:  # rich breaks the message at the box's width
            while behind < len(lines) and lines[behind] and len(lines[behind - 1]) > len(lines[at]) * 2 // 3:
                if self._ends_message(lines[behind]):
                    break
                headline, behind = f"{headline} {lines[behind].strip()}", behind + 1
        return Block(at, *self._message(behind), "traceback", headline, frames)

    def _abort(self, at: int) -> Block:
        lines = self.lines
        headline, behind = lines[at].strip(), at + 1
        if headline.startswith("terminate called after") and behind < len(lines) and "what():" in lines[behind]:
            kind = headline.partition("'")[2].rstrip("'") or "error"
            headline, behind = f"{kind}: {lines[behind].partition('what():')[2].strip()}", behind + 1
        elif headline.endswith(":") and "panicked" in headline and behind < len(lines):
            headline, behind = f"{headline} {lines[behind].strip()}", behind + 1
        end, message = self._message(behind)
        frames: list[str] = []
        while end < len(lines) and re.match(r"\s*$|Extension modules|(?:Current t|T)hread 0x|  File \"", lines[end]):
            frames += [lines[end]] if lines[end].startswith("  File") else []
            end += 1
        return Block(at, end, [m for m in message if not m.startswith("  File")], "abort", headline, frames[:4])

    def _box(self, at: int) -> Block:
        end = at + 1
        while end < len(self.lines) and self.lines[end][:1] in ("│", "|"):
            end += 1
        said = " ".join(line.strip("│| ") for line in self.lines[at + 1 : end])
        return Block(at, end, [], "usage", f"error: {said}")

    def _message(self, at: int, *, indented: bool = False) -> tuple[int, list[str]]:
        """Where the message that goes on here ends, and its first lines; a logged one's are indented."""
        end = at
        while end < len(self.lines):
            line = self.lines[end]
            ended = indented or end in self._broken or end - at >= _MOST_MESSAGE
            quoted = end > at and self.lines[end - 1] == "Last error:"  # NCCL's own
            if (self._ends_message(line) and not quoted) or (ended and not line[:1].isspace()):
                break
            if not line and (end == len(self.lines) - 1 or not self.lines[end + 1]):
                break
            end += 1
        return end, [line for line in self.lines[at:end][:_MOST_MESSAGE] if line]

    def _ends_message(self, line: str) -> bool:
        return bool(
            TRACEBACK in line
            or line.startswith(_STOPS)
            or _ABORT.match(line)
            or _GLOG.match(line)
            or _CHILD.match(line)
            or _SEPARATOR.match(line)
            or _WARNS.search(line)
            or _USAGE.match(line)
            or _ERROR.match(line)
            or _ASSERTION.match(line)
            or LEVEL.search(line, 0, 90)
        )

    def _before(self, at: int) -> str:
        """The line that says something before this one."""
        return next((self.lines[n].strip() for n in range(at - 1, max(-1, at - 4), -1) if self.lines[n]), "")

    def _keep(self, block: Block) -> None:
        """Adds a block; a link of a chain takes those before it into itself."""
        last = self.blocks[-1] if self.blocks else None
        linked = self._before(block.start).startswith(_LINKS) or "Original " + TRACEBACK in self.lines[block.start]
        if last is not None and last.kind == block.kind == "traceback" and linked:
            block.links = [*last.links, self.blocks.pop()]
            block.start = block.links[0].start
        self.blocks.append(block)

    def _weigh(self) -> None:
        taken = {n for b in self.blocks for n in range(b.start, b.end)}
        free = [n for n, line in enumerate(self.lines) if n not in taken and line and not is_noise(line)]
        records = [n for n in free if LEVEL.search(self.lines[n], 0, 90)]
        advances: dict[str, list[int]] = {}
        furthest: dict[str, int] = {}
        for at, total, step in self._bars:
            if step > furthest.get(total, -1):
                furthest[total] = step
                advances.setdefault(total, []).append(at)
        for block in self.blocks:
            block.weight = self._weight(block)
            # A bar that advances once is only being closed.
            stepped = any(_after(places, block.start + 1) > 1 for places in advances.values())
            traced = block.kind == "traceback"
            told = _after(free, block.end) >= 8 or (traced and _after(records, block.end) >= 2)
            tried = traced and _IMPORTS.match(block.headline) is not None
            if stepped or (told and (tried or not traced)):
                block.weight = 0.0
            elif told or (tried and _PASSED.search(self._before(block.start))):
                block.weight = min(block.weight, _DOUBTFUL)

    def _weight(self, block: Block) -> float:
        before, head = self._before(block.start), block.headline
        if block.kind == "traceback":
            if before.startswith(_CLEANING) or any(_CLEANERS.search(frame) for frame in block.frames):
                return 0.0
            best = best_link(block).headline
            if _LAUNCHERS.match(best) or _INTERRUPTS.match(best):
                return 0.0
            if _OF_ANOTHER.match(best):
                return 0.0 if any(_LAUNCHING.search(frame) for frame in block.frames) else 0.9
            vague = 2.0 if _VAGUE.match(best) else 0.0
            return (2.5 if _CHILD.match(before) else 3.0) - vague
        if block.kind == "abort":
            return 0.6 if _NOISE_AT_END.match(head) else 1.2 if "exception: code" in head else 2.7
        if _OF_ANOTHER.match(head) or _LAUNCHES.search(head) or _GLOG.match(head):
            return 0.0
        return 3.0 if block.kind == "usage" else 1.5


def best_link(block: Block) -> Block:
    """Of a chain the exception that says most: of equals the last, memory before all else."""
    chain = [*block.links, block]

    def says(place: int) -> float:
        link = chain[place]
        if _INTERRUPTS.match(link.headline) or _LAUNCHERS.match(link.headline):
            return 0.0
        slipped = place and _SLIPS.match(link.headline) and not _PROBES.match(chain[place - 1].headline)
        return 1.0 if _VAGUE.match(link.headline) or slipped else 2.0

    return chain[max(range(len(chain)), key=lambda n: (memory_of(chain[n].text) != "", says(n), n))]


def chain_texts(block: Block) -> list[str]:
    """What each exception of a chain says."""
    return [link.text for link in [*block.links, block]]


def is_noise(line: str) -> bool:
    """Whether a line says nothing of a program's end: what separates, warns, or is a logger's own."""
    return bool(
        _SEPARATOR.match(line)
        or _WARNS.search(line)
        or _GLOG.match(line)
        or line.startswith(("wandb:", "  warnings.warn", "frame #"))
        or _LAUNCHES.search(line)
    )


def _after(places: Sequence[int], at: int) -> int:
    """How many of these sorted places come from there on."""
    return len(places) - bisect_left(places, at)


def _beside_bars(line: str) -> str:
    """What a line says beside progress bars: behind them, or before them where that is an error."""
    while (at := line.find("%|")) > 0 and line[at - 1].isdigit():
        head = line[:at].rstrip("0123456789").rstrip()
        if _BARE.match(head) or _ERROR.match(head):
            return re.sub(r"\s*\w{1,40}:$", "", head)
        end = line.find("]", at)
        line = line[end + 1 :] if end >= 0 else ""
        if not line.strip():
            return ""
    return line


def _is_exception(line: str) -> bool:
    text = line.strip()
    return bool(_EXCEPTION.match(text)) and not _NO_EXCEPTION.match(text)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
