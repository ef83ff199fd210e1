"""A small stand-in for `bracket.training.worker`: the same messages, but a task's module is the path of a script.

A task whose first argument is "kill the worker" does that; the module "unknown" is refused.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import time
from contextlib import suppress


def main() -> None:
    if "broken" in sys.argv:
        raise ImportError("no module named torch")
    if "slow" in sys.argv:
        time.sleep(100)
    say({"ready": True})
    for line in sys.stdin:
        task = json.loads(line)
        if task["module"] == "unknown":
            say({"id": task["id"], "error": "unknown module"})
            continue
        pid = os.fork()
        if pid == 0:
            run(task)
        with suppress(PermissionError, ProcessLookupError):  # the child did it first
            os.setpgid(pid, pid)
        say({"id": task["id"], "pid": pid})
        if task["args"] == ["kill the worker"]:
            os.kill(os.getpid(), signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        end = {"exit": code, "signal": None} if code >= 0 else {"exit": None, "signal": -code}
        say({"id": task["id"], "pid": pid, **end})


def run(task: dict[str, object]) -> None:
    os.setpgid(0, 0)
    log = os.open(str(task["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(task["env"])  # type: ignore[call-overload]
    os.chdir(str(task["cwd"]))
    sys.argv = [str(task["module"]), *task["args"]]  # type: ignore[misc]
    code = 1
    try:
        runpy.run_path(str(task["module"]), run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    finally:
        sys.stdout.flush()
        os._exit(code)


def say(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
