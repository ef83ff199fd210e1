"""Tells from the end of a log what went wrong: the line that says so first, then the lines that show it."""

from __future__ import annotations

import re

from bracket.runner.reading.blocks import LEVEL, Block, Found, best_link, chain_texts
from bracket.runner.reading.exits import KILLED_HINT

_LOGGED_BY = re.compile(r"^(?:ERROR|CRITICAL|FATAL):[\w.]+:")
# rich's log: time (once a second) or blanks, level, message, place at the right; broken at the terminal's width.
_RICH = re.compile(
    r"(?:[\d:. /-]{19}|\s{19}|\[[^\]]{0,80}\])?\s{1,8}(?P<level>[A-Z]{4,8}) +(?P<text>.*?)(?P<at> +\w+\.py:\d+)?$"
)
_PLACED = re.compile(r"[\s\]:|-]*(?:[\w.]+:[\w<>]+:\d+ - )?")
_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_MOST_LINES = 8
# First lines that say nothing without the next one.
_LEADS_ON = re.compile(r"(?:error|errors|following|raised|because|reason|failed|traceback\)):$", re.IGNORECASE)
_HTTP = re.compile(r"\d{3} (?:Client|Server) Error\b")
_HUB = re.compile(r"gated|hugging ?face|hf\.co|\bhub\b|\brepo|local_files_only|cached files|disk cache", re.IGNORECASE)
_REPOSITORY = re.compile(
    r"(?:huggingface\.co|hf\.co)/(?:api/)?(?:models/|datasets/)?(?!docs/|settings/|blog/)([\w.-]{1,96}/[\w.-]{1,96})"
    r"|/([\w.-]{1,96}/[\w.-]{1,96})/(?:resolve|raw|blob|tree)/|[Mm]odel ([\w.-]{1,96}/[\w.-]{1,96}) is restricted"
)
_BOILERPLATE = re.compile(
    r"CUDA kernel errors might|HIP kernel errors might|For debugging consider|Compile with `TORCH_USE|Search for `cuda"
    r"|Device-side assertion tracking|\(Request ID|Set TORCH(?:DYNAMO_VERBOSE|_LOGS)"
)
_HINTS = (
    (re.compile(r"killed by signal: Killed|BrokenProcessPool"), f"a worker process was killed{KILLED_HINT}"),
    (
        re.compile(r"HeaderTooLarge|IncompleteMetadata|MetadataIncompleteBuffer|InvalidHeader|HeaderTooSmall"),
        "the file is not whole, or no safetensors file at all (a broken download, a Git LFS pointer): get it again",
    ),
    (re.compile(r"unexpected pos \d+ vs|file write failed"), "a file could not be written whole: is the disk full?"),
)


def cause(log: str, around: int = 4) -> str:
    """The line that says what went wrong, then lines that stand before it or belong to it; "" for none.

    That is what really ended the run (`blocks`): of a chain of exceptions the one that says most. For a program that
    ends with one sentence it is nothing: the caller shows the last lines.

    Args:
        around: lines of where it was that are shown at most.
    """
    found = Found(log)
    block = found.reason()
    return told(found, block, around) if block else ""


def with_lines(sentence: str, lines: str) -> str:
    """A sentence, and below it, indented, the log lines that show it."""
    return "\n".join([sentence, *("  " + line.removeprefix("  ") for line in lines.splitlines() if line.strip())])


def told(found: Found, block: Block, around: int = 4) -> str:
    """A block in words: its useful line, then the rest of its message, what led to it, and where it was."""
    if block.kind == "error":
        return _logged(found, block, around)
    best = best_link(block)
    headline, message = _useful(best, block)
    links = [_english(link.headline) for link in [*block.links, block] if link is not best]
    more = [*message, *(line for line in dict.fromkeys(links) if line != headline)][:_MOST_LINES]
    if found.assertion and found.assertion != headline and (block.kind == "abort" or "device-side" in block.text):
        headline, more = found.assertion, [headline, *more]
    hints = [hint for words, hint in _HINTS if any(words.search(text) for text in chain_texts(block))]
    frames = best.frames[len(best.frames) - max(0, around - len(more)) :]
    return with_lines(headline, "\n".join([*hints, *frames, *more]))


def _useful(block: Block, chain: Block) -> tuple[str, list[str]]:
    """The headline of an exception with what makes it say something, and the rest of its message."""
    message = [line for line in block.message if line.strip() and not _BOILERPLATE.match(line.strip())]
    name, _, text = block.headline.partition(": ")
    name, text = name.rstrip(":"), _english(text).strip()
    if block.kind != "traceback":
        return _english(block.headline), message
    if message and (not text or _LEADS_ON.search(text) or _HTTP.match(text)):
        text = f"{'' if _HTTP.match(text) else text} {_english(message.pop(0)).strip()}".strip()
    if "Last error:" in message[:-1]:  # NCCL's own word
        text = f"{text} ({message.pop(message.index('Last error:') + 1).strip()})"
    if not text and block.frames and not name.endswith("MemoryError"):
        text = block.frames[-1].strip()
    if _HUB.search(f"{name} {text}"):
        every = "\n".join([block.text, *reversed(chain_texts(chain))])
        places = ["".join(match.groups("")).rstrip(".") for match in _REPOSITORY.finditer(every)]
        if places and not any(place in text for place in places):
            text = f"{text} ({places[0]})"
    return f"{name}: {text}" if text else name, message


def _logged(found: Found, block: Block, around: int) -> str:
    """An error that was only logged: the first of those that stand together, then the others; sd-scripts' (by rich) in
    one piece, with the warnings before it."""
    lines, together = found.lines, [block]
    for other in reversed(found.blocks[: found.blocks.index(block)]):
        if other.kind != "error" or any(lines[n] for n in range(other.end, together[-1].start)):
            break
        together.append(other)
    first, *others = reversed(together)
    if _RICH.match(lines[first.start]):
        records = [_RICH.match(line) for line in lines[: first.start]]
        warnings = [n for n, record in enumerate(records) if record and record["level"] == "WARNING"]
        shown = [_record(lines, n) for n in [*warnings[-around:], *(b.start for b in others[:_MOST_LINES])]]
        return with_lines(_record(lines, first.start), "\n".join(shown))
    headline, message = _plain(first), list(first.message)
    if headline.endswith(":") and message:
        headline = f"{headline} {message.pop(0).strip()}"
    message += [line for b in others[:_MOST_LINES] for line in (_plain(b), *b.message)]
    return with_lines(headline, "\n".join(message[:_MOST_LINES]))


def _plain(block: Block) -> str:
    """A logged error without the logger's name, level and time."""
    line = block.headline.strip()
    if _LOGGED_BY.match(line):
        return _english(_LOGGED_BY.sub("", line))
    level = LEVEL.search(line, 0, 90)
    if level is None or level.start(1) < 8:
        return _english(line)
    behind = line[level.end(1) :]
    placed = _PLACED.match(behind)
    return _english(behind[placed.end() if placed else 0 :]) or line


def _record(lines: list[str], number: int) -> str:
    """The message of one of rich's records, put together again from the lines it was broken into."""
    first = _RICH.match(lines[number])
    assert first is not None
    column, text = first.start("text"), first["text"]
    width = first.end("at") - len(first["at"].strip()) - 1 - column if first["at"] else None
    last = text
    for line in lines[number + 1 :]:
        part = line[column:]
        if line[:column].strip() or not part.strip() or part[0].isspace():
            break
        # A word is broken only where it is longer than the column, and begins on a line of its own then.
        text += part if width and len(last) >= width and " " not in last else f" {part}"
        last = part
    return _english(text)


def _english(line: str) -> str:
    """kohya's messages say it all again in Japanese, after a slash."""
    head, _, tail = line.rpartition(" / ")
    return head.rstrip() if head and _JAPANESE.search(tail) else line
