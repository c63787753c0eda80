"""File names from labels: readable, short enough, and no two labels with one name."""

from __future__ import annotations

import pytest

from dfbench.names import file_name


@pytest.mark.parametrize(
    "label, name",
    [
        ("hybrid", "hybrid"),
        ("dual(epochs=12)", "dual-epochs-12"),
        ("unet(eps=8/255, epochs=4)", "unet-eps-8-255-epochs-4"),
        ("mini(size=96)", "mini-size-96"),
    ],
)
def test_a_plain_label_stays_readable(label: str, name: str) -> None:
    assert file_name(label) == name


@pytest.mark.parametrize(
    "one, other",
    [
        ("folder(path=a_b)", "folder(path=a-b)"),
        ("x(a=-1)", "x(a=1)"),
        ("folder(path=/tmp/a)", "folder(path=tmp/a)"),
        ("日本", "中文"),
        ("x" * 60 + "a", "x" * 60 + "b"),
    ],
)
def test_labels_that_differ_have_names_that_differ(one: str, other: str) -> None:
    assert file_name(one) != file_name(other)


@pytest.mark.parametrize("label", ["../../etc/passwd", ".hidden", "", "   ", "日本", "a" * 400, "<script>", "con/../x"])
def test_no_name_is_empty_hidden_long_or_leaves_its_folder(label: str) -> None:
    name = file_name(label)
    assert name
    assert not name.startswith((".", "-"))
    assert "/" not in name
    assert len(name) <= 45
