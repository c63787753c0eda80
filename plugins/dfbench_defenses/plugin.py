"""The built-in defenses and their default recipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dfbench import hookimpl
from dfbench.contracts import DefenseSpec, Param

_FROM_BASELINE = {"start": "none", "epochs": 5, "lr": 3e-4, "schedule": "hold", "label_smoothing": 0.0, "ema": 0.97}

_BASELINE = {"epochs": 5}
"""Of plain training and of all that is to be compared with it on equal terms."""

_ATTACKED: Mapping[str, Any] = {
    "eps": 1 / 255,
    "eps_start": 0.2 / 255,
    "target": 0.58,
    "steps": 2,
    "alpha": None,
    "val_eps": 0.5 / 255,
}
_PGD: Mapping[str, Any] = {**_ATTACKED, "clean_weight": 0.0, "pgd_weight": 1.0}
_DUAL: Mapping[str, Any] = {
    **_PGD,
    "unet_weight": 1.0,
    "unet_share": 0.25,
    "tv": 0.01,
    "freq": 0.01,
    "objective": "margin",
    "attacker_lr": 1e-3,
    "attacker_weight_decay": 1e-5,
}
_DUAL_SEED: Mapping[str, Any] = {
    **_DUAL,
    "eps": 8 / 255,
    "eps_start": 8 / 255,
    "steps": 10,
    "alpha": 2 / 255,
    "clean_weight": 1.0,
    "unet_share": 1.0,
    "tv": 1e-4 * 8 / 255,
    "freq": 1e-4 * (8 / 255) ** 2,
    "objective": "ce",
    "attacker_lr": 1e-4,
}


def _params(defaults: Mapping[str, Any]) -> tuple[Param, ...]:
    """The parameters of adversarial training that ``defaults`` names."""
    known = (
        Param("eps", float, 0.0, "largest L-inf bound of training, in [0, 1] pixels", low=0.001 / 255, high=1),
        Param("eps_start", float, 0.0, "bound that training begins with", low=0.001 / 255, high=1),
        Param("target", float, 0.0, "adversarial cross-entropy below which the bound is raised", low=0, high=10),
        Param("steps", int, 0, "PGD steps; one starts at the clean image, several start at random", low=1, high=1000),
        Param("alpha", float, None, "PGD step length; none: 1.5 * bound / steps, or the bound for one step", low=0),
        Param("clean_weight", float, 0.0, "weight of the clean loss", low=0),
        Param("pgd_weight", float, 0.0, "weight of the loss on PGD images", low=0),
        Param("val_eps", float, 0.0, "bound of the attack that epochs are chosen by", low=0, high=1),
        Param("beta", float, 0.0, "weight of the divergence KL(p(x) || p(x'))", low=0),
        Param("weight", float, 0.0, "weight of the Jensen-Shannon divergence between predictions", low=0),
        Param("unet_weight", float, 0.0, "weight of the loss on U-Net images", low=0),
        Param("unet_share", float, 0.0, "share of a batch that meets the U-Net; 1: all meet both", low=0.01, high=1),
        Param("tv", float, 0.0, "weight of total variation in the attacker's loss, on delta/eps", low=0),
        Param("freq", float, 0.0, "weight of low-band energy in the attacker's loss, on delta/eps", low=0),
        Param("objective", str, "", "what the attacker lowers: the logit margin, or -CE", choices=("margin", "ce")),
        Param("attacker_lr", float, 0.0, "learning rate of the attacker's AdamW", low=0),
        Param("attacker_weight_decay", float, 0.0, "weight decay of the attacker's AdamW", low=0),
    )
    return tuple(replace(param, default=defaults[param.name]) for param in known if param.name in defaults)


@hookimpl
def dfbench_defenses() -> Iterator[DefenseSpec]:
    """Yield the built-in defenses."""
    yield DefenseSpec(
        "none",
        "dfbench_defenses.plain:Plain",
        "plain training: the baseline every other arm is compared with",
        recipe=_BASELINE,
    )
    yield DefenseSpec(
        "pim",
        "dfbench_defenses.pim:PIM",
        "gradient regularization: also low loss where the statistics of shallow features are moved against it",
        params=(
            Param("alpha", float, 0.5, "weight of the pass with moved statistics; 0: plain training", low=0, high=1),
            Param("r", float, 0.05, "L2 norm of the move of (mu, sigma), in units of the features", low=0),
            Param("direction", str, "gradient", "the loss's gradient, or Gaussian", choices=("gradient", "random")),
            Param("norm_scope", str, "sample", "what has norm r", choices=("sample", "batch")),
            Param("site", str, "", "sub-module whose output (B, C, h, w) is moved; empty: the model's shallow_layer"),
        ),
        source="Guan et al., IEEE TIFS 19, 2024, doi 10.1109/TIFS.2024.3396064",
        recipe={**_BASELINE, "precision": "fp32"},  # a small move does not survive rounding to half precision
    )
    yield DefenseSpec(
        "mixup",
        "dfbench_defenses.mixup:Mixup",
        "training on convex combinations of image pairs and their labels, in place of the clean images",
        params=(Param("alpha", float, 0.2, "of the Beta(alpha, alpha) that shares are drawn from", low=0.01),),
        source="Zhang et al., ICLR 2018, arXiv:1710.09412",
        recipe=_BASELINE,
    )
    yield DefenseSpec(
        "squeeze",
        "dfbench_defenses.squeeze:Squeeze",
        "plain training; colours rounded to few levels at inference, which hides the gradient and does no more",
        params=(
            Param("bits", int, 4, "bits per colour that are left", low=1, high=8),
            Param("straight_through", bool, True, "attacks take the rounding for the identity, not for a wall"),
        ),
        source="Xu et al., NDSS 2018, arXiv:1704.01155; broken by Athalye et al., ICML 2018, arXiv:1802.00420",
        recipe=_BASELINE,
    )
    yield DefenseSpec(
        "pgd-at",
        "dfbench_defenses.adversarial:PGDTraining",
        "PGD adversarial training: the loss on PGD images, and on clean ones by clean_weight",
        params=_params(_PGD),
        source="Madry et al., ICLR 2018, arXiv:1706.06083",
        recipe=_FROM_BASELINE,
    )
    yield DefenseSpec(
        "trades",
        "dfbench_defenses.agreement:Trades",
        "TRADES: the clean loss, and the divergence from clean predictions that an attack maximises",
        params=_params({**_ATTACKED, "beta": 6.0}),
        source="Zhang et al., ICML 2019, arXiv:1901.08573, eq. 5",
        recipe=_FROM_BASELINE,
    )
    yield DefenseSpec(
        "consistency",
        "dfbench_defenses.agreement:Consistency",
        "the clean loss, and the Jensen-Shannon divergence between clean and PGD-attacked predictions",
        params=_params({**_ATTACKED, "weight": 12.0}),
        source="Lin, IEEE Trans. Inf. Theory 37, 1991 (divergence); PGD (Madry et al. 2018)",
        recipe=_FROM_BASELINE,
    )
    yield DefenseSpec(
        "dual",
        "dfbench_defenses.dual:Dual",
        "dual-attacker adversarial training: PGD and a learned U-Net attacker, updated in turn with the detector",
        params=_params(_DUAL),
        source="PGD (Madry et al. 2018) plus a U-Net with total-variation and frequency losses, alternating updates",
        recipe=_FROM_BASELINE,
    )
    yield DefenseSpec(
        "dual-seed",
        "dfbench_defenses.dual:DualSeed",
        "dual with the values it was first published with: 8/255 from the first step, all three losses",
        params=_params(_DUAL_SEED),
        source="PGD (Madry et al. 2018) plus a U-Net with total-variation and frequency losses, alternating updates",
        recipe={"start": "none(epochs=8)", "epochs": 8, "lr": 2e-4},
    )
