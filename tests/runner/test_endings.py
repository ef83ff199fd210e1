# ruff: noqa: E501 (lines of logs)
"""How a log can end and what must be said of it: 52 endings kept as files, and more of every kind here."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bracket.domain import Outcome
from bracket.runner.reading.bars import LogBars
from bracket.runner.reading.blocks import Found
from bracket.runner.reading.outcome import classify, main_memory
from bracket.runner.reading.signs import Signs, read_signs
from bracket.runner.reading.tail import LogTail, last_lines
from tests.benchmarks.bench_runner import read_endless
from tests.runner.excerpts import ACCELERATE, GOOD_BAR

FOLDER = Path(__file__).parents[1] / "data" / "log-endings"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
CRASHED, MEMORY, STOPPED, MELTED = Outcome.CRASHED, Outcome.OUT_OF_MEMORY, Outcome.STOPPED, Outcome.DIVERGED
HINT = "when memory (RAM) runs out"


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_kept_ending(name: str) -> None:
    """Its words stand in the first line, which is all that a card has room for."""
    expected = EXPECTED[name]
    log = (FOLDER / f"{name}.log").read_text()
    outcome, why = classify(expected["exit_code"], log, False, False, signal=expected["signal"])
    assert outcome == expected["outcome"]
    assert expected["says"] in why.partition("\n")[0]
    assert "%|" not in why.partition("\n")[0], "a progress bar is no reason"
    note = expected.get("note", "")
    if "from outside" in note:
        assert "from outside" not in why
    if "hint about main memory" in note:
        assert HINT in why
    assert main_memory(why) is (note.startswith("main memory") or name in ("M_host_pinned", "M_cudnn_host_alloc"))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("L01_rich_box", "ModuleNotFoundError: No module named 'lycoris'"),
        ("L04_exception_ignored_after", "OSError: [Errno 28] No space left on device: '/data/out/ckpt'"),
        (
            "L16_gated",
            "OSError: You are trying to access a gated repo. (black-forest-labs/FLUX.1-dev)",
        ),
        (
            "L19_bnb_runtime_block",
            "RuntimeError: CUDA Setup failed despite GPU being available. Please run the following command to get more "
            "information:",
        ),
        ("L46_empty_assert_with_context", "AssertionError: min_bucket_reso must be equal or less than resolution"),
    ],
)
def test_the_useful_line_of_a_kept_ending(name: str, first: str) -> None:
    code = EXPECTED[name]["exit_code"]
    assert classify(code, (FOLDER / f"{name}.log").read_text(), False, False)[1].partition("\n")[0] == first


def raised(error: str, *frames: str) -> str:
    where = "".join(f'  File "{file}", line 7, in main\n    call()\n' for file in frames or ("/w/sd/train.py",))
    return f"Traceback (most recent call last):\n{where}{error}\n"


CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"
TRITON = "A matching Triton is not available, some optimizations will not be enabled\n" + raised(
    "ModuleNotFoundError: No module named 'triton'", "/v/xformers/__init__.py"
)
PRINTED = raised("ModuleNotFoundError: No module named 'triton'", "/v/xformers/__init__.py")
STEPS = (
    "steps:   1%|▏| 1/90 [00:02<01:00, 2.5s/it, avr_loss=0.1]\rsteps:   3%|▎| 3/90 [00:05<01:00, 2.5s/it, avr_loss=0.1]"
)
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 23 GiB"
BOX = """\
╭──────────────────── Traceback (most recent call last) ─────────────────────╮
│ /w/sd/train.py:76 in <module>                                              │
│ ❱ 76 │   train(args)                                                       │
╰────────────────────────────────────────────────────────────────────────────╯
"""
CALLED = f"subprocess.CalledProcessError: Command '['python', '{'x' * 900}']' returned non-zero exit status"
ENDINGS: list[tuple[str, int | None, int | None, str, Outcome, str]] = [
    # What was handled, and the run went on
    ("triton, then killed", None, 9, TRITON + "loading\n", CRASHED, "SIGKILL"),
    ("triton, then a refusal", 2, None, TRITON + "train.py: error: the following arguments are required: --x\n",
     CRASHED, "are required: --x"),
    ("triton, then an error logged", 1, None, TRITON + "INFO:a:go\nERROR:a:No data found\n", CRASHED, "No data found"),
    ("triton, then another", 1, None, PRINTED + raised("ValueError: no bf16 here"), CRASHED, "ValueError: no bf16"),
    ("triton, then a sentence", 1, None, PRINTED + STEPS + "\nnothing to train\n", CRASHED, "nothing to train"),
    ("records follow", 1, None, PRINTED + "INFO:a:loading model\nINFO:a:preparing\nno VAE\n", CRASHED, "no VAE"),
    ("a sample failed, then it went on", None, 11, raised(OOM) + STEPS + "\n", CRASHED, "SIGSEGV"),
    ("a bar only closes", 1, None, f"{STEPS}\n{raised('KeyError: 7')}steps:   4%|▍| 4/90 [00:09<01:00, 2.5s/it]\n",
     CRASHED, "KeyError: 7"),
    ("a logging error", 1, None, "--- Logging error ---\n" + raised("UnicodeEncodeError: 'cp932' codec can't encode")
     + "Call stack:\n  File \"a.py\", line 3\nMessage: 'x'\nArguments: ()\n" + raised("ValueError: wrong width"),
     CRASHED, "wrong width"),
    ("a warning before it", 1, None, "a.py:3: FutureWarning: old\n  warnings.warn(\n" + raised("KeyError: 7"), CRASHED, "KeyError: 7"),
    ("a word of skipping before it", 1, None, "WARNING:a:3 images skipped\n" + raised("KeyError: 7"), CRASHED, "KeyError: 7"),
    ("deepspeed's launcher after it", 1, None, raised("KeyError: 7") + "[2025-01-01 10:00:00,123] [INFO] [launch.py:319:sigkill_handler] "
     "Killing subprocess 7\n" * 4, CRASHED, "KeyError: 7"),
    ("much after it, and nothing else", 1, None, raised("KeyError: 7") + "".join(f"summary {n}\n" for n in range(30)), CRASHED, "KeyError: 7"),
    ("memory in doubt", None, 11, raised(OOM) + "".join(f"sample {n} drawn\n" for n in range(30)), CRASHED, "SIGSEGV"),
    ("an import that matters", 1, None, "xformers is not available\n" + raised("ImportError: no xformers"), CRASHED, "no xformers"),
    ("what looks like an error", 1, None, "python: 3.11.9\nepoch 3: error: 0.12\nchoose an optimizer\n", CRASHED, "choose an optimizer"),
    # What only cleans up
    ("ignored", 1, None, raised("ValueError: bad caption") + "Exception ignored in: <function A.__del__ at 0x7f>\n"
     + raised("AttributeError: 'A' object has no attribute 'x'"), CRASHED, "bad caption"),
    ("at exit", 1, None, raised("ValueError: bad caption") + "Error in atexit._run_exitfuncs:\n"
     + raised("RuntimeError: can't start new thread at interpreter shutdown"), CRASHED, "bad caption"),
    ("the lock of stdout", None, 6, raised("ValueError: bad caption")
     + "Fatal Python error: _enter_buffered_busy: could not acquire lock for <_io.BufferedWriter name='<stdout>'> at "
     "interpreter shutdown, possibly due to daemon threads\nPython runtime state: finalizing\n", CRASHED, "bad caption"),
    ("no active exception", None, 6, raised("KeyError: 'te'") + "terminate called without an active exception\n",
     CRASHED, "KeyError: 'te'"),
    ("a peer goes", 1, None, raised("ValueError: bad caption") + raised("BrokenPipeError: [Errno 32] Broken pipe"),
     CRASHED, "bad caption"),
    ("a worker before", 1, None, "Exception in thread Thread-3 (load):\n" + raised("OSError: broken data stream: 7.png")
     + raised("RuntimeError: Pin memory thread exited unexpectedly"), CRASHED, "7.png"),
    ("a thread alone", 1, None, "Exception in thread Thread-3:\n" + raised("KeyError: 'x'"), CRASHED, "KeyError: 'x'"),
    ("a child, then its pipe", 1, None, "Process SpawnProcess-1:\n" + raised("ValueError: no such bucket")
     + raised("EOFError"), CRASHED, "no such bucket"),
    # Launchers
    ("a long command", 1, None, "nothing to train\n" + raised(f"{CALLED} 1.", "/v/accelerate/launch.py"),
     CRASHED, "nothing to train"),
    ("a compiler", 1, None, "main.c:12:10: fatal error: Python.h: No such file or directory\n"
     + raised("subprocess.CalledProcessError: Command '['gcc']' returned non-zero exit status 1.", "/v/triton/build.py"),
     CRASHED, "Python.h"),
    ("deepspeed", 1, None, "[2025-01-01 10:00:00,123] [ERROR] [launch.py:321:sigkill_handler] ['python', 't.py'] exits "
     "with return code = -9\n", CRASHED, HINT),
    ("a rank, with others stopped", 1, None, raised("ValueError: bad caption") + "W0902 00:42:50.2 133 torch/distributed"
     "/elastic/multiprocessing/api.py:858] Sending process 3788 closing signal SIGTERM\n" + raised(
     "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ") + "====\nt.py FAILED\n----\nRoot Cause:\n"
     "  exitcode  : 1 (pid: 3)\n", CRASHED, "bad caption"),
    ("elastic's own traceback", 1, None, raised("torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ")
     + "====\nRoot Cause:\n  exitcode  : 1 (pid: 3)\n  traceback : Traceback (most recent call last):\n"
     '    File "/w/t.py", line 3, in main\n      go()\n  RuntimeError: no such width\n  \n====\n', CRASHED, "no such width"),
    ("elastic, from Windows", 1, None, "  exitcode  : 3221225477 (pid: 3)\n", CRASHED, "access violation"),
    ("spawned", 1, None, "torch.multiprocessing.spawn.ProcessRaisedException: \n\n-- Process 0 terminated with the "
     "following error:\n" + raised("ValueError: bad caption"), CRASHED, "bad caption"),
    ("spawned and killed", 1, None, raised("torch.multiprocessing.spawn.ProcessExitedException: process 0 terminated "
     "with signal SIGKILL"), CRASHED, HINT),
    ("a shell", 137, None, "./train.sh: line 3: 12345 Killed                  python train.py\n", CRASHED, HINT),
    ("a shell's segmentation fault", 1, None, "loading\nSegmentation fault (core dumped)\n", CRASHED, "SIGSEGV"),
    ("ranks before the lines", 1, None, "".join(f"[rank1]: {line}\n" for line in raised("KeyError: 1").splitlines()),
     CRASHED, "KeyError: 1"),
    # Chains
    ("who catches says more", 1, None, raised("KeyError: 'lora'") + DURING + raised("RuntimeError: no LoRA in a.sft"),
     CRASHED, "no LoRA in a.sft"),
    ("who is caught says more", 1, None, raised("RuntimeError: shapes 4x3 and 5x3") + DURING
     + raised("AttributeError: 'NoneType' object has no attribute 'close'"), CRASHED, "shapes 4x3"),
    ("memory behind a wrapper", 1, None, raised(OOM) + CAUSE + raised("RuntimeError: training failed"), MEMORY, OOM[:40]),
    ("a full disk behind torch's words", 1, None, raised("RuntimeError: PytorchStreamWriter failed writing file data/9: "
     "file write failed") + DURING + raised("RuntimeError: [enforce fail at inline_container.cc:603] . unexpected pos 64 "
     "vs 0"), CRASHED, "failed writing file"),
    ("a worker's original", 1, None, raised("RuntimeError: Caught OSError in DataLoader worker process 0.") + "Original "
     + raised("OSError: image file is truncated: 7.png"), CRASHED, "7.png"),
    ("a pool's original", 1, None, 'multiprocessing.pool.RemoteTraceback: \n"""\n' + raised("KeyError: 'size'") + '"""\n'
     + CAUSE + raised("KeyError: 'size'"), CRASHED, "KeyError: 'size'"),
    ("a pool that broke", 1, None, raised("concurrent.futures.process.BrokenProcessPool: A process in the process pool "
     "was terminated abruptly while the future was running or pending."), CRASHED, "terminated abruptly"),
    # Messages
    ("an empty assertion", 1, None, 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n'
     "    assert width % 8 == 0\nAssertionError\n", CRASHED, "AssertionError: assert width % 8 == 0"),
    ("a lazy import", 1, None, raised("RuntimeError: Failed to import transformers.models.t5 because of the following "
     "error (look up to see its traceback):\nNo module named 'sentencepiece'"), CRASHED, "sentencepiece"),
    ("dynamo", 1, None, raised("torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:\nRuntimeError: "
     "Cannot find a working triton installation."), CRASHED, "working triton"),
    ("NCCL's last error", 1, None, raised("torch.distributed.DistBackendError: NCCL error in: x.hpp:3, unhandled system "
     "error\nncclSystemError: System call failed.\nLast error:\nConnect to 10.0.0.2<40> failed : Connection refused"),
     CRASHED, "Connection refused"),
    ("NCCL's last error, which looks like one of its own", 1, None, raised("torch.distributed.DistBackendError: NCCL error in: x.hpp:3\nLast "
     "error:\nError while creating shared memory segment /dev/shm/nccl-x (size 9637888)"), CRASHED, "/dev/shm/nccl-x"),
    ("no words behind its name", 1, None, "RuntimeError: \n        An attempt has been made to start\n", CRASHED, "RuntimeError: An attempt"),
    ("no header", 1, None, '    loss.backward()\n  File "/v/torch/_tensor.py", line 3, in backward\n    x()\n'
     "RuntimeError: element 0 of tensors does not require grad\n", CRASHED, "does not require grad"),
    ("a bar within", 1, None, 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n'
     "steps:   4%|▍| 4/90 [00:09<01:00, 2.5s/it]\n    g()\nKeyError: 'x'\n", CRASHED, "KeyError: 'x'"),
    ("a bar behind", 1, None, raised("ValueError: bad caption steps:   4%|▍| 4/90 [00:09<01:00, 2.5s/it]"),
     CRASHED, "ValueError: bad caption"),
    ("a box", 1, None, BOX + "ValueError: a long sentence that rich breaks at the width of its box, which is\nno end\n",
     CRASHED, "which is no end"),
    ("typer's box", 2, None, "Usage: t [OPTIONS]\n╭─ Error ─────────────────────╮\n│ No such option: --foo       │\n"
     "╰─────────────────────────────╯\n", CRASHED, "No such option: --foo"),
    ("an exception named only", 1, None, "FileNotFoundError: [Errno 2] No such file or directory: 'ae.sft'\n",
     CRASHED, "ae.sft"),
    ("groups in groups", 1, None, "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1\n"
     "  | ExceptionGroup: a (1 sub-exception)\n  +-+---------------- 1 ----------------\n    | Exception Group Traceback "
     "(most recent call last):\n    |   File \"a.py\", line 2\n    | ExceptionGroup: b (1 sub-exception)\n    +-+-------- 1 "
     "--------\n      | Traceback (most recent call last):\n      |   File \"a.py\", line 3\n      | KeyError: 'deep'\n"
     "      +----------\n", CRASHED, "KeyError: 'deep'"),
    # Logged errors and sentences
    ("a dated record", 1, None, "2025-01-01 10:00:00,123 - trainer - ERROR - no such model\n", CRASHED, "no such model"),
    ("loguru", 1, None, "2025-01-01 10:00:00.123 | ERROR    | a.b:main:12 - no such model\n", CRASHED, "no such model"),
    ("a bracketed level", 1, None, "[2025-01-01 10:00:00] [ERROR] no such model\n", CRASHED, "no such model"),
    ("AI-Toolkit's", 1, None, "Error running job: no such model\n\n====\nResult:\n - 0 completed jobs\n - 1 failure\n",
     CRASHED, "no such model"),
    ("long ago", 1, None, "ERROR:a:wandb is not installed\n" + STEPS + "\nno checkpoint to resume from\n",
     CRASHED, "no checkpoint to resume from"),
    ("one sentence", 1, None, "loading\nPlease choose an optimizer.\n" + STEPS, CRASHED, "Please choose an optimizer."),
    ("only a bar", 1, None, STEPS, CRASHED, "exit code 1"),
    ("nothing", 1, None, "", CRASHED, "exit code 1"),
    ("nothing and no failure", 0, None, "", CRASHED, "exit code 0 but left no checkpoint"),
    ("a sentence and no failure", 0, None, "0 images found\n", CRASHED, "0 images found"),
    ("no such program", 127, None, "bash: accelerate: command not found\n", CRASHED, "accelerate: command not found"),
    ("no such module", 1, None, "/v/bin/python: No module named accelerate\n", CRASHED, "No module named accelerate"),
    ("no such script", 2, None, "python: can't open file '/w/x.py': [Errno 2] No such file\n", CRASHED, "/w/x.py"),
    ("no such library", 127, None, "python: error while loading shared libraries: libpython3.so: cannot open\n",
     CRASHED, "libpython3.so"),
    ("not in the path of Windows", 1, None, "'accelerate' is not recognized as an internal or external command,\n"
     "operable program or batch file.\n", CRASHED, "'accelerate' is not recognized"),
    # Native code
    ("two OpenMPs", 3, None, "OMP: Error #15: Initializing libiomp5md.dll, but found libiomp5md.dll already initialized.\n"
     "OMP: Hint This means that multiple copies\n", CRASHED, "libiomp5md.dll"),
    ("a Mac", None, 6, "libc++abi: terminating due to uncaught exception of type c10::Error: no kernel image\n",
     CRASHED, "no kernel image"),
    ("Rust", 101, None, "thread '<unnamed>' panicked at src/lib.rs:12:5:\nindex out of bounds: the len is 3\n",
     CRASHED, "index out of bounds"),
    ("glibc", None, 6, "free(): invalid pointer\n", CRASHED, "invalid pointer"),
    ("an assertion of C", None, 6, "python: ../a.cpp:12: f: Assertion `x > 0' failed.\n", CRASHED, "Assertion `x > 0'"),
    ("a kernel's assertion alone", None, 6, "../a.cu:12: f: block: [0,0,0], thread: [1,0,0] Assertion `t < n` failed.\n"
     "terminate called after throwing an instance of 'c10::Error'\n  what():  CUDA error: device-side assert triggered\n",
     CRASHED, "Assertion `t < n`"),
    ("Windows itself goes on", 1, None, "Windows fatal exception: code 0x8001010d\n\n" + raised("KeyError: 'x'"),
     CRASHED, "KeyError: 'x'"),
    ("Windows faults", -1073741819, None, "Windows fatal exception: access violation\n\nCurrent thread 0x01 (most recent "
     'call first):\n  File "C:\\a.py", line 3 in f\n', CRASHED, "access violation"),
    ("a bus error", None, 7, "loading\n", CRASHED, "SIGBUS"),
    ("a code of Windows", -1073740791, None, "", CRASHED, "0xC0000409"),
    ("a DLL", 3221225781, None, "", CRASHED, "a library (DLL) is missing"),
    ("a window closed", 3221225786, None, "", STOPPED, "interrupted"),
    ("no main memory under Windows", 3221225773, None, "", MEMORY, "not enough main memory"),
    ("Ctrl+C", 1, None, raised("KeyboardInterrupt") + raised("KeyboardInterrupt", "/v/accelerate/launch.py"),
     STOPPED, "interrupted"),
    # The hub
    ("no such repository", 1, None, raised("huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request "
     "ID: Root=1-a)\n\nRepository Not Found for url: https://huggingface.co/api/models/me/flux.\nPlease make sure"),
     CRASHED, "me/flux"),
    ("no such file", 1, None, raised("huggingface_hub.errors.EntryNotFoundError: 404 Client Error. (Request ID: R)\n\n"
     "Entry Not Found for url: https://huggingface.co/me/flux/resolve/main/ae.sft."), CRASHED, "resolve/main/ae.sft"),
    ("offline", 1, None, raised("requests.exceptions.ConnectionError: (MaxRetryError('Max retries exceeded with url: /me/"
     "flux/resolve/main/config.json'))") + CAUSE + raised("huggingface_hub.errors.LocalEntryNotFoundError: An error "
     "happened while trying to locate the file on the Hub and we cannot find the requested files in the local cache."),
     CRASHED, "me/flux"),
    ("a folder that isn't there", 1, None, raised("huggingface_hub.errors.HFValidationError: Repo id must be in the form "
     "'repo_name' or 'namespace/repo_name': '/data/models/x'."), CRASHED, "'/data/models/x'"),
    ("a broken file", 1, None, raised("safetensors_rust.SafetensorError: Error while deserializing header: "
     "HeaderTooLarge"), CRASHED, "HeaderTooLarge"),
    # Memory, and what only sounds like it
    ("bad_alloc", None, 6, "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n",
     MEMORY, "bad_alloc"),
    ("Rust's memory", None, 6, "memory allocation of 123456789 bytes failed\nAborted (core dumped)\n", MEMORY, "123456789"),
    ("slurm", 137, None, "slurmstepd: error: Detected 1 oom_kill event in StepId=1.0. Some of the step tasks have been OOM "
     "Killed.\n", MEMORY, "oom_kill"),
    ("mmap", 1, None, raised("RuntimeError: unable to mmap 123 bytes from file </a.sft>: Cannot allocate memory (12)"),
     MEMORY, "unable to mmap"),
    ("XPU", 1, None, raised("torch.OutOfMemoryError: XPU out of memory. Tried to allocate 2 GiB"), MEMORY, "XPU"),
    ("Metal", 1, None, raised("RuntimeError: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"),
     MEMORY, "Insufficient Memory"),
    ("a sentence of memory", 1, None, "CUDA out of memory. Tried to allocate 2 GiB\n", MEMORY, "CUDA out of memory"),
    ("memory, handled", 1, None, raised(OOM) + STEPS + "\n" + raised("ValueError: bad caption"), CRASHED, "bad caption"),
    ("memory in a prompt", 1, None, "prompt: a robot out of memory\n" + raised("KeyError: 'x'"), CRASHED, "KeyError: 'x'"),
    ("memory in advice", 1, None, raised("ValueError: batch_size must be 1, or you may run out of memory"), CRASHED, "must"),
    ("shared memory of a kernel", 1, None, raised("triton.runtime.errors.OutOfResources: out of resource: shared memory, "
     "Required: 147456, Hardware limit: 101376."), CRASHED, "shared memory"),
    ("/dev/shm", 1, None, raised("RuntimeError: unable to write to file </torch_1_2>: No space left on device (28)"),
     CRASHED, "No space left"),
    ("memory in the log of a code 3", 3, None, "Diverged: the loss is nan at step 12\n", MELTED, "no longer a finite"),
    ("a loss that a trainer refuses", 1, None, raised("ValueError: Loss is NaN at step 12, stopping"), MELTED, "step 12"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "signal", "log", "outcome", "says"), [pytest.param(*row[1:], id=row[0]) for row in ENDINGS]
)
@pytest.mark.parametrize("launched", [False, True], ids=["", "launched"])
def test_an_ending(code: int | None, signal: int | None, log: str, outcome: Outcome, says: str, launched: bool) -> None:
    """The useful line is the first; a launcher's remark after it changes nothing."""
    found, why = classify(code, log + (ACCELERATE if launched and code == 1 else ""), False, False, signal=signal)
    assert found is outcome, why
    assert says in why.partition("\n")[0], why
    assert "%|" not in why.partition("\n")[0] and "CalledProcess" not in why


BEFORE = [TRITON, PRINTED + "@BAR\n", "INFO:a:loading\n", "a.py:3: FutureWarning: old\n  warnings.warn(\n", "@BAR\n", "Result: fine\n",
          "ERROR:a:no caption for 3.png\n@BAR\n", "2025-01-01 10:00:00,123 - a - INFO - go\n", raised(OOM) + "@BAR\n"]  # fmt: skip
AFTER = [
    "Exception ignored in: <function A.__del__ at 0x7f>\n" + raised("AttributeError: 'A' object has no attribute 'x'"),
    "Exception in thread Thread-4 (_pin_memory_loop):\n" + raised("ConnectionResetError: [Errno 104] Connection reset by peer"),
    "Error in atexit._run_exitfuncs:\n" + raised("RuntimeError: at exit"),
    raised("KeyError: '/psm_1d7d'", "/usr/lib/python3.11/multiprocessing/resource_tracker.py"),
    "/r.py:254: UserWarning: resource_tracker: There appear to be 1 leaked semaphore\n  warnings.warn('resource_tracker: %d '\n",
    "wandb: \nwandb: Run history:\nwandb: loss ▁▂▃\n",
    "steps:  98%|▉| 88/90 [00:09<01:00, 2.5s/it]\n",
    "\n========================================\nResult:\n - 0 completed jobs\n - 1 failure\n========================================\n",
    "[rank1]: " + raised("torch.distributed.elastic.multiprocessing.api.SignalException: Process 7 got signal: 15"),
]  # fmt: skip


@given(
    st.lists(st.sampled_from(BEFORE)),
    st.data(),
    st.lists(st.sampled_from(AFTER), max_size=4, unique=True),
    st.booleans(),
)
def test_what_stands_around_a_reason_changes_nothing(
    before: list[str], data: st.DataObject, after: list[str], launched: bool
) -> None:
    reason, outcome, says = data.draw(st.sampled_from([
        (raised("ValueError: bad caption"), CRASHED, "ValueError: bad caption"),
        (raised("KeyError: 1") + CAUSE + raised("ValueError: bad caption"), CRASHED, "ValueError: bad caption"),
        (BOX + "ValueError: bad caption\n", CRASHED, "ValueError: bad caption"),
        (raised(OOM), MEMORY, OOM),
        (raised("MemoryError"), MEMORY, "MemoryError"),
        ("usage: t.py [-h]\nt.py: error: unrecognized arguments: --x\n", CRASHED, "unrecognized arguments: --x"),
        ("terminate called after throwing an instance of 'c10::Error'\n  what():  CUDA error: misaligned address\n", CRASHED, "misaligned"),
    ]))  # fmt: skip
    bar = "steps: 9%|▉| {}/90 [00:09<01:00, 2.5s/it]".format
    went = "".join(said.replace("@BAR", f"{bar(2 * n)}\r{bar(2 * n + 1)}") for n, said in enumerate(before))
    found, why = classify(1, went + reason + "".join(after) + ACCELERATE * launched, False, False)
    assert (found, says in why.partition("\n")[0]) == (outcome, True), why
    assert main_memory(why) is (says == "MemoryError")


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            [
                *BEFORE,
                *AFTER,
                BOX,
                DURING,
                "Last error:\n",
                '  File "',
                "\x1b[",
                "│",
                "Traceback (most recent call last):",
            ]
        )
    ).map("".join)
)
def test_any_log_has_an_end(log: str) -> None:
    for code in (0, 1, 3, 4, None):
        outcome, why = classify(code, log, False, False)
        assert outcome is not Outcome.OK and why.splitlines()[0].strip()


def test_main_memory_is_told_from_the_gpus() -> None:
    for name, _, _, log, _, _ in (row for row in ENDINGS if row[4] is MEMORY):
        why = classify(1, log, False, False)[1]
        assert main_memory(why) is (name in ("bad_alloc", "Rust's memory", "slurm", "mmap")), why


def test_nothing_of_a_chain_is_lost() -> None:
    log = (
        raised("safetensors_rust.SafetensorError: header: HeaderTooLarge")
        + DURING
        + raised("OSError: can't load vae/x")
    )
    why = classify(1, log, False, False)[1].splitlines()
    assert why[0] == "OSError: can't load vae/x"
    assert why[1].startswith("  the file is not whole, or no safetensors file at all")
    assert why[-1].endswith("HeaderTooLarge")


def test_a_message_is_kept_whole_but_not_without_end() -> None:
    keys = "\n".join(f"\tsize mismatch for block.{n}" for n in range(5000))
    why = classify(
        1, raised(f"RuntimeError: Error(s) in loading state_dict for Flux:\n{keys}") + ACCELERATE, False, False
    )
    assert why[1].startswith("RuntimeError: Error(s) in loading state_dict for Flux:\n")
    assert 5 < len(why[1].splitlines()) < 12


def test_the_last_words_of_a_log() -> None:
    log = f"loading\n====\nwandb: syncing\na.py:3: UserWarning: old\n{GOOD_BAR}\nno data\n\n" + ACCELERATE
    assert Found(log).last_words() == ["loading", "no data"]


@pytest.mark.parametrize(
    "unit",
    [" ", "1", "a", "A.", "x: ", "1%|", "%|", "\r", "\t", "| 1/2 [", "1%|#| 1/2 [0:1<0:1, 1it/s]", "\x1b[", "\x1b]", "loss", "loss=1",
     "load ", "ERROR:a:b\n", "\n", "  x\n", "                    ERROR    a  b.py:12\nError ", "A: b\n", " / 日", "Assertion `",
     "Traceback (most recent call last):\n", "  + Exception Group Traceback (most recent call last):\n  | ", "a/b/", "exit code: ",
     raised("A: b"), "huggingface.co/a/b", "cache_text_encoder", "2025-01-01 10:00:00,123 - a - ", "╭─", "memory out of "],
)  # fmt: skip
def test_no_log_takes_long(unit: str, tmp_path: Path) -> None:
    """64,000 of anything at the end of a log, as one line or as many."""
    log = tmp_path / "log"
    log.touch()
    bars = LogBars(log)
    text = "ERROR:a:b " + unit * (64_000 // len(unit)) + "x"
    log.write_text(text)
    began = time.process_time()
    bars.read_new()
    LogTail(log).read_new()
    read_signs(log)
    last_lines(log, 4_000)
    classify(1, text, False, False)
    classify(0, text, True, True)
    assert time.process_time() - began < 1


def test_a_hundred_megabytes_without_a_line_end(tmp_path: Path) -> None:
    seconds, memory = read_endless(tmp_path / "log")
    assert seconds < 1 and memory < 50


@pytest.mark.parametrize("at", [0, 1, 15, 39, 40, 41, 60])
def test_signs_are_counted_once_wherever_a_block_ends(tmp_path: Path, at: int) -> None:
    log = tmp_path / "log"
    words = b"OOM during training step, skipping batch 1/3. loss is NaN "
    log.write_bytes(b" " * ((1 << 20) - at) + words + b"x" * ((1 << 20) - len(words) + at - 11) + b"loss is nan")
    assert read_signs(log) == Signs(skipped=1, nan=1), "the last is no word of its own"
    log.write_bytes(log.read_bytes()[:-12] + b" loss is nan")
    assert read_signs(log) == Signs(skipped=1, nan=2)
