"""The grammar in which components are written, and the binding of parameters to a schema."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest

from dfbench.contracts import REQUIRED, Param
from dfbench.errors import UsageError
from dfbench.grammar import Expr, format_expr, format_value, parse, parse_sum, variants
from dfbench.schema import bind

SCHEMA = (
    Param("eps", float, 8 / 255, "L-inf bound", low=0, high=1),
    Param("steps", int, 10, "gradient steps", low=1),
    Param("norm", str, "linf", choices=("linf", "l2")),
    Param("source", str, None, "a run"),
    Param("start", bool, True),
    Param("weight", float, 1),
)


def bound(text: str) -> dict[str, Any]:
    return bind(parse(text), SCHEMA, "attack 'pgd'")


@pytest.mark.parametrize(
    "text, name, params",
    [
        ("pgd", "pgd", {}),
        ("pgd()", "pgd", {}),
        ("pgd(eps=4/255, steps=20)", "pgd", {"eps": 4 / 255, "steps": 20}),
        (" pgd ( eps = 0.25/255 , ) ", "pgd", {"eps": 0.25 / 255}),
        ("timm(name=resnet18.a1_in1k)", "timm", {"name": "resnet18.a1_in1k"}),
        ("torchattacks/DIFGSM(eps=2/255)", "torchattacks/DIFGSM", {"eps": 2 / 255}),
        ("folder(path=/data/x-y_z.d/faces)", "folder", {"path": "/data/x-y_z.d/faces"}),
        ('folder(path="/data/x y, (z)")', "folder", {"path": "/data/x y, (z)"}),
        (r"folder(path='C:\data\x')", "folder", {"path": r"C:\data\x"}),
        (r"folder(path='it\'s')", "folder", {"path": "it's"}),
        ("timm(name=hf-hub:timm/resnet18)", "timm", {"name": "hf-hub:timm/resnet18"}),
        ("x(a=true, b=false, c=none)", "x", {"a": True, "b": False, "c": None}),
        ("x(a=1e-3, b=-2, c=+.5, d=1.)", "x", {"a": 0.001, "b": -2, "c": 0.5, "d": 1.0}),
        ("x(a=[0.1, 2/255], b=[], c=[a, 'b c', [1]])", "x", {"a": [0.1, 2 / 255], "b": [], "c": ["a", "b c", [1]]}),
        ("x(a='1', b=\"true\", c='')", "x", {"a": "1", "b": "true", "c": ""}),
        ("x(a=../../b, b=1.2.3)", "x", {"a": "../../b", "b": "1.2.3"}),
    ],
)
def test_a_component_is_read_with_its_values_typed(text: str, name: str, params: dict[str, Any]) -> None:
    expr = parse(text)
    assert (expr.name, expr.params) == (name, params)
    assert [type(v) for v in expr.params.values()] == [type(v) for v in params.values()]


def test_a_sum_is_read_in_the_order_written() -> None:
    assert parse_sum("dual+pim(alpha=0.5) + none") == [Expr("dual"), Expr("pim", {"alpha": 0.5}), Expr("none")]


@pytest.mark.parametrize(
    "text, where, cure",
    [
        ("", "at its end", "expected the name of a component, as in pgd"),
        ("(eps=1)", "at character 1 ('(')", "expected the name"),
        ("pgd(eps=4/255", "at its end", "expected ',' or ')'"),
        ("pgd(eps=1))", "at character 11 (')')", "expected the end"),
        ("pgd(4/255)", "at character 5 ('4')", "as in pgd(name=value)"),
        ("pgd(eps)", "at character 5 ('e')", "a parameter is given by its name, as in pgd(name=value)"),
        ("pgd(eps=)", "at character 9 (')')", "expected a value"),
        ("pgd(eps=1, eps=2)", "at character 12 ('e')", "'eps' is given twice"),
        ("pgd(eps=4/0)", "at character 9 ('4')", "0 below the line"),
        ("folder(path=/a b)", "at character 16 ('b')", "must be in quotes"),
        ("folder(path='/a)", 'at character 13 ("\'")', "never closed"),
        ("x(a=[1, 2)", "at character 10 (')')", "expected ',' or ']'"),
        ("pgd, fgsm", "at character 4 (',')", "expected the end"),
        ("dual+pim", "at character 5 ('+')", "a sum of components is not possible here"),
    ],
)
def test_unreadable_text_is_quoted_with_the_position_and_the_cure(text: str, where: str, cure: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text)
    assert str(error.value).startswith(f"cannot read {text!r} {where}: ")
    assert cure in str(error.value)


def test_an_unfinished_sum_is_refused() -> None:
    with pytest.raises(UsageError, match="at its end: expected the name of a component"):
        parse_sum("dual+")


@pytest.mark.parametrize(
    "value, text",
    [
        (8 / 255, "8/255"),
        (0.25 / 255, "0.25/255"),
        (0.5 / 255, "0.5/255"),
        (2.5 * (4 / 255) / 10, "1/255"),
        (0.0, "0.0"),
        (1.0, "1.0"),
        (0.2, "0.2"),
        (0.001, "0.001"),
        (1e-7, "1e-07"),
        (20, "20"),
        (True, "true"),
        (None, "none"),
        ("linf", "linf"),
        ("a b", '"a b"'),
        ("none", '"none"'),
        ("", '""'),
    ],
)
def test_values_are_written_the_way_people_write_them(value: Any, text: str) -> None:
    assert format_value(value) == text


def random_value(rng: random.Random, depth: int = 0) -> Any:
    makers = [
        lambda: rng.choice([None, True, False]),
        lambda: rng.randint(-(10**6), 10**6),
        lambda: rng.uniform(-2, 2) * 10 ** rng.randint(-12, 12),
        lambda: rng.randint(0, 255_000) / 1000 / 255,
        lambda: "".join(rng.choices(string.printable + "äπ面", k=rng.randint(0, 8))),
        lambda: rng.choice(["none", "1", "1/2", "nan", "1e5", "true", "a/b", "\\", "\\'", '\\"', "x=y", "+1"]),
    ]
    if depth < 2:
        makers.append(lambda: [random_value(rng, depth + 1) for _ in range(rng.randint(0, 3))])
    return rng.choice(makers)()


def test_what_is_written_reads_back_as_exactly_the_same_component() -> None:
    rng = random.Random(0)
    for _ in range(3000):
        expr = Expr("a/b-c.d", {f"p{i}": random_value(rng) for i in range(rng.randint(0, 4))})
        text = format_expr(expr.name, expr.params)
        again = parse(text)
        assert again == expr, text
        assert repr(again.params) == repr(expr.params), text


def test_binding_gives_every_parameter_in_the_order_of_the_schema() -> None:
    params = bound("pgd(start=false, steps=20)")
    expected = {"eps": 8 / 255, "steps": 20, "norm": "linf", "source": None, "start": False, "weight": 1.0}
    assert list(params.items()) == list(expected.items())


def test_an_int_is_taken_where_a_float_is_asked_and_becomes_one() -> None:
    assert type(bound("pgd(eps=1)")["eps"]) is float
    assert type(bound("pgd")["weight"]) is float


@pytest.mark.parametrize("text, value", [("2024", "2024"), ("1e3", "1e3"), ("true", "true"), ("none", None)])
def test_bare_text_stands_as_typed_where_text_is_asked(text: str, value: str | None) -> None:
    assert bound(f"pgd(source={text})")["source"] == value


def test_none_is_text_where_not_set_has_no_meaning() -> None:
    assert bind(parse("hybrid(weights=none)"), (Param("weights", str, "lite0"),), "model")["weights"] == "none"


@pytest.mark.parametrize(
    "text, message",
    [
        ("pgd(stepz=3)", "the attack 'pgd' has no parameter 'stepz': did you mean 'steps'"),
        ("pgd(steps=2.5)", "the parameter 'steps' must be a whole number of at least 1, not 2.5"),
        ("pgd(steps=4/2)", "must be a whole number of at least 1, not 4/2"),
        ("pgd(steps=true)", "must be a whole number of at least 1, not true"),
        ("pgd(steps=none)", "must be a whole number of at least 1, not none"),
        ("pgd(steps=0)", "must be a whole number of at least 1, not 0"),
        ("pgd(eps=8)", "the parameter 'eps' must be a number from 0 to 1, not 8"),
        ("pgd(eps=-1/255)", "must be a number from 0 to 1, not -1/255"),
        ("pgd(eps=nan)", "must be a number from 0 to 1, not nan"),
        ("pgd(eps=true)", "must be a number from 0 to 1, not true"),
        ("pgd(eps=big)", "must be a number from 0 to 1, not big"),
        ("pgd(eps=[1/255])", "give one value, not a list"),
        ("pgd(weight=inf)", "must be a number, not inf"),
        ("pgd(weight=1e999)", "must be a number, not 1e999"),
        (f"pgd(weight=1{'0' * 400})", "must be a number, not 1000"),
        ("pgd(start=1)", "must be true or false, not 1"),
        ("pgd(norm=l1)", "must be one of linf, l2, not l1; did you mean 'l2'"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named_with_the_value_and_what_is_taken(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        bound(text)
    assert "the attack 'pgd'" in str(error.value)
    assert message in str(error.value)
    assert error.value.exit_code == 2


def test_a_missing_required_parameter_is_named_with_an_example() -> None:
    schema = (Param("path", str, REQUIRED, "folder with real/ and fake/"),)
    with pytest.raises(UsageError, match=r"needs the parameter 'path' \(text\): write folder\(path=\.\.\.\)"):
        bind(parse("folder"), schema, "dataset 'folder'")


def test_lists_of_values_stand_for_every_combination() -> None:
    assert variants("dual+pim(alpha=[0.5, 1], r=[0.1, 0.2])") == [
        "dual+pim(alpha=0.5, r=0.1)",
        "dual+pim(alpha=0.5, r=0.2)",
        "dual+pim(alpha=1, r=0.1)",
        "dual+pim(alpha=1, r=0.2)",
    ]


def test_a_text_without_lists_stands_for_itself() -> None:
    assert variants(" pgd( eps = 4/255 ) ") == [" pgd( eps = 4/255 ) "]
