"""The plugin seam: what is installed is found, and what is broken stays harmless and is named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from installed import install

from dfbench import hookspecs
from dfbench.errors import UsageError
from dfbench.hookspecs import SPEC_OF_HOOK
from dfbench.plugins import BrokenPlugin, load

HEADER = "from dfbench import hookimpl\nfrom dfbench.contracts import *\n"
GOOD = HEADER + "@hookimpl\ndef dfbench_attacks():\n    yield AttackSpec('nudge', 'good_one.attack:Nudge', 'nudges')\n"

Install = Callable[..., None]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a plugin ``distribution`` whose module has the given source, beside a sound plugin ``good-one``."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def put(source: str, distribution: str = "bad-one", **entry_points: str) -> None:
        package = distribution.replace("-", "_")
        entry_points = entry_points or {"main": f"{package}.plugin"}
        install(tmp_path, distribution, {f"{package}/__init__.py": "", f"{package}/plugin.py": source}, entry_points)

    put(GOOD, "good-one")
    yield put
    for name in set(sys.modules) - before:
        if name.startswith(("bad_", "good_one", "late_one")):
            del sys.modules[name]


def broken(distribution: str = "bad-one") -> BrokenPlugin:
    """The one broken plugin of a distribution, after checking that the sound one beside it works."""
    plugins = load()
    assert "nudge" in [c.spec.name for c in plugins.components]
    (found,) = [b for b in plugins.broken if b.provider.distribution == distribution]
    assert distribution not in {c.provider.distribution for c in plugins.components}
    return found


def test_every_hook_has_its_spec_class_and_says_what_it_yields() -> None:
    hooks = [name for name in vars(hookspecs) if name.startswith("dfbench_")]
    assert hooks == list(SPEC_OF_HOOK)
    for name in hooks:
        hook = getattr(hookspecs, name)
        assert hook.__annotations__["return"] == f"Iterable[{SPEC_OF_HOOK[name].__name__}]"
        assert SPEC_OF_HOOK[name].__name__ in hook.__doc__


def test_a_component_knows_the_distribution_version_entry_point_and_module_it_comes_from(put: Install) -> None:
    (found,) = [c for c in load().components if c.spec.name == "nudge"]
    assert vars(found.provider) == {
        "distribution": "good-one",
        "version": "1.0",
        "entry_point": "main",
        "module": "good_one.plugin",
    }


def test_loading_plugins_imports_no_target(put: Install) -> None:
    load()
    assert "good_one.plugin" in sys.modules
    assert "good_one.attack" not in sys.modules


def spec(hook: str, spec_call: str) -> str:
    return f"{HEADER}@hookimpl\ndef {hook}():\n    yield {spec_call}\n"


@pytest.mark.parametrize(
    "source, reason",
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (spec("dfbench_atacks", "AttackSpec('a', 'b:C', '')"), "there is no hook 'dfbench_atacks': did you mean"),
        (HEADER + "@hookimpl\ndef attacks():\n    yield", "there is no hook 'attacks'"),
        ("def dfbench_atacks():\n    yield", "there is no hook 'dfbench_atacks': did you mean 'dfbench_attacks'"),
        ("def dfbench_attacks():\n    yield", "lacks the decorator @hookimpl"),
        (HEADER + "@hookimpl\ndef dfbench_attacks(registry):\n    yield", "takes no arguments, but this one asks for"),
        (HEADER + "@hookimpl\ndef dfbench_attacks():\n    yield 1 / 0", "ZeroDivisionError"),
        (HEADER + "@hookimpl\ndef dfbench_attacks():\n    pass", "returned nothing; it must yield AttackSpec"),
        (spec("dfbench_attacks", "'pgd'"), "must yield AttackSpec objects, not 'pgd'"),
        (spec("dfbench_attacks", "ModelSpec('m', 'b:C', '')"), "must yield AttackSpec objects, not ModelSpec"),
        (spec("dfbench_attacks", "AttackSpec('a b', 'b:C', '')"), "'a b' may hold only letters"),
        (spec("dfbench_attacks", "AttackSpec('', 'b:C', '')"), "'' may hold only letters"),
        (spec("dfbench_attacks", "AttackSpec('none', 'b:C', '')"), "'none' is reserved"),
        (spec("dfbench_attacks", "AttackSpec('a', 'b.C', '')"), "write 'package.module:Name'"),
        (spec("dfbench_attacks", "AttackSpec('a', 'b:C', '', (Param('x', list, []),))"), "has the type"),
        (spec("dfbench_attacks", "AttackSpec('a', 'b:C', '', (Param('x', int, 1.5),))"), "not a whole number"),
        (spec("dfbench_attacks", "AttackSpec('a', 'b:C', '', (Param('x', int, 0, low=1),))"), "of at least 1"),
        (spec("dfbench_attacks", "AttackSpec('a', 'b:C', '', (Param('x', int, 0), Param('x', int, 0)))"), "twice"),
        (spec("dfbench_defenses", "DefenseSpec('d', 'b:C', '', recipe={'epoch': 3})"), "did you mean 'epochs'"),
        (
            spec("dfbench_defenses", "DefenseSpec('d', 'b:C', '', recipe={'epochs': 0})"),
            "not a whole number from 1 to",
        ),
        (spec("dfbench_defenses", "DefenseSpec('d', 'b:C', '', (Param('lr', float, 1.0),))"), "declared twice"),
    ],
)
def test_a_broken_plugin_is_named_with_the_reason_and_the_others_work(put: Install, source: str, reason: str) -> None:
    put(source)
    found = broken()
    assert reason in found.reason
    assert "\n" not in found.reason
    assert "plugin 'main' of bad-one 1.0 (bad_one.plugin): " in str(found)


def test_a_plugin_that_fails_in_its_own_code_is_recorded_with_the_traceback(put: Install) -> None:
    put("value = 1 / 0")
    assert "bad_one/plugin.py" in broken().traceback
    assert "value = 1 / 0" in broken().traceback


def test_an_entry_point_whose_module_is_missing_is_a_broken_plugin(put: Install) -> None:
    put("", main="bad_one.plugins")
    assert "No module named 'bad_one.plugins'" in broken().reason


def test_nothing_is_used_of_a_plugin_that_breaks_after_its_first_component(put: Install) -> None:
    put(spec("dfbench_attacks", "AttackSpec('first', 'b:C', '')") + "    yield 1 / 0\n")
    broken()
    assert "first" not in [c.spec.name for c in load().components]


def test_a_module_registered_by_two_distributions_is_used_once_and_the_message_names_both(put: Install) -> None:
    put("", "late-one", again="good_one.plugin")
    (found,) = [b for b in load().broken if b.provider.distribution == "late-one"]
    assert found.reason == "the module 'good_one.plugin' is already registered as 'good-one:main'"
    assert [c.spec.name for c in load().components].count("nudge") == 1


def test_a_distribution_without_metadata_does_not_stop_the_others(put: Install, tmp_path: Path) -> None:
    put("import no_such_package")
    (tmp_path / "bad_one-1.0.dist-info" / "METADATA").unlink()
    plugins = load()
    assert "nudge" in [c.spec.name for c in plugins.components]
    assert "no_such_package" in " ".join(b.reason for b in plugins.broken)


def test_strict_loading_lists_every_broken_plugin_and_duplicate(put: Install) -> None:
    put("import no_such_package")
    put(GOOD, "bad-two")
    with pytest.raises(UsageError) as error:
        load(strict=True)
    assert "No module named 'no_such_package'" in str(error.value)
    assert "the attack 'nudge' is provided more than once, by bad-two 1.0" in str(error.value)


def test_strict_loading_passes_where_everything_is_sound(put: Install) -> None:
    assert "nudge" in [c.spec.name for c in load(strict=True).components]
