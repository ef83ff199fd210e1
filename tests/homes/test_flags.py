from __future__ import annotations

import os
from pathlib import Path

from bracket.homes import Home, flags_of, missing_flags


def checkout(folder: Path) -> Home:
    files = {
        "train_network.py": 'import library\nparser.add_argument("--network_dim", type=int)\n',
        "sdxl_train_network.py": "import train_network\nfrom library import x\nadd('--sdxl_only')\n",
        "other.py": 'add("--of_another")\n',
        "library/train_util.py": (
            'p.add_argument(\n    "--save_every",\n)\np.add_argument("--fast", action=argparse.BooleanOptionalAction)\n'
        ),
        "networks/lora.py": 'x = f"--{name}"\n"--not a flag"\n',
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Home("sd_scripts", folder, folder / "python")


def test_flags_come_from_the_script_those_it_builds_on_and_the_library(tmp_path: Path) -> None:
    home = checkout(tmp_path)
    assert flags_of(home, "sdxl_train_network.py") >= {"--sdxl_only", "--network_dim", "--save_every", "--no-fast"}
    assert "--sdxl_only" not in flags_of(home, "train_network.py")
    assert "--of_another" not in flags_of(home, tmp_path / "train_network.py")
    assert flags_of(home, "gone.py") == frozenset()


def test_what_a_command_asks_for_in_vain(tmp_path: Path) -> None:
    home = checkout(tmp_path)
    after = ["--network_dim", "4", "--gone=1", "--save_every", "-1", "--", "--new_flag"]
    assert missing_flags(home, "train_network.py", after) == ["--gone", "--new_flag"]
    script = str(tmp_path / "train_network.py")
    whole = ["python", "-m", "accelerate.commands.launch", "--num_cpu_threads_per_process", "1", script, *after]
    assert missing_flags(home, "train_network.py", whole) == ["--gone", "--new_flag"]
    assert missing_flags(home, "flux_train.py", after) == ["flux_train.py"]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    home = checkout(tmp_path)
    assert missing_flags(home, "train_network.py", ["--late"]) == ["--late"]
    util = tmp_path / "library" / "train_util.py"
    util.write_text('"--late"')
    os.utime(util, ns=(1, 1))
    assert missing_flags(home, "train_network.py", ["--late"]) == []
