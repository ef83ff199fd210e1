"""Starting, stopping and never leaving anything behind, with real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bracket.domain import Round, Trial
from bracket.errors import StorageError, TrainerError
from bracket.runner.processes import guard
from bracket.runner.processes.guard import LOG_HEAD, LOG_TAIL
from bracket.runner.processes.launched import exit_files, read_exit, start, sweep, sweep_orphans, write_command_sh
from bracket.runner.reading.bars import LogBars
from bracket.runner.reading.tail import LogTail
from tests.runner.help import Program, marked, until, with_bracket

# Starts a child in a session of its own, and a grandchild that a dead parent left to init.
FAMILY = """
import os, subprocess, sys, time
nap = [sys.executable, "-S", "-c", "import time; time.sleep(100)"]
subprocess.Popen(nap, start_new_session=True)
if os.fork() == 0:
    os.setsid()
    subprocess.Popen(nap)
    os._exit(0)
open("ready", "w").close()
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, lambda *_: print("interrupt ignored", flush=True))
signal.signal(signal.SIGTERM, lambda *_: print("terminate ignored", flush=True))
open("ready", "w").close()
while True:
    time.sleep(1)
"""


def test_records_the_exit_code_and_writes_the_log(program: Program) -> None:
    launch = program("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    end = start(launch).wait(30)
    assert end is not None
    assert (end.code, end.signal) == (7, None)
    assert launch.log.read_text().split() == ["out", "err"]
    assert read_exit(exit_files(launch)[0]) == end
    assert json.loads(exit_files(launch)[0].read_text())["code"] == 7


def test_records_the_signal(program: Program) -> None:
    end = start(program("import os; os.kill(os.getpid(), 11)")).wait(30)
    assert end is not None
    assert (end.code, end.signal) == (None, signal.SIGSEGV)


FLOOD = """
import os
block = b"".join(b"%08d a line of a flood\\n" % n for n in range(10_000))
for _ in range(400):
    os.write(1, block)
os.write(2, b"ValueError: the end\\n")
os._exit(3)
"""


def test_a_log_that_is_cut_again_says_all_that_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LOG_HEAD", 4)
    monkeypatch.setattr(guard, "LOG_TAIL", 8)
    log = tmp_path / "log"
    log.write_bytes(b"head" + b"x" * 3000 + b"the tail")
    assert guard.cut_log(str(log), 0) == 3000
    note = "head\n[bracket left out {} bytes of this log here]\n{}"
    assert log.read_text() == note.format("3,000", "the tail")
    with log.open("a") as file:
        file.write("y" * 10 + "next end")
    assert guard.cut_log(str(log), 3000) == 3000 + len("the tail") + 10
    assert log.read_text() == note.format("3,018", "next end")


@pytest.mark.slow
def test_a_flood_leaves_a_log_with_both_ends_that_says_what_it_lacks(program: Program) -> None:
    """108 MB; the app follows the log meanwhile."""
    launch = program("print('the beginning', flush=True)\n" + FLOOD)
    process, tail, bars, largest, shown = start(launch), LogTail(launch.log), LogBars(launch.log), 0, ""
    while process.poll() is None:
        time.sleep(0.01)
        shown = (shown + tail.read_new())[-1000:]
        bars.read_new()
        largest = max(largest, launch.log.stat().st_size)
    end = process.poll()
    assert end is not None and end.code == 3
    log = launch.log.read_bytes()
    assert largest < 1.1 * (LOG_HEAD + 2 * LOG_TAIL) and len(log) >= LOG_HEAD + LOG_TAIL
    assert log.startswith(b"the beginning\n00000000 a line") and log.endswith(b"ValueError: the end\n")
    (note,) = re.findall(rb"\n\[bracket left out ([\d,]+) bytes of this log here\]\n", log)
    kept = len(log) - len(b"\n[bracket left out  bytes of this log here]\n") - len(note)
    assert int(note.replace(b",", b"")) + kept == 400 * 10_000 * 27 + len(b"the beginning\nValueError: the end\n")
    assert (shown + tail.read_new()).endswith("ValueError: the end\n")


def test_every_trial_of_a_launch_gets_the_record(program: Program, tmp_path: Path) -> None:
    trials = tuple(
        Trial(name, Round.SEARCH, "tpe", {}, seed=1, steps=1, folder=tmp_path / name)
        for name in ("search-1", "search-2")
    )
    launch = replace(program("pass"), trials=trials)
    start(launch).wait(30)
    assert [json.loads((trial.folder / "exit.json").read_text())["code"] for trial in trials] == [0, 0]


def test_an_old_record_is_gone_as_soon_as_the_launch_starts(program: Program) -> None:
    launch = program("import time; time.sleep(100)")
    record = exit_files(launch)[0]
    record.parent.mkdir()
    record.write_text('{"code": 0, "signal": null, "ended": 1}')
    process = start(launch)
    assert not record.exists()
    assert process.alive
    process.stop(0)
    process.wait(30)


def test_runs_go_on_in_one_log(program: Program) -> None:
    launch = program("print('once')")
    start(launch).wait(30)
    start(launch).wait(30)
    assert launch.log.read_text() == "once\nonce\n"


def test_launches_see_bracket_settings_and_their_own(program: Program) -> None:
    launch = program("import os; print(os.environ['COLUMNS'], os.environ['A'])", env={"A": "x y", "COLUMNS": "99"})
    start(launch).wait(30)
    assert launch.log.read_text() == "99 x y\n"


def test_an_interrupt_lets_the_command_clean_up(program: Program, tmp_path: Path) -> None:
    launch = program("""
import sys, time
open("ready", "w").close()
try:
    time.sleep(100)
except KeyboardInterrupt:
    print("saved", flush=True)
    sys.exit(130)
""")
    process = start(launch)
    until((tmp_path / "ready").exists)
    process.stop(10)
    end = process.wait(30)
    assert end is not None
    assert end.code == 130
    assert launch.log.read_text() == "saved\n"


def test_the_ladder_ends_a_command_that_ignores_everything(program: Program, tmp_path: Path) -> None:
    launch = program(STUBBORN)
    process = start(launch)
    until((tmp_path / "ready").exists)
    process.stop(0.2)
    end = process.wait(30)
    assert end is not None
    assert end.signal == signal.SIGKILL
    assert launch.log.read_text().splitlines() == ["interrupt ignored", "terminate ignored"]


def test_a_second_stop_shortens_the_first(program: Program, tmp_path: Path) -> None:
    process = start(program(STUBBORN))
    until((tmp_path / "ready").exists)
    process.stop(60)
    time.sleep(0.1)
    assert process.alive
    process.stop(0)
    assert process.wait(30) is not None


def test_an_interrupt_ignored_by_bracket_still_reaches_the_command(tmp_path: Path) -> None:
    """As under nohup, where SIGINT is ignored and children inherit that."""
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(f"""
        import signal, sys, time
        from pathlib import Path
        from bracket.domain import Launch
        from bracket.runner.processes.launched import start
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        here = Path({str(tmp_path)!r})
        argv = (sys.executable, "-S", "-c", "import time; open('ready', 'w'); time.sleep(100)")
        process = start(Launch((), argv, here, here / "launch.log"))
        while not (here / "ready").exists():
            time.sleep(0.01)
        process.stop(60)
        assert process.wait(30).signal == signal.SIGINT
        """)
    )
    subprocess.run([sys.executable, str(script)], check=True, env=with_bracket(), timeout=20)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper")
def test_a_finished_command_leaves_no_children(program: Program) -> None:
    launch = program(FAMILY)
    end = start(launch).wait(30)
    assert end is not None
    assert end.code == 0
    assert marked(launch.log) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper")
def test_a_stop_takes_along_who_left_the_group(program: Program, tmp_path: Path) -> None:
    launch = program(FAMILY + "time.sleep(100)")
    process = start(launch)
    until(lambda: (tmp_path / "ready").exists() and len(marked(launch.log)) >= 4)
    process.stop(30)
    assert process.wait(30) is not None, "who never got the interrupt isn't waited for"
    assert marked(launch.log) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper")
@pytest.mark.parametrize("ending", [FAMILY + "time.sleep(100)", FAMILY + STUBBORN])
def test_nothing_survives_when_bracket_is_killed(tmp_path: Path, ending: str) -> None:
    (tmp_path / "program.py").write_text(ending)
    parent = tmp_path / "parent.py"
    parent.write_text(
        textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from bracket.domain import Launch
        from bracket.runner.processes.launched import start
        here = Path({str(tmp_path)!r})
        process = start(Launch((), (sys.executable, "-S", "program.py"), here, here / "launch.log"))
        time.sleep(100)
        """)
    )
    bracket = subprocess.Popen([sys.executable, str(parent)], env=with_bracket())
    log = tmp_path / "launch.log"
    until(lambda: (tmp_path / "ready").exists() and len(marked(log)) >= 4)
    bracket.kill()
    bracket.wait()
    until(lambda: not marked(log), seconds=5)
    assert read_exit(log.with_suffix(".exit.json")) is not None, "the end is on disk, though bracket didn't see it"


@pytest.mark.skipif(sys.platform != "linux", reason="needs parent-death signals")
def test_nothing_survives_when_the_guard_is_killed(program: Program, tmp_path: Path) -> None:
    launch = program(FAMILY + "time.sleep(100)")
    process = start(launch)
    until(lambda: (tmp_path / "ready").exists() and len(marked(launch.log)) >= 4)
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not process.alive)
    end = process.poll()
    assert end is not None
    assert (end.code, end.signal) == (None, None)
    assert marked(launch.log) == []


def test_a_launch_ends_what_its_earlier_run_left(program: Program, tmp_path: Path) -> None:
    """Guard and bracket both killed -9 leave a command's children; the next start of the launch finds them."""
    launch = program("pass")
    mark = {**os.environ, "BRACKET_LAUNCH": str(launch.log)}
    orphan = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(100)"], env=mark)
    start(launch).wait(30)
    assert orphan.wait(30) == -signal.SIGKILL
    assert sweep(str(launch.log)) == 0


def test_whichever_bracket_starts_next_ends_what_lost_its_guard(program: Program, tmp_path: Path) -> None:
    """Not what a living guard watches, whoever started that guard."""
    guarded = start(program("import time; open('ready', 'w').close(); time.sleep(100)"))
    until(lambda: (tmp_path / "ready").exists())
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    lost = {**os.environ, "BRACKET_GUARD": str(gone.pid)}
    orphan = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(100)"], env=lost)
    until(lambda: psutil.Process(orphan.pid).environ().get("BRACKET_GUARD") == str(gone.pid))
    assert sweep_orphans() == 1
    assert orphan.wait(30) == -signal.SIGKILL
    assert guarded.alive and sweep_orphans() == 0
    guarded.stop(0)


def test_losing_the_process_object_stops_the_launch(program: Program, tmp_path: Path) -> None:
    launch = program("import time; open('ready', 'w').close(); time.sleep(100)")
    process = start(launch)
    until((tmp_path / "ready").exists)
    guard = process._popen
    assert guard.stdin is not None
    guard.stdin.close()
    guard.wait(30)
    assert read_exit(exit_files(launch)[0]) is not None


def test_a_missing_program_is_told_with_its_path(program: Program, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="no/such/python"):
        start(replace(program("pass"), argv=("no/such/python", "train.py")))
    with pytest.raises(TrainerError, match="working folder is missing"):
        start(replace(program("pass"), cwd=tmp_path / "gone"))


def test_a_log_that_cannot_be_written_is_told(program: Program, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="can't be started"):
        start(replace(program("pass"), log=tmp_path / "file" / "launch.log"))


def test_a_program_that_cannot_start_says_so_in_the_log(program: Program, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    launch = replace(program("pass"), argv=(str(broken),))
    end = start(launch).wait(30)
    assert end is not None
    assert end.code == 127
    assert "can't be started" in launch.log.read_text()


def test_command_sh_runs_the_same_by_hand(program: Program, tmp_path: Path) -> None:
    awkward = 'it\'s $HOME "quoted"; \\ * ü\nsecond line'
    launch = program("import os, sys; print(repr(sys.argv[1]), repr(os.environ['A']), os.getcwd())", awkward)
    launch = replace(launch, env={"A": awkward})
    script = write_command_sh(tmp_path / "trial" / "command.sh", launch)
    by_hand = subprocess.run([str(script)], capture_output=True, text=True, check=True).stdout
    start(launch).wait(30)
    assert by_hand == launch.log.read_text() == f"{awkward!r} {awkward!r} {tmp_path}\n"
