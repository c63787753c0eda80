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
_ADAPTIVE = (
    Param("through", str, "", 'corruption that gradients are taken through, as in "jpeg(quality=50)"'),
    Param("eot", int, 1, "draws that each gradient is averaged over, for a random model or corruption", low=1),
)
_EACH_STEPS = Param("steps", int, 50, "gradient steps from each start", low=1)
_RESTARTS = Param("restarts", int, 1, "starts of what takes gradients", low=1)
_QUERIES = Param("queries", int, 1000, "images that Square tries", low=1)


@hookimpl
def dfbench_attacks() -> Iterator[AttackSpec]:
    """Gradient attacks, the learned U-Net attack, and every attack of torchattacks."""
    yield AttackSpec(
        "fgsm",
        "dfbench_attacks.gradient:FGSM",
        "one signed gradient step",
        params=(_EPS, *_ADAPTIVE),
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
            *_ADAPTIVE,
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
            *_ADAPTIVE,
        ),
        source="Dong et al., CVPR 2018, arXiv:1710.06081",
    )
    yield AttackSpec(
        "apgd",
        "dfbench_attacks.apgd:APGD",
        "projected gradient ascent that finds its step length itself",
        params=(
            _EPS,
            _EACH_STEPS,
            _RESTARTS,
            Param("loss", str, "margin", "what it raises", choices=("margin", "ce")),
            *_ADAPTIVE,
        ),
        source="Croce and Hein, ICML 2020, arXiv:2003.01690",
    )
    yield AttackSpec(
        "fab",
        "dfbench_attacks.fab:FAB",
        "the nearest image across the boundary, where it is within eps",
        params=(_EPS, _EACH_STEPS, _RESTARTS, *_ADAPTIVE),
        source="Croce and Hein, ICML 2020, arXiv:1907.02044",
    )
    yield AttackSpec(
        "square",
        "dfbench_attacks.square:Square",
        "random search by squares, without any gradient",
        params=(_EPS, _QUERIES, *_ADAPTIVE),
        source="Andriushchenko et al., ECCV 2020, arXiv:1912.00049",
    )
    yield AttackSpec(
        "strong",
        "dfbench_attacks.strong:Strong",
        "APGD on two losses, FAB and Square, each on what still stands: the worst case",
        params=(_EPS, _EACH_STEPS, _RESTARTS, _QUERIES, *_ADAPTIVE),
        source="after AutoAttack (Croce and Hein, ICML 2020, arXiv:2003.01690), for two classes",
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
