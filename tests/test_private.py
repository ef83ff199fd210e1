"""What bracket makes is its user's alone, what it left half-made goes, and trainers are given no keys."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bracket.environment import for_trainers
from bracket.files import append_line, folder_made, sweep_parts, write_json


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def dead() -> int:
    """The id of a process that has ended."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return int(ended.stdout)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_folders_that_are_made_are_the_users_alone_and_others_stay(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    write_json(tmp_path / "runs" / "s" / "state.json", {})
    append_line(tmp_path / "cache" / "deep" / "lines", "x")
    assert [mode(tmp_path / p) for p in ("runs", "runs/s", "cache", "cache/deep")] == [0o700] * 4
    assert mode(tmp_path) == 0o755
    (tmp_path / "runs" / "s").chmod(0o750)
    write_json(tmp_path / "runs" / "s" / "state.json", {})
    assert mode(tmp_path / "runs" / "s") == 0o750, "that is the user's choice"


def test_a_folder_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    with folder_made(tmp_path / "new") as part:
        (part / "a").write_text("a")
        assert part.name.startswith(".new-") and not (tmp_path / "new").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    with pytest.raises(KeyError), folder_made(tmp_path / "other") as part:
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_only_what_dead_processes_of_ours_left_is_swept(tmp_path: Path, dead: int) -> None:
    """A name is ours that has a process and a thread in it."""
    me, deep = os.getpid(), tmp_path / "trials" / "a"
    left = [f".x-{dead}-1.part.json", f".x-{dead}-1.part", f"trials/a/.état [1]-{dead}-7.part.png"]
    stays = ["x.part", f".x-{me}-1.part.json", f"x-{dead}-1.part", f".x-{dead}.part", f".x-{dead}-1.part.tar.gz", "y"]
    deep.mkdir(parents=True)
    for name in (*left, *stays):
        (tmp_path / name).write_text("")
    folder = tmp_path / f".new-{dead}-1.part"
    (folder.with_name(f".again-{dead}-2.part") / "trials").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / f".kept-{dead}-1.part").write_text("")
    sweep_parts(tmp_path)
    assert (tmp_path / left[2]).exists(), "folders below are looked into when asked"
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted(stays)
    assert not folder.with_name(f".again-{dead}-2.part").exists()
    assert (tmp_path / "elsewhere" / f".kept-{dead}-1.part").exists()
    sweep_parts(tmp_path / "trials", deep=True)
    assert list(deep.iterdir()) == []


KEYS = [
    "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "WANDB_API_KEY", "GITHUB_TOKEN", "GH_TOKEN", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AZURE_CLIENT_SECRET", "PGPASSWORD", "MYSQL_PASSWORD",
    "KAGGLE_KEY", "REPLICATE_API_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "STRIPE_SECRET", "SSH_PRIVATE_KEY",
    "civitai_api_key", "DB_PASS", "GITHUB_PAT", "BRACKET_AUTH", "COMET_API_KEY", "OPENAI_KEY", "SLACK_BOT_TOKEN",
]  # fmt: skip
NEEDED = [
    "PATH", "HOME", "LANG", "LC_ALL", "TEMP", "TMPDIR", "USER", "LD_LIBRARY_PATH", "LD_PRELOAD", "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME", "NCCL_P2P_DISABLE", "PYTORCH_CUDA_ALLOC_CONF", "HSA_OVERRIDE_GFX_VERSION", "ROCM_PATH", "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN", "HF_HOME", "HF_ENDPOINT", "HF_TOKEN_PATH", "XDG_CACHE_HOME", "CONDA_PREFIX",
    "VIRTUAL_ENV", "SYSTEMROOT", "APPDATA", "HTTP_PROXY", "https_proxy", "no_proxy", "SSL_CERT_FILE", "TERM",
    "TOKENIZERS_PARALLELISM",
    "PYTHONPATH", "OMP_NUM_THREADS", "MASTER_ADDR", "WORLD_SIZE", "XAUTHORITY", "KEYBOARD", "PIP_INDEX_URL",
]  # fmt: skip


def test_a_trainer_is_given_what_it_needs_and_no_keys() -> None:
    everything = dict.fromkeys([*KEYS, *NEEDED], "x")
    assert sorted(for_trainers(everything)) == sorted(NEEDED)


def test_logins_in_addresses_are_kept_where_the_network_needs_them() -> None:
    login = "postgres://anna:secret@db/x"
    given = {
        "DATABASE_URL": login,
        "HTTP_PROXY": login,
        "all_proxy": login,
        "PIP_INDEX_URL": login,
        "SITE": "http://x/@",
    }
    assert sorted(for_trainers(given)) == ["HTTP_PROXY", "PIP_INDEX_URL", "SITE", "all_proxy"]


def test_the_key_to_wandb_and_what_a_person_names() -> None:
    given = {"WANDB_API_KEY": "x", "MY_TOKEN": "y", "OTHER_TOKEN": "z"}
    assert for_trainers(given, ["train.py", "--log_with", "wandb"]) == {"WANDB_API_KEY": "x"}
    assert "WANDB_API_KEY" in for_trainers(given, ["--log_with=wandb"])
    named = for_trainers({**given, "BRACKET_PASS": "MY_TOKEN, WANDB_API_KEY"})
    assert set(named) == {"MY_TOKEN", "WANDB_API_KEY"}
