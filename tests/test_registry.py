"""Components by name: found, bound, identified, built, and every mistake answered with the cure."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
from installed import install

from dfbench.contracts import REQUIRED, AttackSpec, DefenseSpec, ModelSpec, Param, Spec
from dfbench.errors import ContractError, MissingDependency, UsageError
from dfbench.plugins import BrokenPlugin, Plugins, Provider, Registered
from dfbench.registry import Component, Registry
from dfbench.sources import _package_hash

PROVIDER = Provider("dfbench-foo", "1.0", "foo", "foo.plugin")
EPS = Param("eps", float, 8 / 255, low=0, high=1)
SPECS = (
    AttackSpec("pgd", "builtins:dict", "", (EPS, Param("steps", int, 10, low=1))),
    AttackSpec("fgsm", "builtins:dict", "", (EPS,)),
    DefenseSpec("dual", "builtins:dict", "", recipe={"epochs": 3}),
    DefenseSpec("pim", "builtins:dict", "", (Param("alpha", float, 1.0),)),
    ModelSpec("timm", "builtins:dict", "", (Param("name", str, REQUIRED),)),
)


def registry(*specs: Spec, broken: tuple[BrokenPlugin, ...] = ()) -> Registry:
    return Registry(Plugins([Registered(spec, PROVIDER) for spec in specs or SPECS], list(broken)))


def test_specs_are_listed_by_name() -> None:
    assert [spec.name for spec in registry().specs("attack")] == ["fgsm", "pgd"]


def test_a_misspelt_name_brings_the_nearest_of_its_kind() -> None:
    with pytest.raises(UsageError, match="unknown attack 'pdg': did you mean 'pgd'"):
        registry().get("attack", "pdg")


def test_a_name_of_another_kind_is_told_apart() -> None:
    with pytest.raises(UsageError, match="unknown attack 'dual': it is a defense, not an attack"):
        registry().get("attack", "dual")


def test_an_unknown_name_beside_a_broken_plugin_points_to_the_broken_plugin() -> None:
    bad = BrokenPlugin(Provider("dfbench-bar", "2.0", "bar", "bar.plugin"), "ImportError: x")
    with pytest.raises(UsageError, match=r"broken plugins are missing \(dfbench-bar 2.0\): dfbench plugins tells why"):
        registry(broken=(bad,)).get("attack", "bar")


def test_an_unknown_name_without_any_plugin_says_what_to_install() -> None:
    with pytest.raises(UsageError, match="no plugin is installed at all: pip install dfbench-harness"):
        Registry(Plugins()).get("attack", "pgd")


def test_a_name_provided_twice_cannot_be_used_and_names_both_providers_while_others_work() -> None:
    rival = Registered(AttackSpec("pgd", "bar.attack:PGD", ""), Provider("dfbench-bar", "2.0", "bar", "bar.plugin"))
    both = Registry(Plugins([*registry().plugins.components, rival]))
    with pytest.raises(UsageError, match=r"by dfbench-foo 1.0 \(builtins:dict\) and dfbench-bar 2.0 \(bar.attack:PGD"):
        both.get("attack", "pgd")
    assert [spec.name for spec in both.specs("attack")] == ["fgsm"]
    assert both.component("attack", "fgsm").label == "fgsm"


def test_one_name_may_stand_for_components_of_two_kinds() -> None:
    same = registry(AttackSpec("mix", "a:A", ""), DefenseSpec("mix", "a:D", ""))
    assert same.get("attack", "mix").spec.kind == "attack"
    assert same.get("defense", "mix").spec.kind == "defense"


@pytest.mark.parametrize(
    "text, label",
    [
        ("pgd", "pgd"),
        ("pgd(steps=10, eps=8/255)", "pgd"),
        ("pgd(steps=20, eps=4/255)", "pgd(eps=4/255, steps=20)"),
        ("pgd(eps=1)", "pgd(eps=1.0)"),
    ],
)
def test_a_label_gives_the_parameters_that_differ_from_the_defaults_and_reads_back(text: str, label: str) -> None:
    component = registry().component("attack", text)
    assert component.label == label
    assert registry().component("attack", label) == component
    assert hash(registry().component("attack", label)) == hash(component)


def test_a_sum_gives_its_components_in_order() -> None:
    labels = [c.label for c in registry().components("defense", "dual+pim(alpha=0.5)")]
    assert labels == ["dual", "pim(alpha=0.5)"]


def test_a_component_builds_its_target_with_all_parameters() -> None:
    assert registry().component("attack", "pgd(steps=3)").build() == {"eps": 8 / 255, "steps": 3}


def test_a_component_survives_pickling() -> None:
    for kind, text in (("model", "timm(name=resnet18)"), ("defense", "dual"), ("attack", "pgd(eps=2/255)")):
        component = registry().component(kind, text)
        assert pickle.loads(pickle.dumps(component)) == component
    assert pickle.loads(pickle.dumps(SPECS[-1])).params[0].default is REQUIRED


# --- targets ------------------------------------------------------------------------------------------------------

SOURCE = {
    "foo_pkg/__init__.py": "",
    "foo_pkg/attack.py": """
from dfbench.errors import MissingDependency
class Sound: pass
class Choosy:
    def __init__(self): raise ValueError("no such mood")
class Needy:
    def __init__(self): raise MissingDependency("needs captum: pip install captum")
""",
    "foo_pkg/bad.py": "import no_such_package",
}


def component(target: str, version: str = "") -> Component:
    return Component(Registered(AttackSpec("foo", target, "", version=version), PROVIDER), {})


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package ``foo_pkg``, installed and forgotten again afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "foo", SOURCE, {})
    _package_hash.cache_clear()
    for name in [name for name in sys.modules if name.startswith("foo_pkg")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path / "foo_pkg"


def test_the_version_of_an_undeclared_component_follows_its_package_source_and_imports_nothing(package: Path) -> None:
    first = component("foo_pkg.attack:Sound").identity()["version"]
    assert "foo_pkg.attack" not in sys.modules
    assert "foo_pkg" not in sys.modules
    _package_hash.cache_clear()
    assert component("foo_pkg.attack:Sound").identity()["version"] == first
    (package / "bad.py").write_text("x = 1")
    _package_hash.cache_clear()
    assert component("foo_pkg.attack:Sound").identity()["version"] != first


def test_the_version_does_not_depend_on_where_the_package_lies(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = component("foo_pkg.attack:Sound").identity()["version"]
    elsewhere = package.parent / "elsewhere"
    install(elsewhere, "foo", SOURCE, {})
    monkeypatch.syspath_prepend(elsewhere)
    _package_hash.cache_clear()
    assert component("foo_pkg.attack:Sound").identity()["version"] == first


def test_a_declared_version_stands() -> None:
    assert component("no.such:Thing", version="7").identity() == {
        "kind": "attack",
        "name": "foo",
        "params": {},
        "version": "7",
    }


def test_the_version_of_a_package_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(ContractError, match="'no_such_package' is not installed"):
        component("no_such_package:Thing").identity()


@pytest.mark.parametrize(
    "target, message",
    [
        ("foo_pkg.bad:Thing", "cannot be imported .*ModuleNotFoundError: No module named 'no_such_package'"),
        ("foo_pkg.attack:Thing", "cannot be imported .*AttributeError"),
        ("foo_pkg.attack:Choosy", "cannot be built .*ValueError: no such mood"),
    ],
)
def test_a_target_that_fails_is_named_with_its_distribution_and_the_cause(
    package: Path, target: str, message: str
) -> None:
    with pytest.raises(ContractError, match=rf"the attack 'foo' of dfbench-foo 1.0 {message}"):
        component(target).build()


def test_a_missing_optional_package_keeps_its_own_message(package: Path) -> None:
    with pytest.raises(MissingDependency, match=r"^needs captum: pip install captum$"):
        component("foo_pkg.attack:Needy").build()
