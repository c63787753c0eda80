"""Published tables that cannot be true as they stand."""

from __future__ import annotations

from dfbench.recheck.published import audit_table

from .fault import Fault, Findings, Ground

HEAD = "model,attack,eps,accuracy,f1,n,fakes"


def table(*lines: str, head: str = HEAD) -> Findings:
    """What the audit finds in a table of these lines."""

    def findings(ground: Ground) -> list[str]:
        file = ground.fresh() / "table.csv"
        file.write_text("\n".join([head, *lines]) + "\n")
        return [str(finding) for finding in audit_table(file).findings]

    return findings


# 1000 images, 800 of them fake. Clean: tp 790, tn 190; attacked: tp 380, tn 90; stronger: tp 150, tn 20.
CLEAN = "ours,none,,0.980,0.969,1000,800"
ATTACKED = "ours,fgsm,0.005,0.470,0.430,1000,800"
STRONGER = "ours,fgsm,0.010,0.170,0.147,1000,800"

AUDIT = "dfbench audit"

FAULTS = [
    Fault("binary F1 under a macro header", "F1 of fake in a published column of macro-F1", AUDIT,
          r"macro-F1: impossible", table(CLEAN, "ours,fgsm,0.005,0.470,0.589,1000,800"),
          table(CLEAN, ATTACKED, STRONGER)),
    Fault("n that counts batches", "a published n of batches of 4", AUDIT,
          r"is no whole number of them", table("ours,fgsm,0.005,0.4618489090679783,,17841,", head=HEAD),
          table("ours,fgsm,0.005,0.4618489090679783,,71361,", head=HEAD)),
    Fault("an attack that helps the detector", "a published accuracy under attack above the clean one", AUDIT,
          r"accuracy under attack is above that without it", table(CLEAN, "ours,pgd,0.005,0.985,,1000,800"),
          table(CLEAN, "ours,pgd,0.005,0.120,,1000,800")),
    Fault("PGD weaker than FGSM", "an iterated attack that finds less than its first step", AUDIT,
          r"pgd is weaker than fgsm at the same eps", table(CLEAN, ATTACKED, "ours,pgd,0.005,0.610,,1000,800"),
          table(CLEAN, ATTACKED, "ours,pgd,0.005,0.120,,1000,800")),
    Fault("accuracy that rises with eps", "a stronger attack that finds less", AUDIT,
          r"accuracy rises with eps", table(CLEAN, STRONGER, "ours,fgsm,0.015,0.290,,1000,800"),
          table(CLEAN, ATTACKED, STRONGER)),
    Fault("a table at the floor", "a clean accuracy that answering fake always reaches", AUDIT,
          r"accuracy is no better than answering one class always", table("ours,none,,0.795,,1000,800"), table(CLEAN)),
]  # fmt: skip
