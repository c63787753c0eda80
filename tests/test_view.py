"""The model view: same function, faster, and the model itself is never touched."""

from __future__ import annotations

import copy

import pytest
import torch
from detectors import SmallDetector, noise_images, own_labels, small_detector
from torch import Tensor, nn

from dfbench.view import ModelView
from dfbench_models.hybrid import Hybrid


class ReusesConvOutput(SmallDetector):
    """The first convolution's output is used beside its batch norm, so folding would change it."""

    def forward(self, x: Tensor) -> Tensor:
        before = self.features[0](x)
        logits: Tensor = self.head(self.features[2:](self.features[1](before) + before))
        return logits


def fingerprint(model: nn.Module) -> list[tuple[str, bool]]:
    return [(name, module.training) for name, module in model.named_modules()]


def test_exact_view_gives_the_models_own_logits_bit_for_bit() -> None:
    model, x = small_detector(), noise_images(4)
    assert torch.equal(ModelView(model, exact=True)(x), model(x))


def test_prepared_hybrid_has_every_batch_norm_folded_and_equal_logits_and_gradients() -> None:
    torch.manual_seed(0)
    model = Hybrid().eval()
    view, exact = ModelView(model), ModelView(model, exact=True)
    x, y = noise_images(2, 96), torch.tensor([0, 1])
    assert not any(isinstance(module, nn.BatchNorm2d) for module in view.module.modules())
    torch.testing.assert_close(view(x), exact(x), atol=1e-4, rtol=1e-4)
    mine, own = view.gradient(x, y)[1], exact.gradient(x, y)[1]
    assert float((mine - own).norm() / own.norm()) < 1e-2


def test_a_model_that_cannot_be_folded_keeps_its_own_arithmetic_and_says_why() -> None:
    model, x = small_detector(ReusesConvOutput), noise_images(4)
    view = ModelView(model)
    assert "differ" in view.why_exact
    assert torch.equal(view(x), model(x))


def test_making_a_view_leaves_the_model_as_it_is() -> None:
    model = small_detector().train()
    before, state = fingerprint(model), copy.deepcopy(model.state_dict())
    view = ModelView(model)
    view.gradient(noise_images(2), torch.tensor([0, 1]))
    assert fingerprint(model) == before
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("exact", [False, True])
def test_nothing_in_a_view_is_trainable_or_in_training_mode(exact: bool) -> None:
    view = ModelView(small_detector().train(), exact=exact)
    assert not any(parameter.requires_grad for parameter in view.module.parameters())
    assert not any(module.training for module in view.module.modules())


@pytest.mark.parametrize("exact", [False, True])
def test_sync_follows_changed_weights_and_batch_norm_statistics(exact: bool) -> None:
    model, x = small_detector(), noise_images(4)
    view = ModelView(model, exact=exact)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    model(noise_images(8, seed=1)).square().sum().backward()
    optimizer.step()
    assert not torch.allclose(view(x), model.eval()(x), atol=1e-3)
    view.sync(model)
    torch.testing.assert_close(view(x), model(x), atol=1e-5, rtol=1e-5)


def test_a_samples_gradient_does_not_depend_on_the_batch() -> None:
    model = small_detector()
    x, y = noise_images(8), own_labels(model, noise_images(8))
    view = ModelView(model)
    whole = view.gradient(x, y)[1]
    alone = torch.cat([view.gradient(x[i : i + 1], y[i : i + 1])[1] for i in range(8)])
    torch.testing.assert_close(whole, alone, atol=1e-6, rtol=1e-4)


def test_gradient_is_that_of_the_summed_cross_entropy() -> None:
    model, x, y = small_detector(), noise_images(3), torch.tensor([0, 1, 1])
    leaf = x.clone().requires_grad_(True)
    nn.functional.cross_entropy(model(leaf), y, reduction="sum").backward()
    torch.testing.assert_close(ModelView(model).gradient(x, y)[1], leaf.grad, atol=1e-5, rtol=1e-4)


def test_gradients_are_contiguous_so_that_attacks_may_view_them() -> None:
    _, grad = ModelView(small_detector()).gradient(noise_images(2), torch.tensor([0, 1]))
    assert grad.is_contiguous()


def test_every_pass_is_counted_also_of_attacks_that_call_autograd_themselves() -> None:
    view, x = ModelView(small_detector()), noise_images(3)
    view(x)
    view.gradient(x, torch.zeros(3, dtype=torch.long))
    leaf = x.clone().requires_grad_(True)
    torch.autograd.grad(view(leaf).sum(), leaf)
    assert (view.forwards, view.backwards) == (9, 6)


def mixed_model() -> SmallDetector:
    """In training mode, but one norm in evaluation mode and one parameter frozen: what must come back exactly."""
    model = small_detector().train()
    model.features[1].eval()
    model.features[0].weight.requires_grad_(False)
    return model


def test_of_training_restores_every_mode_and_flag_also_after_an_error() -> None:
    model = mixed_model()
    modes, flags = fingerprint(model), [p.requires_grad for p in model.parameters()]
    state = copy.deepcopy(model.state_dict())
    inside = []

    def attack_that_fails() -> None:
        with ModelView.of_training(model) as view:
            view.gradient(noise_images(2), torch.tensor([0, 1]))
            inside.extend(fingerprint(view.module))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attack_that_fails()
    assert inside
    assert not any(training for _, training in inside)
    assert fingerprint(model) == modes
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_of_training_works_in_full_precision_inside_autocast() -> None:
    model, x = small_detector(), noise_images(2)
    with torch.autocast("cpu", torch.bfloat16), ModelView.of_training(model) as view:
        logits = view(x)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, model(x))


def test_a_gradient_at_images_that_were_seen_before_is_not_computed_again() -> None:
    view, x = ModelView(small_detector()), noise_images(4)
    calls: list[int] = []
    view.module.register_forward_hook(lambda *_: calls.append(1))
    with view.remembering():
        first, again = (view.gradient(x.clone(), torch.tensor([0, 1, 0, 1])) for _ in range(2))
    assert len(calls) == 1
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert (view.forwards, view.backwards) == (8, 8)


def test_other_images_and_other_labels_are_no_memories() -> None:
    view, x, y = ModelView(small_detector()), noise_images(4), torch.tensor([0, 1, 0, 1])
    moved = x.clone()
    moved[3, 2, 1, 0] += 1e-3
    with view.remembering():
        for images, labels in ((x, y), (moved, y), (x, 1 - y)):
            expected = ModelView(small_detector()).gradient(images, labels)[1]
            assert torch.equal(view.gradient(images, labels)[1], expected)


def test_what_an_attack_does_to_its_gradient_is_not_remembered() -> None:
    view, x, y = ModelView(small_detector()), noise_images(4), torch.tensor([0, 1, 0, 1])
    with view.remembering():
        kept = view.gradient(x, y)[1].clone()
        view.gradient(x, y)[1].zero_()
        images = x.clone()
        view.gradient(images, y)
        images.zero_()
        assert torch.equal(view.gradient(x, y)[1], kept)


def test_the_oldest_memory_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    view, y = ModelView(small_detector()), torch.tensor([0, 1, 0, 1])
    images = [noise_images(4, seed=seed) for seed in range(3)]
    monkeypatch.setattr("dfbench.view.REMEMBERED", 2 * 2 * images[0].nbytes)
    calls: list[int] = []
    view.module.register_forward_hook(lambda *_: calls.append(1))
    with view.remembering():
        for x in (images[0], images[1], images[0], images[2], images[0], images[1]):
            view.gradient(x, y)
    assert len(calls) == 4


def test_nothing_is_remembered_beyond_the_batch() -> None:
    view, x, y = ModelView(small_detector()), noise_images(4), torch.tensor([0, 1, 0, 1])
    calls: list[int] = []
    view.module.register_forward_hook(lambda *_: calls.append(1))
    with view.remembering():
        view.gradient(x, y)
    view.gradient(x, y)
    assert len(calls) == 2
