"""The built-in defenses and their default recipes."""

from __future__ import annotations

from collections.abc import Iterator

from dfbench import hookimpl
from dfbench.contracts import DefenseSpec, Param

_FROM_BASELINE = {"start": "none", "lr": 2e-4, "schedule": "onecycle", "freeze_bn": True}

_ADVERSARIAL = (
    Param("eps", float, 1 / 255, "L-inf bound of the training attacks, in [0, 1] pixels", low=0.001 / 255, high=1),
    Param("steps", int, 3, "PGD steps", low=1, high=1000),
    Param("alpha", float, None, "PGD step length; none: 1.5 * eps / steps", low=0, high=1),
    Param("eps_start", float, 0.15 / 255, "bound of the first step, from where it grows to eps", low=0, high=1),
    Param("ramp", float, 0.75, "share of training over which the bound grows", low=0, high=1),
    Param("clean_weight", float, 1.0, "weight of the clean loss", low=0),
    Param("pgd_weight", float, 1.0, "weight of the loss on PGD images", low=0),
)


@hookimpl
def dfbench_defenses() -> Iterator[DefenseSpec]:
    """Yield the built-in defenses."""
    yield DefenseSpec(
        "none",
        "dfbench_defenses.plain:Plain",
        "plain training: the baseline every other arm is compared with",
        recipe={"epochs": 6},
    )
    yield DefenseSpec(
        "pgd-at",
        "dfbench_defenses.adversarial:PGDTraining",
        "PGD adversarial training: clean loss plus the loss on PGD images",
        params=_ADVERSARIAL,
        source="Madry et al., ICLR 2018, arXiv:1706.06083",
        recipe=_FROM_BASELINE,
    )
    yield DefenseSpec(
        "dual",
        "dfbench_defenses.dual:Dual",
        "dual-attacker adversarial training: PGD and a learned U-Net attacker, updated in turn with the detector",
        params=(
            *_ADVERSARIAL,
            Param("unet_weight", float, 1.0, "weight of the loss on U-Net images", low=0),
            Param("tv", float, 0.01, "weight of total variation in the attacker's loss, on delta/eps", low=0),
            Param("freq", float, 0.01, "weight of low-band energy in the attacker's loss, on delta/eps", low=0),
            Param("attacker_lr", float, 1e-3, "learning rate of the attacker's AdamW", low=0),
            Param("attacker_weight_decay", float, 1e-5, "weight decay of the attacker's AdamW", low=0),
        ),
        source="PGD (Madry et al. 2018) plus a U-Net with total-variation and frequency losses, alternating updates",
        recipe=_FROM_BASELINE,
    )
