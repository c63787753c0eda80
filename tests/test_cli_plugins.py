"""``dfbench plugins``: everything installed is listed, what is broken last, and one component in full."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoints
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from installed import install

from dfbench import plugins
from dfbench.cli.plugins import command
from dfbench.errors import UsageError
from dfbench.registry import load_registry

PLUGIN = """
from dfbench import hookimpl
from dfbench.contracts import REQUIRED, AttackSpec, CorruptionSpec, ModelSpec, Param

@hookimpl
def dfbench_attacks():
    params = (Param("eps", float, 8 / 255, "bound", low=0, high=1), Param("path", str, None))
    yield AttackSpec("nudge", "seen_one.attack:Nudge", "nudges [a little]", params, source="Nobody, 1999")

@hookimpl
def dfbench_corruptions():
    yield CorruptionSpec("nudge", "seen_one.attack:Nudge", "nudges blindly")

@hookimpl
def dfbench_models():
    params = (Param("width", int, REQUIRED), Param("weights", str, "hub"))
    yield ModelSpec("net", "seen_one.model:Net", "one layer", params)
"""
MODEL = """
from torch import nn

class Net(nn.Linear):
    def __init__(self, width, weights="hub"):
        assert weights == "none", "nothing may be fetched"
        super().__init__(width, 2)
        self.bias.requires_grad_(False)
"""
TARGET = 'class Nudge:\n    """Moves every pixel\n    a little.\n\n    Args:\n        eps: bound.\n    """\n'

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command where only one sound and one broken plugin are installed."""
    monkeypatch.syspath_prepend(tmp_path)
    modules = {"__init__": "", "plugin": PLUGIN, "attack": TARGET, "model": MODEL}
    sources = {f"seen_one/{name}.py": source for name, source in modules.items()}
    install(tmp_path, "seen-one", sources, {"seen": "seen_one.plugin"}, version="2.1")
    install(tmp_path, "sick-one", {"sick_one.py": "1 / 0"}, {"sick": "sick_one"})
    found = [e for e in plugins.entry_points(group="dfbench") if e.dist and e.dist.name in ("seen-one", "sick-one")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints(found))
    load_registry.cache_clear()
    yield lambda *arguments, columns=80: CliRunner(env={"COLUMNS": str(columns)}).invoke(command, arguments)
    load_registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith(("seen_one", "sick_one"))]:
        del sys.modules[name]


def test_the_list_gives_component_summary_parameters_distribution_and_version(run: Run) -> None:
    lines = run().output.splitlines()
    assert any("nudge" in x and "nudges [a little]" in x and "seen-one 2.1" in x for x in lines)
    assert any("eps=8/255, path=none" in x for x in lines)


@pytest.mark.parametrize("columns", [80, 160])
def test_the_list_fits_the_terminal(run: Run, columns: int) -> None:
    lines = [line for line in run(columns=columns).output.splitlines() if not line.startswith("broken")]
    assert max(map(len, lines)) <= columns


def test_a_broken_plugin_comes_last_with_its_distribution_and_reason(run: Run) -> None:
    last = run().output.splitlines()[-2:]
    assert last[0] == "broken: plugin 'sick' of sick-one 1.0 (sick_one): ZeroDivisionError: division by zero"
    assert last[1] == "    traceback: dfbench plugins show sick-one"


@pytest.mark.parametrize("arguments", [("--debug",), ("show", "sick-one")])
def test_the_traceback_of_a_broken_plugin_begins_in_its_own_code(run: Run, arguments: tuple[str, ...]) -> None:
    output = run(*arguments).output
    assert output.count("File ") == 1
    assert 'sick_one.py", line 1' in output


def test_a_broken_plugin_fails_a_strict_listing_with_a_usage_error(run: Run) -> None:
    for result in (run("--strict-plugins"), CliRunner(env={"DFBENCH_STRICT_PLUGINS": "1"}).invoke(command, [])):
        assert isinstance(result.exception, UsageError)
        assert "sick-one 1.0" in str(result.exception)


def test_json_holds_every_component_and_broken_plugin(run: Run) -> None:
    listed = json.loads(run("--json").output)
    (attack,) = [c for c in listed["components"] if c["kind"] == "attack"]
    assert (attack["kind"], attack["name"], attack["distribution"], attack["version"]) == (
        ("attack", "nudge", "seen-one", "2.1")
    )
    assert attack["params"][0] == {
        "name": "eps",
        "type": "float",
        "required": False,
        "default": 8 / 255,
        "low": 0,
        "high": 1,
        "choices": [],
        "help": "bound",
    }
    assert [b["reason"] for b in listed["broken"]] == ["ZeroDivisionError: division by zero"]


def test_a_name_of_several_kinds_is_shown_for_each(run: Run) -> None:
    output = run("show", "nudge").output
    assert "nudge  attack" in output
    assert "nudge  corruption" in output


def test_show_prints_docstring_parameters_paper_and_provenance(run: Run) -> None:
    output = run("show", "nudge").output
    for part in ("Moves every pixel a little.", "8/255", "a number from 0 to 1", "Nobody, 1999", "seen-one 2.1"):
        assert part in output


def test_a_model_is_shown_with_its_parameter_counts_and_nothing_is_fetched_for_it(run: Run) -> None:
    assert "12 parameters, 10 of them trainable" in run("show", "net(width=5)").output


def test_a_model_that_needs_a_parameter_says_how_to_give_it(run: Run) -> None:
    assert "not counted: the model 'net' needs the parameter 'width'" in run("show", "net").output


def test_showing_a_misspelt_name_brings_the_nearest(run: Run) -> None:
    assert "no component is called 'nugde': did you mean 'nudge'" in str(run("show", "nugde").exception)


def test_help_gives_examples(run: Run) -> None:
    assert "dfbench plugins show pgd" in run("--help").output
    assert "dfbench plugins show" in run("show", "--help").output


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from dfbench.cli.plugins import command; command([], standalone_mode=False); "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_defense_is_shown_with_its_training_recipe() -> None:
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(command, ["show", "dual"]).output
    (epochs,) = (line for line in shown.splitlines() if line.strip().startswith("epochs"))
    assert "a whole number from 1" in epochs
    assert "passes over the training split" in epochs
