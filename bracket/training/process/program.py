"""The edge of each program: exit codes, errors as one sentence, threads."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from enum import IntEnum

from bracket.errors import BracketError, StorageError


class Exit(IntEnum):
    """Exit codes (docs/contracts.md)."""

    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    DIVERGED = 3
    OUT_OF_MEMORY = 4
    STOPPED = 130


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def limit_threads() -> None:
    """One passive OpenMP thread unless the caller chose otherwise. Call it before torch is imported.

    Spinning threads make a small model 5 to 50 times slower on a busy machine, and a GPU's trainer needs none.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def run(body: Callable[[], Exit]) -> int:
    """Run a program's body; what goes wrong on purpose becomes one sentence on stderr and an exit code.

    Anything unforeseen keeps its traceback: it is a fault of ours and the log must show where.
    """
    try:
        return int(body())
    except StorageError as error:
        return _tell(str(error), Exit.FAILED)
    except BracketError as error:
        return _tell(str(error), Exit.BAD_INPUT)
    except KeyboardInterrupt:
        return _tell("Stopped", Exit.STOPPED)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _tell(f"The disk is full ({error.filename or os.getcwd()}). Free some space.", Exit.FAILED)
        raise
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            first_line = str(error).partition("\n")[0]
            return _tell(f"Out of memory: {first_line or type(error).__name__}", Exit.OUT_OF_MEMORY)
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """True for Python's MemoryError and for what torch raises when a device or the machine has no memory left."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def _tell(message: str, code: Exit) -> int:
    print(message, file=sys.stderr, flush=True)
    return int(code)
