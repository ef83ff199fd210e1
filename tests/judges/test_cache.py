from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from bracket.environment import child_env
from bracket.errors import StorageError
from bracket.judges.cache import VectorCache

A = np.array([1.5, -2.25], np.float32)


def test_vectors_come_back_to_the_bit_from_a_new_process(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "c.sqlite")
    cache.put("model", {"k": A})
    cache.close()
    code = (
        "import sys; from pathlib import Path; from bracket.judges.cache import VectorCache;"
        "print(VectorCache(Path(sys.argv[1])).get('model', ['k'])['k'].tolist(), 'torch' in sys.modules)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "c.sqlite")]
    done = subprocess.run(argv, env=child_env(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[1.5, -2.25] False"


def test_models_do_not_share_vectors(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "c.sqlite")
    cache.put("one", {"k": A})
    assert cache.get("other", ["k"]) == {}


def test_more_keys_than_a_query_takes(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "c.sqlite")
    cache.put("m", {str(i): np.array([i], np.float32) for i in range(1700)})
    found = cache.get("m", map(str, range(2000)))
    assert len(found) == 1700 and found["1234"][0] == 1234


def test_a_vector_that_is_no_number_is_not_given(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "c.sqlite")
    cache.put("m", {"nan": np.array([np.nan], np.float32), "empty": np.empty(0, np.float32)})
    with sqlite3.connect(tmp_path / "c.sqlite") as raw:
        raw.execute("INSERT INTO vectors_1 VALUES ('m', 'odd', ?)", [b"12345"])
    assert cache.get("m", ["nan", "empty", "odd"]) == {}


def test_a_file_of_rubbish_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "c.sqlite"
    path.write_bytes(b"rubbish" * 1000)
    with caplog.at_level(logging.WARNING):
        cache = VectorCache(path)
    cache.put("m", {"k": A})
    assert cache.get("m", ["k"])["k"].tolist() == A.tolist()
    aside = list(tmp_path.glob("c.sqlite.damaged-*"))
    assert len(aside) == 1 and aside[0].read_bytes().startswith(b"rubbish")
    assert "damaged" in caplog.text and str(aside[0]) in caplog.text


def test_damage_found_while_in_use_loses_the_cache_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    first = VectorCache(path)
    first.put("m", {str(i): np.full(500, i, np.float32) for i in range(200)})
    first.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    cache = VectorCache(path)
    assert cache.get("m", ["7"]) == {}
    cache.put("m", {"7": A})
    assert cache.get("m", ["7"])["7"].tolist() == A.tolist()
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_a_file_that_cannot_grow_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = VectorCache(tmp_path / "c.sqlite")
    cache._connection.execute("PRAGMA max_page_count = 3")
    with caplog.at_level(logging.WARNING):
        cache.put("m", {str(i): np.zeros(4000, np.float32) for i in range(50)})
    assert "full" in caplog.text and cache.get("m", ["1"]) == {}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"):
        VectorCache(tmp_path / "file" / "c.sqlite")


def test_threads_and_connections_write_at_once(tmp_path: Path) -> None:
    caches = [VectorCache(tmp_path / "c.sqlite") for _ in range(2)]

    def write(worker: int) -> None:
        for i in range(25):
            caches[worker % 2].put("m", {f"{worker}-{i}": np.array([worker, i], np.float32)})

    threads = [threading.Thread(target=write, args=(w,)) for w in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    keys = [f"{w}-{i}" for w in range(4) for i in range(25)]
    assert set(caches[0].get("m", keys)) == set(keys)
