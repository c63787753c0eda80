"""What every kind of evidence is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from dfbench.contracts import CLASS_NAMES, Attack, Batch, Progress, Sample, Split
from dfbench.errors import DfbenchError
from dfbench.loader import Loader
from dfbench.rng import SampleRng, derive_seed
from dfbench.rundir import RunFolder, TrainedArm
from dfbench.store import Store
from dfbench.subset import Subset
from dfbench.threat import checked
from dfbench.view import ModelView


@dataclass(frozen=True)
class Request:
    """What is to be explained.

    Args:
        run: the run whose detectors are looked at.
        arms: these of them, the baseline first where it is among them.
        attacks: labels of attacks of the run.
        split: the samples.
        limit: samples per class that are used, chosen by :func:`chosen`.
        out: folder that figures and tables are written to.
        batch_size: images at a time.
    """

    run: RunFolder
    arms: Sequence[TrainedArm]
    attacks: Sequence[str]
    split: Split
    limit: int
    out: Path
    batch_size: int
    store: Store
    progress: Progress
    notes: list[str] = field(default_factory=list)
    """Sentences for the user: what was left out, and why. Each kind of evidence adds its own."""
    detector: str = "mtcnn"
    """The face detector that says where the face is."""

    def batches(self, limit: int | None = None) -> Iterator[tuple[Batch, list[Sample]]]:
        """The chosen samples in batches on the run's device, with what is known of them."""
        part = chosen(self.split, self.limit if limit is None else min(limit, self.limit))
        known = {sample.id: sample for sample in part.samples}
        for batch in Loader(part, self.batch_size, self.run.device).epoch():
            yield batch, [known[name] for name in batch.ids]


def chosen(split: Split, limit: int) -> Split:
    """At most ``limit`` samples of each class, drawn by a hash of their ids: the same ones in every run."""
    picked: list[int] = []
    for label in range(len(CLASS_NAMES)):
        rows = [index for index, sample in enumerate(split.samples) if sample.label == label]
        picked += sorted(rows, key=lambda index: derive_seed("explain", split.samples[index].id))[:limit]
    return Subset(split, sorted(picked))


def arm_names(arms: Sequence[TrainedArm]) -> dict[TrainedArm, str]:
    """What figures and tables call the arms: the defense, and the model, training data or seed where these differ."""
    vary = [part for part in ("model", "data", "seed") if len({getattr(arm, part) for arm in arms}) > 1]
    return {
        arm: ", ".join([arm.defense, *(f"seed {arm.seed}" if part == "seed" else getattr(arm, part) for part in vary)])
        for arm in arms
    }


def attacker(request: Request, arm: TrainedArm, label: str, module: nn.Module) -> Callable[[Batch], Tensor]:
    """What an attack of the run makes of a batch's images, as its cells were scored: same seed, same checks."""
    attack, view = request.run.attack(arm, label), ModelView(module)

    def attacked(batch: Batch) -> Tensor:
        rng = SampleRng(derive_seed(arm.seed, "attack"), batch.ids)
        return checked(attack, view, batch.x, batch.y, rng, name=label)

    return attacked


def built(run: RunFolder, label: str) -> Attack | None:
    """An attack of the run as its label says, without what it learned; None where it cannot be built (its file is
    gone)."""
    try:
        attack: Attack = run.registry.component("attack", label).build()
    except DfbenchError:
        return None
    return attack
