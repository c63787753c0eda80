"""The built-in defenses and their default recipes."""

from __future__ import annotations

from collections.abc import Iterator

from dfbench import hookimpl
from dfbench.contracts import DefenseSpec, Param

_FROM_BASELINE = {"start": "none", "epochs": 5, "lr": 3e-4, "schedule": "hold", "label_smoothing": 0.0, "ema": 0.97}

_ADVERSARIAL = (
    Param("eps", float, 1 / 255, "largest L-inf bound of training, in [0, 1] pixels", low=0.001 / 255, high=1),
    Param("eps_start", float, 0.2 / 255, "bound that training begins with", low=0.001 / 255, high=1),
    Param("target", float, 0.58, "adversarial cross-entropy below which the bound is raised", low=0, high=10),
    Param("steps", int, 2, "PGD steps; one starts at the clean image, several start at random", low=1, high=1000),
    Param("clean_weight", float, 0.0, "weight of the clean loss", low=0),
    Param("pgd_weight", float, 1.0, "weight of the loss on PGD images", low=0),
    Param("val_eps", float, 0.5 / 255, "bound of the attack that epochs are chosen by", low=0, high=1),
)


@hookimpl
def dfbench_defenses() -> Iterator[DefenseSpec]:
    """Yield the built-in defenses."""
    yield DefenseSpec(
        "none",
        "dfbench_defenses.plain:Plain",
        "plain training: the baseline every other arm is compared with",
        recipe={"epochs": 5},
    )
    yield DefenseSpec(
        "pgd-at",
        "dfbench_defenses.adversarial:PGDTraining",
        "PGD adversarial training: the loss on PGD images, and on clean ones by clean_weight",
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
            Param(
                "unet_share",
                float,
                0.25,
                "share of each batch that meets the U-Net, the rest PGD; 1: all meet both",
                low=0.01,
                high=1,
            ),
            Param("tv", float, 0.01, "weight of total variation in the attacker's loss, on delta/eps", low=0),
            Param("freq", float, 0.01, "weight of low-band energy in the attacker's loss, on delta/eps", low=0),
            Param("attacker_lr", float, 1e-3, "learning rate of the attacker's AdamW", low=0),
            Param("attacker_weight_decay", float, 1e-5, "weight decay of the attacker's AdamW", low=0),
        ),
        source="PGD (Madry et al. 2018) plus a U-Net with total-variation and frequency losses, alternating updates",
        recipe=_FROM_BASELINE,
    )
