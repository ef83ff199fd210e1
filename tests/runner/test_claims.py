"""Sessions that know of each other on one device."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bracket.environment import child_env
from bracket.runner import claims
from bracket.runner.devices import Device, cores

GPU = Device("cuda:0", "cuda", "GPU", 24 << 30, "GPU-1234")
OTHER = Device("cuda:1", "cuda", "GPU", 24 << 30, "GPU-5678")
CPU = Device("cpu", "cpu", "CPU", 8 << 30)

HOLDER = """
import sys
from pathlib import Path
from bracket.runner.claims import claimed
from bracket.runner.devices import Device
slots = [Device(*words.split("|")[:3], 0, words.split("|")[3]) for words in sys.argv[2:]]
with claimed(slots, Path(sys.argv[1]), share=False, waiting=print):
    print("claimed", flush=True)
    sys.stdin.readline()
"""


class Stop(Exception):
    pass


def _hold(session: Path, *slots: Device) -> subprocess.Popen[str]:
    words = [f"{s.id}|{s.kind}|{s.name}|{s.uuid}" for s in slots]
    argv = [sys.executable, "-c", HOLDER, str(session), *words]
    process = subprocess.Popen(argv, env=child_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "claimed\n"
    return process


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(claims, "_WAIT", 0.05)
    process = _hold(tmp_path / "cats", GPU, OTHER)
    yield process
    process.kill()
    process.wait()


def test_another_session_on_the_gpu_is_known_by_its_name(tmp_path: Path, busy: subprocess.Popen[str]) -> None:
    assert claims.on_same_gpu([GPU], tmp_path / "dogs") == {"cuda:0": "cats"}
    assert claims.on_same_gpu([GPU], tmp_path / "cats") == {}, "nobody is in its own way"
    third = Device("cuda:0", "cuda", "GPU", 0, "GPU-9")
    assert claims.on_same_gpu([third, CPU], None) == {}, "what counts is the card, not its number"


def test_the_second_waits_for_its_turn_and_then_goes(tmp_path: Path, busy: subprocess.Popen[str]) -> None:
    said = []

    def waiting(others: str) -> None:
        said.append(others)
        if len(said) == 3:
            busy.kill()  # its end frees the device, however it comes

    with claims.claimed([GPU], tmp_path / "dogs", share=False, waiting=waiting):
        assert said[0] == "cats on cuda:0" and len(said) >= 3
        assert claims.on_same_gpu([GPU], tmp_path / "birds") == {"cuda:0": "dogs"}
    assert claims.on_same_gpu([GPU], tmp_path / "birds") == {}


def test_waiting_can_be_stopped_and_leaves_nothing(tmp_path: Path, busy: subprocess.Popen[str]) -> None:
    def waiting(others: str) -> None:
        raise Stop

    with pytest.raises(Stop), claims.claimed([GPU], tmp_path / "dogs", share=False, waiting=waiting):
        raise AssertionError("it had no turn")
    assert claims.on_same_gpu([GPU, OTHER], tmp_path / "birds") == {"cuda:0": "cats", "cuda:1": "cats"}


def test_who_asks_to_share_does_not_wait(tmp_path: Path, busy: subprocess.Popen[str]) -> None:
    with claims.claimed([GPU], tmp_path / "dogs", share=True, waiting=lambda _: pytest.fail("it waits")):
        assert set(claims._claims(None)) == {"cats", "dogs"}


def test_sessions_on_a_cpu_are_only_told_and_only_beyond_its_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path / "cache"))
    process = _hold(tmp_path / "demo", *[CPU] * cores())
    try:
        assert claims.beside_on_cpu([CPU, CPU], tmp_path / "demo-2") == ("demo", 2 if cores() > 1 else 1)
        assert claims.beside_on_cpu([CPU], tmp_path / "demo")[0] == "", "nobody is in its own way"
        assert claims.on_same_gpu([CPU], tmp_path / "demo-2") == {}
        with claims.claimed([CPU], tmp_path / "demo-2", share=False, waiting=lambda _: pytest.fail("it waits")):
            pass
    finally:
        process.kill()
        process.wait()


def test_a_machine_that_can_not_write_it_down_still_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where the folder belongs")
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path / "cache"))
    went = []
    with claims.claimed([GPU], tmp_path / "dogs", share=False, waiting=lambda _: None):
        went.append(True)
    assert went and claims.on_same_gpu([GPU], tmp_path / "cats") == {}
