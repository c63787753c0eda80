"""The built-in attacks."""

from __future__ import annotations

from collections.abc import Iterator

from dfbench import hookimpl
from dfbench.contracts import AttackSpec, Param
from dfbench_attacks import catalogue

_EPS = Param("eps", float, 8 / 255, "L-inf bound, in [0, 1] pixels", low=0, high=1)
_ALPHA = Param("alpha", float, None, "step length, in [0, 1] pixels; rel_alpha * eps if not set", low=0, high=1)
_REL_ALPHA = Param("rel_alpha", float, 0.25, "step length as a share of eps, where alpha is not set", low=0)
_STEPS = Param("steps", int, 10, "gradient steps", low=1)


@hookimpl
def dfbench_attacks() -> Iterator[AttackSpec]:
    """Gradient attacks, the learned U-Net attack, and every attack of torchattacks."""
    yield AttackSpec(
        "fgsm",
        "dfbench_attacks.gradient:FGSM",
        "one signed gradient step",
        params=(_EPS,),
        source="Goodfellow et al., ICLR 2015, arXiv:1412.6572",
    )
    yield AttackSpec(
        "pgd",
        "dfbench_attacks.gradient:PGD",
        "projected gradient ascent on the cross-entropy",
        params=(
            _EPS,
            _ALPHA,
            _STEPS,
            Param("random_start", bool, True, "start at a random point of the ball"),
            _REL_ALPHA,
        ),
        source="Madry et al., ICLR 2018, arXiv:1706.06083",
    )
    yield AttackSpec(
        "mifgsm",
        "dfbench_attacks.gradient:MIFGSM",
        "iterated signed gradient with momentum",
        params=(
            _EPS,
            _ALPHA,
            _STEPS,
            Param("decay", float, 1.0, "factor of the momentum at each step", low=0),
            _REL_ALPHA,
        ),
        source="Dong et al., CVPR 2018, arXiv:1710.06081",
    )
    yield AttackSpec(
        "unet",
        "dfbench_attacks.unet:UNetAttack",
        "a U-Net fitted to the frozen model draws smooth perturbations",
        params=(
            _EPS,
            Param("tv", float, 0.01, "weight of the perturbation's total variation", low=0),
            Param("freq", float, 0.01, "weight of its low-frequency energy", low=0),
            Param("epochs", int, 2, "passes over the attack-training split", low=1),
            Param("lr", float, 4e-3, "learning rate of AdamW, cosine to zero", low=0),
            Param("weight_decay", float, 1e-5, "weight decay of AdamW", low=0),
            Param("objective", str, "margin", "what it lowers: the logit margin, or -CE", choices=("margin", "ce")),
            Param("source", str, "", "a .safetensors file or a run's folder: no fitting, a transfer attack"),
        ),
    )
    for name, entry in catalogue.entries().items():
        yield AttackSpec(
            f"torchattacks/{name}",
            f"dfbench_attacks.adapter:{name}",
            entry.summary or f"{name} of torchattacks",
            params=entry.params,
            version=f"torchattacks {catalogue.installed_version()}, adapter 1",
            source=entry.source,
        )
