"""What exit codes, signals and words of memory mean, of every system and launcher."""

from __future__ import annotations

import re
from dataclasses import dataclass
from signal import Signals
from typing import Literal

Memory = Literal["", "gpu", "main"]

SIGKILL = "SIGKILL"
KILLED_HINT = "; the system does that when memory (RAM) runs out"
_ITSELF = {
    "SIGSEGV": "a segmentation fault: native code touched memory that isn't its own",
    "SIGABRT": "it aborted itself",
    "SIGBUS": "a bus error: a file in use was cut, or shared memory (/dev/shm) or the disk is full",
    "SIGILL": "an illegal instruction: a library was built for another processor",
    "SIGFPE": "an arithmetic fault",
    "SIGXCPU": "its limit of CPU time was reached",
    "SIGXFSZ": "its limit of file size was reached",
    "SIGPIPE": "who read its output was gone",
}
_WINDOWS = {
    0xC0000005: "access violation: native code (often a driver or an extension) touched memory that isn't its own",
    0xC0000006: "a file it had mapped can't be read any more (disk or network drive)",
    0xC0000008: "invalid handle",
    0xC0000017: "not enough main memory",
    0xC000001D: "illegal instruction: a library was built for another processor",
    0xC0000022: "access denied",
    0xC000007B: "a library is damaged or built for another kind of system",
    0xC0000094: "integer division by zero",
    0xC000009A: "not enough main memory",
    0xC00000FD: "stack overflow",
    0xC000012D: "not enough main memory: the paging file is too small",
    0xC0000135: "a library (DLL) is missing",
    0xC0000138: "a library (DLL) is of another version than the one it was built for",
    0xC0000139: "a library (DLL) is of another version than the one it was built for",
    0xC000013A: "interrupted (Ctrl+C, or its window was closed)",
    0xC0000142: "a library (DLL) could not start",
    0xC0000374: "heap corruption: native code wrote over memory that isn't its own",
    0xC0000409: "native code aborted (a failed check or a stack buffer overrun)",
    0xC0000417: "native code was given an invalid argument",
    0xC0000420: "an assertion in native code failed",
    0x80000003: "native code stopped at a breakpoint (a failed check)",
    0xE06D7363: "an exception in C++ code that nothing caught",
    0xE0434352: "an exception in .NET code that nothing caught",
    0x40010004: "it was ended with the session of Windows",
}
_NO_MEMORY, _INTERRUPTED = frozenset({0xC0000017, 0xC000009A, 0xC000012D}), 0xC000013A

_MAIN = re.compile(
    r"\b_?(?:Array)?MemoryError\b|CPUAllocator|alloc_cpu\.cpp|Unable to allocate [\d.]+ \wi?B"
    r"|Errno 12\]|os error 12\)|Cannot allocate memory|bad_alloc\b|\bbad allocation\b"
    r"|memory allocation of \d+ bytes failed"
    r"|paging file is too small|WinError (?:8|14|1450|1455)\]|os error 1455|Not enough memory resources"
    r"|HostAlloc|cudaHostRegister|HOST_ALLOC\w*_FAILED|OUT_OF_HOST_MEMORY|oom[-_ ]kill|buy new RAM"
    r"|\bOut Of Memory$|not enough main memory|not enough memory for (?:CPU|host)",
    re.MULTILINE,
)
_GPU = re.compile(
    r"OutOfMemory|(?<!run )(?<!runs )(?<!running )(?<!avoid )(?<!prevent )out of (?:device |GPU |video )?memory\b"
    r"|(?:CU[A-Z]+|HIP[A-Z]+|ROC[A-Z]+|ACL)_(?:STATUS_)?ALLOC_FAILED|[a-z]ErrorMemoryAllocation|OUT_OF_(?:DEVICE_)?MEMORY"
    r"|not enough (?:GPU |video |device ){0,3}memory|Invalid buffer size: [\d.]+ \wi?B|Insufficient Memory \("
    r"|RESOURCE_EXHAUSTED|OUT_OF_RESOURCES|OOM when allocating|OOM during training step \d+ times|Allocation on device",
    re.IGNORECASE,
)
_REPORTED = re.compile(
    r"died with <Signals\.(?P<died>\w+)|\bexit ?code ?\s{0,4}: ?(?P<code>-?\d{1,10})\b"
    r"|non-zero exit status (?P<status>-?\d{1,10})|(?:return|exit) code (?:= |is )?(?P<returned>-?\d{1,10})\b"
    r"|[Ss]ignal \d+ \((?P<named>SIG[A-Z]+)|terminated with signal (?P<ended>SIG[A-Z]+)"
    r"|^(?:\S+ line \d+: +\d+ )?(?P<shell>Killed|Segmentation fault|Aborted|Bus error|Illegal instruction)\b"
    r"(?= +\(core dumped\)| {2,}\S|\s*$)",
    re.MULTILINE,
)
_SHELL_WORDS = {
    "Killed": "SIGKILL",
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Illegal instruction": "SIGILL",
}


@dataclass(frozen=True)
class Ending:
    """How a program ended, in words.

    Attributes:
        words: a sentence's end: "it was killed from outside by SIGKILL…"; "" for a plain exit code.
        outside: it did not end by itself.
        interrupted: a person or another program asked for it.
        memory: memory it is known to have lacked.
    """

    words: str = ""
    outside: bool = False
    interrupted: bool = False
    memory: Memory = ""


def ending(exit_code: int | None, signal: int | None, log: str) -> Ending:
    """What is known of the end of a program, else of the end of the one it launched, as its log reports it."""
    found = _ending(exit_code, signal)
    if found.words or exit_code == 0:
        return found
    root = log[max(0, log.rfind("Root Cause")) :]  # elastic's table begins with those it stopped itself
    reported = [_reported(match) for match in _REPORTED.finditer(root)]
    return next((end for end in reversed(reported) if end.words), found)


def memory_of(text: str) -> Memory:
    """Which memory an error says ran out; "" where it says nothing of it."""
    return "main" if _MAIN.search(text) else "gpu" if _GPU.search(text) else ""


def _reported(match: re.Match[str]) -> Ending:
    if name := match["died"] or match["named"] or match["ended"] or _SHELL_WORDS.get(match["shell"] or ""):
        return _signalled(name)
    return _ending(int(match["code"] or match["status"] or match["returned"]), None)


def _ending(code: int | None, signal: int | None) -> Ending:
    if signal is None and code is not None:
        if 128 < code < 160 and code != 130:  # as shells and launchers pass on a signal
            signal = code - 128
        elif -65 < code < 0:
            signal = -code
    if signal is not None:
        return _signalled(_signal_name(signal))
    if code is None or -65 < code < 0x40000000:
        return Ending()
    unsigned = code & 0xFFFFFFFF
    if unsigned not in _WINDOWS and unsigned < 0x80000000:
        return Ending()
    what = _WINDOWS.get(unsigned, "an error of the system")
    words = f"it ended with Windows code 0x{unsigned:08X}: {what}"
    return Ending(words, interrupted=unsigned == _INTERRUPTED, memory="main" if unsigned in _NO_MEMORY else "")


def _signalled(name: str) -> Ending:
    if name not in _ITSELF:
        hint = KILLED_HINT if name == SIGKILL else ""
        return Ending(f"it was killed from outside by {name}{hint}", outside=True, interrupted=name == "SIGINT")
    return Ending(f"it crashed with {name}: {_ITSELF[name]}")


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"
