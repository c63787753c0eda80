"""Every attack class of torchattacks: listed without importing it, and either working on two classes or refused."""

from __future__ import annotations

import importlib
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
import torchattacks
from detectors import noise_images, own_labels, small_detector
from torch import Tensor

from dfbench.contracts import Attack
from dfbench.errors import ContractError, MissingDependency, UsageError
from dfbench.rng import SampleRng
from dfbench.threat import checked
from dfbench.view import ModelView
from dfbench_attacks import adapter, catalogue

IDS = ("a", "b", "c")
SHORT = {
    "SPSA": {"nb_sample": 8, "max_batch_size": 8},
    "Square": {"n_queries": 20},
    "EADL1": {"binary_search_steps": 2, "max_iterations": 10},
    "EADEN": {"binary_search_steps": 2, "max_iterations": 10},
}
"""Parameters that shorten the slow ones."""


def build(name: str, **params: object) -> Attack:
    return getattr(adapter, name)(**params)


def scene(count: int = 3) -> tuple[ModelView, Tensor, Tensor]:
    model, x = small_detector(), noise_images(count)
    return ModelView(model), x, own_labels(model, x)


@pytest.fixture
def without_torchattacks(monkeypatch: pytest.MonkeyPatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torchattacks" else real(name))
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    for cached in (catalogue.entries, adapter._adapted):
        cached.cache_clear()
    yield
    for cached in (catalogue.entries, adapter._adapted):
        cached.cache_clear()


# --- the catalogue ------------------------------------------------------------------------------------------------


def test_the_catalogue_holds_exactly_what_torchattacks_exports() -> None:
    assert list(catalogue.entries()) == torchattacks.__all__
    assert list(catalogue.NAMES) == torchattacks.__all__


def test_listing_imports_neither_torch_nor_torchattacks() -> None:
    code = (
        "import sys; from dfbench_attacks.plugin import dfbench_attacks; n = len(list(dfbench_attacks())); "
        "print(n, 'torch' in sys.modules, 'torchattacks' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(8 + len(torchattacks.__all__)), "False", "False"]


@pytest.mark.parametrize("name", [n for n in torchattacks.__all__ if n not in ("MultiAttack", "LGV")])
def test_parameters_read_from_the_source_are_those_of_the_class(name: str) -> None:
    import inspect

    theirs = inspect.signature(getattr(torchattacks, name)).parameters
    for param in catalogue.entries()[name].params:
        assert theirs[param.name].default == param.default
    expressible = {
        key for key, p in theirs.items() if type(p.default) in (bool, int, float, str) and key not in catalogue.OURS
    }
    assert {param.name for param in catalogue.entries()[name].params} == expressible


def test_types_and_choices_come_from_defaults_and_docstrings() -> None:
    params = {p.name: p for p in (*catalogue.entries()["CW"].params, *catalogue.entries()["APGD"].params)}
    assert params["c"].type is float  # the default is the integer 1
    assert params["steps"].type is int
    assert params["norm"].choices == ("Linf", "L2")
    assert params["eps"].default == 8 / 255


# --- the adapter --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["FGSM", "BIM", "MIFGSM"])
def test_the_adapter_gives_torchattacks_own_images_sample_by_sample(name: str) -> None:
    model, x = small_detector(), noise_images(3)
    y = own_labels(model, x)
    ours = build(name)(ModelView(model, exact=True), x, y, SampleRng(0, IDS))
    theirs = torch.cat([getattr(torchattacks, name)(model)(x[i : i + 1], y[i : i + 1]) for i in range(3)])
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["PGD", "FFGSM", "OnePixel", "Pixle", "APGD", "Square", "GN"])
def test_random_attacks_depend_on_seed_and_sample_not_on_the_batch(name: str) -> None:
    view, x, y = scene()
    attack = build(name, **({"n_queries": 5, "eps": 0.2} if name == "Square" else {}))
    whole = attack(view, x, y, SampleRng(0, IDS))
    assert torch.equal(whole[[2, 0]], attack(view, x[[2, 0]], y[[2, 0]], SampleRng(0, ("c", "a"))))
    assert not torch.equal(whole, attack(view, x, y, SampleRng(1, IDS)))


def test_the_three_global_random_states_are_left_as_they_were() -> None:
    view, x, y = scene()
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    build("OnePixel")(view, x, y, SampleRng(0, IDS))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


@pytest.mark.parametrize("name", ["PGD", "RFGSM", "TPGD", "PGDL2", "APGD", "PIFGSM"])
def test_eps_zero_is_the_identity_where_torchattacks_changes_images(name: str) -> None:
    view, x, y = scene()
    attack = build(name, **{"max_epsilon" if name == "PIFGSM" else "eps": 0.0})
    assert torch.equal(checked(attack, view, x, y, SampleRng(0, IDS)), x)


@pytest.mark.parametrize(
    "name, params, bound",
    [
        ("PGD", {}, 8 / 255),
        ("PIFGSM", {}, 16 / 255),
        ("PGDL2", {}, None),
        ("CW", {}, None),
        ("APGD", {"norm": "L2"}, None),
        ("SPSA", {}, 0.3),
    ],
)
def test_eps_is_the_l_inf_bound_and_none_for_other_norms(name: str, params: dict[str, object], bound: float) -> None:
    assert build(name, **params).eps == bound


def test_an_attack_can_be_pickled() -> None:
    copy = pickle.loads(pickle.dumps(build("PGD", steps=3)))
    assert type(copy) is adapter.PGD
    assert copy.params["steps"] == 3


@pytest.mark.parametrize("name", list(adapter.UNUSABLE))
def test_an_attack_that_needs_a_third_class_is_refused_before_any_work(name: str) -> None:
    with pytest.raises(UsageError, match=f"'torchattacks/{name}' cannot be used here: .*; (use|run|give) "):
        build(name)


@pytest.mark.parametrize("name, parameter, value", list(adapter.UNUSABLE_VALUES))
def test_a_parameter_value_that_cannot_work_is_refused(name: str, parameter: str, value: str) -> None:
    with pytest.raises(UsageError, match="; use "):
        build(name, **{parameter: value})


@pytest.mark.slow
@pytest.mark.parametrize("name", torchattacks.__all__)
def test_every_attack_works_on_two_classes_or_is_refused(name: str) -> None:
    """Also where no image can be fooled (a tiny bound) or all are wrong already: some fail only there."""
    view, x, y = scene()
    params = dict(SHORT.get(name, {}))
    if name in adapter.UNUSABLE:
        with pytest.raises(UsageError):
            build(name)
        return
    bounds = {"max_epsilon", "eps"} & {p.name for p in catalogue.entries()[name].params}
    for labels in (y, 1 - y):
        for tiny in ({}, dict.fromkeys(bounds, 1e-7)):
            checked(build(name, **params, **tiny), view, x, labels, SampleRng(0, IDS))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["APGDT", "AutoAttack", "JSMA", "MultiAttack", "LGV"])
def test_the_table_of_unusable_attacks_holds_no_attack_that_works(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "UNUSABLE", {})
    view, x, y = scene()
    tiny = {"eps": 1e-7} if name in ("APGDT", "AutoAttack") else {}
    with pytest.raises(ContractError, match="failed inside torchattacks"):
        build(name, **tiny)(view, x, y, SampleRng(0, IDS))


@pytest.mark.slow
@pytest.mark.parametrize("name, parameter, value", list(adapter.UNUSABLE_VALUES))
def test_the_table_of_unusable_values_holds_none_that_works(
    name: str, parameter: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "UNUSABLE_VALUES", {})
    view, x, y = scene()
    with pytest.raises(ContractError, match="failed inside torchattacks"):
        build(name, **{parameter: value})(view, x, y, SampleRng(0, IDS))


# --- torchattacks is not installed --------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_torchattacks")
def test_without_torchattacks_its_names_are_listed_and_say_what_to_install() -> None:
    assert list(catalogue.entries()) == list(catalogue.NAMES)
    with pytest.raises(MissingDependency, match=r"pip install --no-deps torchattacks==3\.5\.1"):
        build("PGD")
