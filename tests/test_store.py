from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from dfbench.errors import StorageError
from dfbench.keys import canonical, digest
from dfbench.store import Store, write_text


def test_an_artefact_is_found_again_by_an_equal_preimage_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.publish("cells", {"eps": 0.5, "name": "pgd"}) as folder:
        (folder / "scores").write_text("1")
    found = store.find("cells", {"name": "pgd", "eps": 0.5})
    assert found is not None
    assert (found / "scores").read_text() == "1"
    assert store.find("cells", {"eps": 0.25, "name": "pgd"}) is None


def test_an_interrupted_artefact_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def interrupted() -> None:
        with store.publish("cells", {"a": 1}) as folder:
            (folder / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert store.find("cells", {"a": 1}) is None
    assert list((tmp_path / "cells").iterdir()) == []


def test_the_preimage_of_the_key_lies_beside_the_artefact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.publish("cells", {"a": [1, 2]}):
        pass
    found = store.find("cells", {"a": [1, 2]})
    assert found is not None
    assert json.loads((found / "key.json").read_text()) == {"a": [1, 2]}


def test_of_two_processes_that_finish_the_same_artefact_the_first_wins(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.publish("cells", {"a": 1}) as ours:
        (ours / "by").write_text("second")
        with store.publish("cells", {"a": 1}) as theirs:
            (theirs / "by").write_text("first")
    found = store.find("cells", {"a": 1})
    assert found is not None
    assert (found / "by").read_text() == "first"
    assert len(list((tmp_path / "cells").iterdir())) == 1


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    from dfbench.store import write_atomic

    path = tmp_path / "record.json"
    write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"no space left while writing .*--out or --cache"):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_a_storage_error_that_names_the_cure(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    from dfbench.store import write_atomic

    with pytest.raises(StorageError, match="free some space"):
        write_atomic(tmp_path / "x", lambda _: full.open("wb", buffering=0).write(b"x"))


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose a folder you can write to"):
        Store(tmp_path / "file" / "cache")


def test_canonical_json_does_not_depend_on_order_and_refuses_nan() -> None:
    assert digest({"a": 1, "b": 2.0}) == digest({"b": 2.0, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": float("nan")})
