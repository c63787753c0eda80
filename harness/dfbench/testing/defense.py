"""The check of a defense."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from dfbench.contracts import Batch, Defense, Spec, TrainContext
from dfbench.registry import Component
from dfbench.rng import SampleRng
from dfbench.testing.common import Detector, check_pickle, component_of, conforming, images
from dfbench.view import ModelView


def check_defense(what: Spec | Component, *, size: int = 32, **params: Any) -> None:
    """Finite loss terms reach the detector, its mode is kept, batch norms count a regularised pass once, and a resumed
    objective goes on as if never stopped.

    Args:
        what: the defense's spec, with ``params`` as keywords, or its component.
        size: side of the images.

    Raises:
        AssertionError: what does not hold.
    """
    component = component_of(what, params)
    with conforming(component) as who:
        batch = images(4, size, size)
        defense, context = _start(component, who)
        before = {name: tensor.clone() for name, tensor in context.model.state_dict().items()}
        modes = [module.training for module in context.model.modules()]
        terms = _step(defense, context, batch)
        assert modes == [m.training for m in context.model.modules()], f"{who} leaves the detector in another mode"
        changed = [n for n, p in context.model.named_parameters() if not torch.equal(p, before[n])]
        assert not changed, f"{who} changes the detector's {changed[0]!r}; only the training loop's optimiser may"
        _check_terms(terms, context.model, who)
        _check_regularized(component, batch, who)
        saved = copy.deepcopy(defense.state_dict())  # as a file would keep it
        resumed, other = _start(component, who)
        resumed.load_state_dict(saved)
        other.model.load_state_dict(context.model.state_dict())
        other.step = context.step
        terms, again = _step(defense, context, batch), _step(resumed, other, batch)
        same = terms.keys() == again.keys() and all(torch.equal(terms[name], again[name]) for name in terms)
        assert same, f"{who} goes on otherwise after a resume: keep all it trains and draws in state_dict()"
        attacked = defense.attacked(ModelView(context.model), batch.x, batch.y, SampleRng(0, batch.ids))
        assert attacked is None or attacked.shape == batch.x.shape, f"{who}: attacked() must keep the images' shape"
        assert all(isinstance(value, float) for value in defense.logged().values()), f"{who}: logged() must give floats"
        check_pickle(component, who)


def _start(component: Component, who: str) -> tuple[Defense, TrainContext]:
    defense = component.build()
    assert isinstance(defense, Defense), f"{who} builds a {type(defense).__name__}; it must be a contracts.Defense"
    context = TrainContext(
        Detector().train(), nn.CrossEntropyLoss(), epochs=2, steps_per_epoch=2, seed=0, objectives=(defense,)
    )
    defense.setup(context)
    defense.begin_epoch(0, context)
    return defense, context


def _step(defense: Defense, context: TrainContext, batch: Batch) -> dict[str, Tensor]:
    """One step's loss terms, with the global random state the training loop would restore on resume."""
    torch.manual_seed(context.step)
    terms = _clean(context, batch) if defense.clean_weight else {}
    terms.update(defense.losses(batch, context))
    context.step += 1
    return terms


def _clean(context: TrainContext, batch: Batch) -> dict[str, Tensor]:
    """The training loop's own loss."""
    return context.terms(batch.x, lambda logits: {"clean": context.criterion(logits, batch.y)})


def _check_regularized(component: Component, batch: Batch, who: str) -> None:
    """A pass keeps its terms' names, and leaves the detector as a pass without the defense does."""
    _, regularised = _start(component, who)
    _, plain = _start(component, who)
    plain.objectives = ()
    for context in (regularised, plain):
        torch.manual_seed(0)
        names = sorted(_clean(context, batch))
        assert names == ["clean"], f"{who}: regularized() makes the term 'clean' into {names}; keep the terms' names"
    for name, expected in plain.model.named_buffers():
        same = torch.equal(expected, regularised.model.get_buffer(name))
        assert same, f"{who}: after a regularised pass {name!r} is not what one pass makes it; count each image once"
    for context in (regularised, plain):
        context.model.eval()
    with torch.no_grad():
        same = torch.equal(regularised.model(batch.x), plain.model(batch.x))
    assert same, f"{who}: after a regularised pass the detector gives other logits; remove every hook"


def _check_terms(terms: dict[str, Tensor], model: nn.Module, who: str) -> None:
    for name, term in terms.items():
        assert term.ndim == 0, f"{who}: the loss term {name!r} has shape {tuple(term.shape)}; it must be a scalar"
        assert bool(torch.isfinite(term)), f"{who}: the loss term {name!r} is {float(term.detach())}"
        assert term.requires_grad, f"{who}: the loss term {name!r} has no gradient"
        grads = torch.autograd.grad(term, list(model.parameters()), retain_graph=True, allow_unused=True)
        reaches = any(grad is not None and bool(grad.any()) for grad in grads)
        assert reaches, f"{who}: the loss term {name!r} does not reach the detector"
