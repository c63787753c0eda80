"""Reading records of any age."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfbench.errors import UsageError
from dfbench.recordfile import SCHEMA_VERSION, load_record

RESULTS = Path(__file__).parents[1] / "results"

FIRST: dict[str, Any] = {
    "schema_version": 1,
    "config": {
        "scenarios": [{"attack": None, "corruption": None}, {"attack": {"name": "pgd"}, "corruption": None}],
        "defenses": [{"label": "none", "objectives": [{"name": "none"}], "start": None}],
        "data": {"name": "mini"},
        "seed": 7,
        "split": "test",
    },
    "data": {"name": "mini", "splits": {}},
    "training": [{"model": "m", "defense": "none", "recipe": {}, "checkpoint": "checkpoints/m--none.safetensors"}],
    "cells": [
        {"model": "m", "defense": "none", "data": "mini", "attack": "none", "corruption": "none", "metrics": {}},
        {
            "model": "m",
            "defense": "none",
            "data": "mini",
            "attack": "pgd(eps=1/255)",
            "corruption": "none",
            "metrics": {},
        },
    ],
    "warnings": [],
}


def written(folder: Path, content: object) -> Path:
    folder.joinpath("record.json").write_text(json.dumps(content))
    return folder


def test_a_record_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    record = load_record(written(tmp_path, FIRST))
    assert record["schema_version"] == SCHEMA_VERSION
    assert [s["name"] for s in record["config"]["scenarios"]] == ["clean", "pgd(eps=1/255)"]
    assert record["config"]["seeds"] == [7]
    assert record["data"] == record["eval_data"] == [FIRST["data"]]
    assert [(c["scenario"], c["train_data"], c["seed"]) for c in record["cells"]] == [
        ("clean", "mini", 7),
        ("pgd(eps=1/255)", "mini", 7),
    ]
    assert record["training"][0]["log"] == "checkpoints/m--none.jsonl"


def test_bringing_up_to_date_changes_no_number() -> None:
    path = RESULTS / "mini-demo/record.json"
    before = json.loads(path.read_text())
    assert before["schema_version"] == 1
    for old, new in zip(before["cells"], load_record(path)["cells"], strict=True):
        assert {key: new[key] for key in old} == old


@pytest.mark.parametrize(
    "content, message",
    [
        ({"schema_version": SCHEMA_VERSION + 1}, "newer than 4: upgrade dfbench-harness"),
        ({"cells": []}, "has no schema_version"),
        ([], "has no schema_version"),
        ({**FIRST, "data": None}, "is damaged"),
        ({**FIRST, "schema_version": 2}, "is damaged"),
        ({**FIRST, "cells": FIRST["cells"][:1]}, "is damaged"),
    ],
)
def test_what_is_no_usable_record_is_refused_with_the_reason(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        load_record(written(tmp_path, content))


def test_a_missing_record_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give the output folder of a run"):
        load_record(tmp_path)


def test_a_record_that_was_cut_off_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(FIRST)[:100])
    with pytest.raises(UsageError, match="is damaged, it is no JSON"):
        load_record(tmp_path)


def test_an_earlier_record_tells_in_what_its_arms_were_trained_unlike_each_other() -> None:
    base, ours = load_record(RESULTS / "dual")["training"]
    assert base["differences"] == []
    unlike = {one["what"]: (one["here"], one["baseline"]) for one in ours["differences"]}
    assert unlike["epochs"] == (12, 5)
    assert unlike["start"] == ("none", "")
    assert "lr" not in unlike
