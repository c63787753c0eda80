"""Adaptive attacks: gradients and successes behind a real codec, and means over what is random."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import TINY, Cli
from torch import Tensor, nn
from trained import detector, faces

from dfbench.adaptive import AdaptiveView, cross_entropy, margin
from dfbench.config import build_config
from dfbench.contracts import Attack, Corruption
from dfbench.errors import UsageError
from dfbench.registry import Component, load_registry
from dfbench.rng import SampleRng
from dfbench.threat import checked
from dfbench.view import ModelView
from dfbench_attacks.apgd import APGD
from dfbench_attacks.fab import FAB
from dfbench_attacks.gradient import FGSM, MIFGSM, PGD
from dfbench_attacks.square import Square
from dfbench_attacks.strong import Strong
from dfbench_corruptions.jpeg import Jpeg

JPEG = "jpeg(quality=50)"
EPS = 16 / 255
ADAPTIVE = [FGSM, PGD, MIFGSM, APGD, FAB, Square, Strong]


def ids(count: int) -> list[str]:
    return [f"sample {number}" for number in range(count)]


def corruption(text: str) -> Corruption:
    built: Corruption = load_registry().component("corruption", text).build()
    return built


def margins_behind(text: str, attack: Attack, count: int = 32) -> Tensor:
    """The margins of attacked images behind the real codec, on the model itself."""
    model, (x, y) = detector(), faces(count, seed=7)
    rng = SampleRng(0, ids(count))
    x_adv = checked(attack, ModelView(model), x, y, rng)
    with torch.no_grad():
        return margin(model(corruption(text)(x_adv, rng)), y)


# --- through a codec --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec, eps", [(JPEG, 8 / 255), ("h264(crf=23)", 5 / 255)])
def test_pgd_through_a_codec_is_stronger_behind_it_than_plain_pgd_of_the_same_budget(codec: str, eps: float) -> None:
    pytest.importorskip("av")
    plain = margins_behind(codec, PGD(eps, steps=10, random_start=False))
    adaptive = margins_behind(codec, PGD(eps, steps=10, random_start=False, through=codec))
    assert float(adaptive.mean()) > float(plain.mean()) + 1
    assert int((adaptive > 0).sum()) > int((plain > 0).sum())


def test_the_surrogate_of_jpeg_is_far_stronger_than_the_identity_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = PGD(EPS, steps=10, random_start=False, through=JPEG)
    with_surrogate = margins_behind(JPEG, attack)
    monkeypatch.setattr(Jpeg, "surrogate", lambda self, x: x)
    assert float(with_surrogate.mean()) > float(margins_behind(JPEG, attack).mean()) + 1


@pytest.mark.parametrize("attack", [Strong, FAB, Square])
def test_success_is_judged_behind_the_real_codec(attack: type[Attack]) -> None:
    short = {"queries": 30} if attack is Square else {"steps": 10}
    if attack is Strong:
        short["queries"] = 30
    one = attack(EPS, **short, through=JPEG)
    wrong = (margins_behind(JPEG, one) > 0).tolist()
    assert wrong == [by != "" for by in one.facts["broken_by"]]
    assert any(wrong) or attack is Square


def test_the_values_come_from_the_codec_and_the_gradient_from_its_surrogate() -> None:
    model, (x, y), codec = detector(), faces(4, seed=7), Jpeg(50)
    rng, rows = SampleRng(0, ids(4)), torch.arange(4)
    logits, grad = AdaptiveView(model, codec, rng).answer(x, y, rows, cross_entropy)
    torch.testing.assert_close(logits, model(codec(x, rng)).detach())
    leaf = x.clone().requires_grad_(True)
    after = codec(x, rng).requires_grad_(True)
    (behind,) = torch.autograd.grad(cross_entropy(model(after), y).sum(), after)
    (expected,) = torch.autograd.grad((codec.surrogate(leaf) * behind).sum(), leaf)
    torch.testing.assert_close(grad, expected)


def test_a_corruption_without_a_surrogate_passes_the_gradient_straight_through() -> None:
    class Darker(Corruption):
        def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
            return (x * 127).floor() / 255

    model, (x, y) = detector(), faces(4, seed=7)
    rng = SampleRng(0, ids(4))
    loss, grad = AdaptiveView(model, Darker(), rng).gradient(x, y)
    expected = ModelView(model, exact=True).gradient(Darker()(x, rng), y)
    torch.testing.assert_close((loss, grad), expected)


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
@pytest.mark.parametrize("text", ["jpeg(quality=50)", "jpeg(quality=90)"])
def test_the_surrogate_of_jpeg_is_close_to_jpeg_at_any_size(text: str, size: tuple[int, int]) -> None:
    x = nn.functional.interpolate(faces(4, seed=7)[0], size, mode="bilinear")
    codec = corruption(text)
    real, stand_in = codec(x, SampleRng(0, ids(4))), codec.surrogate(x)
    assert stand_in.shape == x.shape
    assert float((stand_in - real).abs().mean()) < 0.5 * float((x - real).abs().mean())


# --- means over draws -------------------------------------------------------------------------------------------------


class Wobbly(nn.Module):
    """A detector whose input is shifted and scaled at random: a preprocessing that misleads single gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.model = detector()

    def forward(self, x: Tensor) -> Tensor:
        noise = 0.25 * torch.randn(len(x), 3, *x.shape[2:])
        return self.model((x + noise).clamp(0, 1))


@pytest.mark.parametrize("attack", [PGD, APGD])
def test_averaging_over_draws_helps_against_a_random_layer(attack: type[Attack]) -> None:
    torch.manual_seed(0)
    model, (x, y) = Wobbly(), faces(32, seed=7)
    found = []
    for eot in (1, 16):
        x_adv = attack(6 / 255, steps=10, eot=eot)(ModelView(model, exact=True), x, y, SampleRng(0, ids(32)))
        with torch.no_grad():
            found.append(float(torch.stack([margin(model(x_adv), y) for _ in range(32)]).mean()))
    assert found[1] > found[0] + 0.2


class Grain(Corruption):
    """Noise, drawn per sample."""

    def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
        return (x + 0.1 * rng.normal(x)).clamp(0, 1)


def test_an_answer_is_the_mean_over_fresh_draws() -> None:
    model, (x, y) = detector(), faces(4, seed=7)
    got = AdaptiveView(model, Grain(), SampleRng(0, ids(4)), eot=3).answer(x, y, torch.arange(4), margin)
    rng = SampleRng(0, ids(4))
    singles = [AdaptiveView(model, Grain(), rng).answer(x, y, torch.arange(4), margin) for _ in range(3)]
    assert not torch.equal(singles[0][0], singles[1][0])
    for mean, each in zip(got, zip(*singles, strict=True), strict=True):
        torch.testing.assert_close(mean, torch.stack(each).mean(0))


def test_what_a_sample_meets_does_not_depend_on_who_is_still_in_the_batch() -> None:
    model, (x, y) = detector(), faces(4, seed=7)
    whole, part = (AdaptiveView(model, Grain(), SampleRng(0, ids(4))) for _ in range(2))
    rows = torch.tensor([3, 1])
    for _ in range(2):
        expected, _ = whole.answer(x, y, torch.arange(4), None)
        got, _ = part.answer(x[rows], y[rows], rows, None)
        torch.testing.assert_close(got, expected[rows])


def test_draws_multiply_the_declared_passes_and_those_taken() -> None:
    model, (x, y) = detector(), faces(4, seed=7)
    for attack in (FGSM(eot=3), PGD(steps=2, eot=3), MIFGSM(steps=2, eot=3), APGD(steps=2, eot=3)):
        view = ModelView(model)
        attack(view, x, y, SampleRng(0, ids(4)))
        assert (view.forwards / 4, view.backwards / 4) == attack.passes()


# --- as users write it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ADAPTIVE)
def test_an_attack_tells_what_it_looks_through_as_tables_write_the_corruption(attack: type[Attack]) -> None:
    assert attack(through="jpeg").through == JPEG
    assert attack().through == ""


def test_a_corruption_is_told_as_it_is_written_whatever_its_column_is_called() -> None:
    pytest.importorskip("av")
    assert PGD(through="h264").through == "h264(crf=23)"


@pytest.mark.parametrize("attack", [FGSM, MIFGSM])
def test_an_adaptive_attack_does_not_share_first_gradients(attack: type[Attack]) -> None:
    assert attack().starts_clean
    assert not attack(eot=2).starts_clean
    assert not attack(through=JPEG).starts_clean
    assert not PGD(random_start=False, eot=2).starts_clean


@pytest.mark.parametrize(
    "text, said", [("jpg", "unknown corruption 'jpg': did you mean 'jpeg'"), ("jpeg(q=1)", "no parameter 'q'")]
)
@pytest.mark.parametrize("attack", ADAPTIVE)
def test_a_corruption_that_does_not_exist_is_refused_before_any_work(
    attack: type[Attack], text: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        attack(through=text)


def test_the_corruption_counts_for_the_attacks_identity() -> None:
    assert PGD(through="jpeg").fingerprint == PGD(through=JPEG).fingerprint
    assert len({PGD(through=text).fingerprint for text in ("", "jpeg", "jpeg(quality=60)")}) == 3


@pytest.mark.parametrize("name", ["fgsm", "pgd", "mifgsm", "apgd", "fab", "square", "strong"])
def test_a_nested_expression_reads_back_as_it_is_written(name: str) -> None:
    one: Component = load_registry().component("attack", f"{name}(eps=2/255, through='jpeg(quality=60)')")
    assert one.params["through"] == "jpeg(quality=60)"
    assert load_registry().component("attack", one.label) == one
    assert one.label == f'{name}(eps=2/255, through="jpeg(quality=60)")'


def test_a_nested_expression_goes_along_with_a_list_of_eps() -> None:
    attack = 'pgd(eps=[1/255, 2/255], through="jpeg(quality=60)")'
    config = build_config(
        load_registry(), models=[TINY], defenses=[], scenarios=[(attack, "jpeg(quality=60)", "")], data=["mini"]
    )
    found = [row.attack for row in config.runs[0].scenarios if row.attack]
    assert [one.params["eps"] for one in found] == [1 / 255, 2 / 255]
    assert {one.params["through"] for one in found} == {"jpeg(quality=60)"}


def test_a_run_on_the_command_line_or_from_a_file_records_the_nested_expression(
    dfbench: Cli, faces: Path, tmp_path: Path
) -> None:
    attack = f'pgd(eps=4/255, steps=2, through="{JPEG}")'
    data, cache = f'folder(path="{faces}", size=64)', tmp_path / "cache"
    model, defense = TINY, "none(epochs=1, batch_size=16)"
    code, _, err = dfbench(
        "run", "--model", model, "--defense", defense, "--attack", attack, "--corruption", JPEG, "--data", data,
        "--cache", cache, "--out", tmp_path / "run",
    )  # fmt: skip
    assert code == 0, err
    sweep = tmp_path / "sweep.toml"
    sweep.write_text(
        f"model = '{model}'\ndefense = '{defense}'\ndata = '{data}'\n"
        f"[[scenario]]\nattack = '{attack}'\ncorruption = '{JPEG}'\n"
    )
    code, _, err = dfbench("sweep", sweep, "--cache", cache, "--out", tmp_path / "sweep")
    assert code == 0, err
    for folder in ("run", "sweep"):
        record = json.loads((tmp_path / folder / "record.json").read_text())
        (found,) = (cell for cell in record["cells"] if cell["attack"] == attack and cell["corruption"] == JPEG)
        assert found["status"] == "ok"
