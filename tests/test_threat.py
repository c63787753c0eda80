"""The post-conditions fire on every kind of broken component, and let sound ones pass."""

from __future__ import annotations

import pytest
import torch
from detectors import SmallDetector, noise_images, own_labels, small_detector
from torch import Tensor, nn

from dfbench.contracts import Attack, Corruption
from dfbench.errors import ContractError
from dfbench.rng import SampleRng
from dfbench.threat import check_model, checked, checked_corruption
from dfbench.view import ModelView
from dfbench_attacks.gradient import FGSM, MIFGSM, PGD

EPS = 8 / 255


class Broken(Attack):
    """Does to view and images what it is given, and returns the result."""

    def __init__(self, what, eps: float | None = EPS) -> None:
        self.what, self.eps = what, eps

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        return self.what(view, x)


def run(attack: Attack, model: nn.Module | None = None) -> Tensor:
    model = model or small_detector()
    x = noise_images(4) * 0.8 + 0.1
    return checked(attack, ModelView(model), x, own_labels(model, x), SampleRng(0, "abcd"))


def in_place(view: ModelView, x: Tensor) -> Tensor:
    return x.add_(0.1).clamp_(0, 1)


def train_mode(view: ModelView, x: Tensor) -> Tensor:
    view.module.train()
    return x


def train_mode_of_one_part(view: ModelView, x: Tensor) -> Tensor:
    view.module.head[2].train()
    return x


def weights_in_place(view: ModelView, x: Tensor) -> Tensor:
    view.module.head[3].weight.mul_(2)
    return x


def weights_behind_autograds_back(view: ModelView, x: Tensor) -> Tensor:
    view.module.head[3].weight.data[0, 0] += 1
    return x


def a_new_parameter(view: ModelView, x: Tensor) -> Tensor:
    view.module.head[3].bias = nn.Parameter(torch.zeros(2), requires_grad=False)
    return x


def unfrozen(view: ModelView, x: Tensor) -> Tensor:
    view.module.requires_grad_(True)
    return x


@pytest.mark.parametrize(
    "what, message",
    [
        (lambda view, x: (x + 2 * EPS).clamp(0, 1), r"left its eps-ball: \|x_adv - x\| reaches 0.0627.*eps is 0.0313"),
        (in_place, "left its eps-ball"),
        (lambda view, x: x + 0.3, r"pixels in \[.*, 1.\d+\]"),
        (lambda view, x: x - 0.3, r"pixels in \[-0"),
        (lambda view, x: x.index_fill(0, torch.tensor([1]), torch.nan), "NaN or infinity in 1 of 4 images"),
        (lambda view, x: x[:2], r"shape \(2, 3, 32, 32\)"),
        (lambda view, x: x.double(), "dtype torch.float64"),
        (lambda view, x: x.numpy(), "returned ndarray"),
        (train_mode, "left the model's 'root' in training mode"),
        (train_mode_of_one_part, "left the model's 'head.2' in training mode"),
        (weights_in_place, r"changed the model under attack \('head.3.weight'\)"),
        (weights_behind_autograds_back, r"changed the model under attack \('head.3.weight'\)"),
        (a_new_parameter, r"changed the model under attack \('head.3.bias'\)"),
        (unfrozen, "changed the model under attack .* and 5 more"),
    ],
)
def test_each_broken_attack_is_refused_with_its_name_and_the_measured_value(what, message: str) -> None:
    with pytest.raises(ContractError, match="the attack 'Broken'.*" + message):
        run(Broken(what))


def test_eps_zero_must_be_the_identity() -> None:
    with pytest.raises(ContractError, match="at eps 0"):
        run(Broken(lambda view, x: (x + 1e-7).clamp(0, 1), eps=0.0))


def test_an_attack_without_an_eps_may_go_anywhere_in_the_unit_range() -> None:
    assert float(run(Broken(lambda view, x: 1 - x, eps=None)).max()) <= 1


@pytest.mark.parametrize(
    "attack", [FGSM(), PGD(), MIFGSM(), PGD(eps=0.25 / 255), FGSM(eps=0), PGD(eps=0), MIFGSM(eps=0)]
)
def test_sound_attacks_pass(attack: Attack) -> None:
    assert not run(attack).requires_grad


def test_attacks_have_gradients_also_where_the_caller_scores_in_inference_mode() -> None:
    with torch.inference_mode():
        moved = run(PGD())
    assert float((moved - (noise_images(4) * 0.8 + 0.1)).abs().max()) == pytest.approx(EPS, abs=1e-6)


def test_a_nan_gradient_is_an_error_not_a_clean_image() -> None:
    model = small_detector()
    with torch.no_grad():
        model.head[3].weight[0, 0] = torch.nan
    for attack in (FGSM(), PGD(), MIFGSM()):
        with pytest.raises(ContractError, match="NaN or infinite for 4 of 4 images"):
            checked(attack, ModelView(model, exact=True), noise_images(4), torch.zeros(4).long(), SampleRng(0, "abcd"))


class BrokenCorruption(Corruption):
    def __init__(self, what) -> None:
        self.what = what

    def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
        return self.what(x)


@pytest.mark.parametrize(
    "what, message",
    [
        (lambda x: x * 2, "pixels in"),
        (lambda x: x / 0 * 0, "NaN or infinity"),
        (lambda x: x[..., ::2], "shape"),
        (lambda x: (x * 255).byte(), "dtype"),
    ],
)
def test_each_broken_corruption_is_refused(what, message: str) -> None:
    with pytest.raises(ContractError, match="the corruption 'BrokenCorruption'.*" + message):
        checked_corruption(BrokenCorruption(what), noise_images(2), SampleRng(0, "ab"))


# --- models -------------------------------------------------------------------------------------------------------


class Altered(SmallDetector):
    def __init__(self, change) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(super().forward(x))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda z: z[:, :1], r"shape \(2, 1\).*torch.stack"),
        (lambda z: torch.cat([z, z], 1), r"shape \(2, 4\)"),
        (lambda z: z.softmax(1), "probabilities"),
        (lambda z: z.detach(), "no gradient"),
        (lambda z: z * 0, "zero gradient"),
        (lambda z: z / 0 * 0, "NaN or infinite logits"),
        (lambda z: (z > 0).long(), "torch.int64"),
        (lambda z: (z,), "returned tuple"),
    ],
)
def test_each_broken_model_is_refused_with_the_cure(change, message: str) -> None:
    with pytest.raises(ContractError, match="the model 'Altered'.*" + message):
        check_model(Altered(change), 32)


@pytest.mark.parametrize("attribute", ["weights", "cam_layer", "min_size"])
def test_a_model_without_a_contract_attribute_is_refused(attribute: str) -> None:
    model = small_detector()
    delattr(model, attribute)
    with pytest.raises(ContractError, match=f"no attribute '{attribute}'"):
        check_model(model, 32)


def test_images_below_the_models_smallest_size_are_refused() -> None:
    with pytest.raises(ContractError, match="from 16 x 16, but the data set's are 8 x 8"):
        check_model(small_detector(), 8)


def test_a_cam_layer_that_does_not_exist_is_refused() -> None:
    model = small_detector()
    model.cam_layer = "backbone.blocks"
    with pytest.raises(ContractError, match=r"'backbone\.blocks', which is no sub-module"):
        check_model(model, 32)


def test_checking_a_sound_model_leaves_its_mode_alone() -> None:
    model = small_detector().train()
    check_model(model, 32)
    assert all(module.training for module in model.modules())
