"""Evaluation cells: one checkpoint under one attack and one corruption, as scores per sample.

The attacked images of a batch are made once and shared by every corruption that still has to be scored; attacks that
begin at the clean images are scored together and share their gradients.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from dfbench.attention import Attention
from dfbench.contracts import Attack, Batch, Corruption, LearnedAttack, Progress, Split
from dfbench.errors import ContractError, StorageError
from dfbench.loader import Loader
from dfbench.rng import SampleRng, derive_seed
from dfbench.store import write_atomic
from dfbench.threat import checked, checked_corruption
from dfbench.view import ModelView

FIT_BATCH = 32
"""Batch size of the fit of learned attacks: it decides what they learn, so it is no option of how a run is done."""

SAVE_SECONDS = 30
"""How often a scoring keeps what it has, so that an interruption costs no more than that."""

OWN = {
    *("id", "video", "identities", "manipulation", "label", "score", "worst_score", "logit_real", "logit_fake"),
    *("linf", "l2", "cell", "scenario", "model", "defense", "train_data", "seed", "attack", "corruption", "data"),
}
"""Columns of scores that no fact of an attack may be called."""

SCORES = "scores.parquet"
COST = "cost.json"


@dataclass
class CellScores:
    """What one cell measured: a row per sample, and what it cost."""

    frame: pd.DataFrame
    seconds: float
    forwards: int
    backwards: int


def fit_attack(
    attack: LearnedAttack,
    model: nn.Module,
    split: Split,
    *,
    seed: int,
    device: torch.device,
    progress: Progress,
) -> None:
    """Fit a learned attack to a frozen model on the attack-training split (white box: a fresh attacker per model)."""
    loader = Loader(split, FIT_BATCH, device, train=True, seed=derive_seed(seed, "attacker"))

    def batches(epoch: int) -> Iterator[Batch]:
        return loader.epoch(epoch)

    torch.manual_seed(derive_seed(seed, "attacker"))
    attack.fit(ModelView(model), batches, seed, progress)


@dataclass(frozen=True, eq=False)
class Scene:
    """What happens to the images before they are scored: an attack, then a corruption; None where there is none.

    ``key`` stands for everything that decides the scores, and tells an interrupted scoring which are whose.
    """

    attack_label: str
    attack: Attack | None
    corruption_label: str
    corruption: Corruption | None
    key: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing happens to them."""
        return self.attack is None and self.corruption is None


def score_cells(
    model: nn.Module,
    scenes: Sequence[Scene],
    split: Split,
    *,
    batch_size: int,
    seed: int,
    device: torch.device,
    progress: Progress,
    title: str,
    attention: Attention | None = None,
    kept: Path | None = None,
    stochastic: bool = False,
) -> tuple[dict[Scene, CellScores], dict[Scene, Exception]]:
    """Score a split in several scenes.

    The attacked images of a batch are made once for all corruptions, and attacks share the gradients that they take at
    the same images.

    Args:
        model: the detector, in evaluation mode on ``device``. Scores come from it exactly as it is; the attack sees
            a prepared copy that is equal up to float rounding.
        split, batch_size, seed, device: the samples, and how they are run. The batch size does not change a result.
        progress, title: how the work is shown.
        attention: the detector's on the clean images of the split, to also measure how it changes.
        kept: a folder that keeps what is scored so far, and from which an interrupted scoring goes on. What is done
            stays in it: the caller removes it once the scores are safe.
        stochastic: whether the detector answers differently to the same image. Each is then scored by itself, from
            random numbers of its own, so that a score depends on neither batch nor order.

    Returns:
        The scores and, apart, the errors of scenes that failed (the others go on). A frame has ``id, video,
        identities, manipulation, label, score, logit_real, logit_fake, linf, l2`` per sample, where the norms are of
        the attack's perturbation, what the attack itself tells of the samples (``Attack.facts``), and with
        ``attention`` what its ``look`` gives, but for clean images. Under an attack that stops at the first success
        (``Attack.worst_case``) the score is called ``worst_score``.
    """
    scorer = _Scorer(model, scenes, seed, attention, stochastic=stochastic)
    ids = [sample.id for sample in split.samples]
    if kept:
        scorer.resume(kept, ids)
    saved = time.monotonic()
    try:
        # Those that are equally far go on together.
        for first in sorted({scorer.done(scene) for scene in scenes}):
            together = [scene for scene in scenes if scorer.done(scene) == first]
            with progress.task(title, len(ids)) as advance:
                advance(first)
                for batch in Loader(split, batch_size, device, first=first).epoch():
                    scorer.score(batch, together)
                    advance(len(batch.ids))
                    if kept and time.monotonic() - saved > SAVE_SECONDS:
                        scorer.save(kept)
                        saved = time.monotonic()
    except KeyboardInterrupt:
        if kept:
            scorer.save(kept)
        raise
    return scorer.finish(sample_info(split)), scorer.failures


class _Scorer:
    """The scores of a split so far, scene by scene."""

    def __init__(
        self,
        model: nn.Module,
        scenes: Sequence[Scene],
        seed: int,
        attention: Attention | None,
        *,
        stochastic: bool = False,
    ) -> None:
        self.stochastic = stochastic
        self.model, self.scenes, self.seed, self.attention = model, list(scenes), seed, attention
        self.view = ModelView(model)
        self.failures: dict[Scene, Exception] = {}
        self.rows: dict[Scene, list[pd.DataFrame]] = {scene: [] for scene in scenes}
        self.costs: dict[Scene, list[float]] = {scene: [0.0, 0, 0] for scene in scenes}
        """Seconds, forward and backward passes."""

    def score(self, batch: Batch, scenes: Sequence[Scene]) -> None:
        """Score one batch in these scenes, but for those that have failed."""
        groups: dict[str, list[Scene]] = {}
        for scene in scenes:
            if scene not in self.failures:
                groups.setdefault(scene.attack_label, []).append(scene)
        found: dict[Scene, tuple[pd.DataFrame, list[float]]] = {}
        with self.view.remembering() if len(groups) > 1 else nullcontext():
            for group in groups.values():
                found |= self._score_attack(batch, group)
        for scene, (frame, cost) in found.items():
            self.rows[scene].append(frame)
            self.costs[scene] = [sum(pair) for pair in zip(self.costs[scene], cost, strict=True)]

    def _score_attack(self, batch: Batch, group: list[Scene]) -> dict[Scene, tuple[pd.DataFrame, list[float]]]:
        """Scores and costs of the scenes of one attack, on images that are made once."""
        attack, before = group[0].attack, (self.view.forwards, self.view.backwards)
        started = time.perf_counter()
        try:
            x = batch.x
            if attack is not None:
                rng = SampleRng(derive_seed(self.seed, "attack"), batch.ids)
                with self._answers(batch) if self.stochastic else nullcontext():
                    x = checked(attack, self.view, batch.x, batch.y, rng, name=group[0].attack_label)
            facts = _facts(attack, batch, group[0].attack_label)
        except Exception as error:
            self.failures.update(dict.fromkeys(group, error))
            return {}
        delta = (x - batch.x).flatten(1)
        facts |= {"linf": delta.abs().amax(1).cpu().numpy(), "l2": delta.norm(dim=1).cpu().numpy()}
        made = time.perf_counter() - started
        passes = [self.view.forwards - before[0] + len(x), self.view.backwards - before[1]]
        found = {}
        for scene in group:
            started = time.perf_counter()
            try:
                frame = self._frame(batch, x, scene, facts)
                found[scene] = (frame, [made + time.perf_counter() - started, *passes])
            except Exception as error:
                self.failures[scene] = error
        return found

    def _frame(self, batch: Batch, x: Tensor, scene: Scene, facts: Mapping[str, Any]) -> pd.DataFrame:
        if scene.corruption is not None:
            rng = SampleRng(derive_seed(self.seed, "corruption"), batch.ids)
            x = checked_corruption(scene.corruption, x, rng, name=scene.corruption_label)
        if self.attention is not None and not scene.clean:
            logits, more = self.attention.look(x, batch.ids)
        else:
            logits, more = self._logits(x, batch.ids), {}
        logits = _finite(logits).cpu()
        worst = scene.attack is not None and scene.attack.worst_case
        found = {
            "id": batch.ids,
            "label": batch.y.cpu().numpy().astype("int8"),
            # In double precision: two logits far apart must not tie at a score of exactly 1.
            "worst_score" if worst else "score": logits.double().softmax(1)[:, 1].numpy(),
            "logit_real": logits[:, 0].numpy(),
            "logit_fake": logits[:, 1].numpy(),
            **facts,
            **more,
        }
        return pd.DataFrame(found)

    def _answers(self, batch: Batch) -> AbstractContextManager[None]:
        """Within, a random detector answers an attack on this batch the same whenever it is run."""
        return _seeded(derive_seed(self.seed, "answers", batch.ids[0]), batch.x.device)

    def _logits(self, x: Tensor, ids: Sequence[str]) -> Tensor:
        if not self.stochastic:
            return _logits(self.model, x)
        found = []
        for image, name in zip(x.split(1), ids, strict=True):
            with _seeded(derive_seed(self.seed, "answer", name), x.device):
                found.append(_logits(self.model, image))
        return torch.cat(found)

    def finish(self, info: pd.DataFrame) -> dict[Scene, CellScores]:
        """The scores of the scenes that did not fail, with what is known of the samples."""
        found = {}
        for scene, frames in self.rows.items():
            if scene in self.failures:
                continue
            frame = info.merge(pd.concat(frames, ignore_index=True), on="id", validate="one_to_one")
            if len(frame) != len(info):
                raise ContractError(f"{len(frame)} of {len(info)} samples were scored under {scene.attack_label!r}")
            seconds, forwards, backwards = self.costs[scene]
            found[scene] = CellScores(frame, seconds, int(forwards), int(backwards))
        return found

    # --- interruptions -----------------------------------------------------------------------------------------

    def done(self, scene: Scene) -> int:
        """How many samples are scored in a scene."""
        return sum(map(len, self.rows[scene]))

    def save(self, folder: Path) -> None:
        """Keep what is scored so far of the scenes that have not failed, a file each."""
        for scene in self.scenes:
            if scene not in self.failures and self.rows[scene]:
                rows = pd.concat(self.rows[scene], ignore_index=True)
                rows.attrs = {"cost": self.costs[scene]}
                write_atomic(_kept(folder, scene), partial(rows.to_parquet, index=False))

    def resume(self, folder: Path, ids: Sequence[str]) -> None:
        """Take up what :meth:`save` kept of these scenes.

        Args:
            folder: where it is, if there is anything.
            ids: of all samples, in their order.
        """
        for scene in self.scenes:
            if not _kept(folder, scene).is_file():
                continue
            try:
                rows = pd.read_parquet(_kept(folder, scene))
                cost = [float(number) for number in rows.attrs["cost"]]
            except (OSError, ValueError, KeyError):
                continue  # damaged: scored again, nothing else depends on it
            if rows["id"].tolist() == list(ids[: len(rows)]):
                self.rows[scene], self.costs[scene] = [rows], cost


def _facts(attack: Attack | None, batch: Batch, name: str) -> dict[str, Any]:
    """What an attack tells of the samples of a batch, by column."""
    facts = dict(getattr(attack, "facts", {}))
    for column, values in facts.items():
        if column in OWN:
            raise ContractError(
                f"the attack {name!r} calls a fact {column!r}, as the harness does: choose another name"
            )
        if len(values) != len(batch.ids):
            raise ContractError(
                f"the attack {name!r} tells {len(values)} values of {column!r} for {len(batch.ids)} images: its facts "
                "must hold one for each, in their order"
            )
    return facts


def _kept(folder: Path, scene: Scene) -> Path:
    return folder / f"{scene.key[:20]}.parquet"


def forget(kept: Path, scene: Scene) -> None:
    """Remove what an interrupted scoring kept of a scene whose scores are safe."""
    _kept(kept, scene).unlink(missing_ok=True)


def sample_info(split: Split) -> pd.DataFrame:
    """What is known of the samples besides their pixels, a row each."""
    return pd.DataFrame(
        {
            "id": [s.id for s in split.samples],
            "video": [s.video for s in split.samples],
            "identities": ["|".join(s.identities) for s in split.samples],
            "manipulation": [s.manipulation for s in split.samples],
        }
    )


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's random numbers seeded within, and as they were afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@torch.inference_mode()
def _logits(model: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = model(x).float()
    return logits


def _finite(logits: Tensor) -> Tensor:
    if not bool(torch.isfinite(logits).all()):
        raise ContractError("the model gave NaN or infinite logits: its weights or its input are damaged")
    return logits


def save_cell(folder: Path, cell: CellScores, *, note: str, corruption_label: str) -> None:
    """Write a cell's scores and costs into its artefact folder."""
    cell.frame.to_parquet(folder / SCORES, index=False)
    cost = {
        "seconds": cell.seconds,
        "forwards": cell.forwards,
        "backwards": cell.backwards,
        "note": note,
        "corruption_label": corruption_label,
    }
    (folder / COST).write_text(json.dumps(cost), encoding="utf-8")


def load_cell(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A finished cell's scores and its costs.

    Raises:
        StorageError: the cached files are damaged.
    """
    try:
        return pd.read_parquet(folder / SCORES), dict(json.loads((folder / COST).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StorageError(f"the cached cell {folder} is damaged ({error}): delete it and run again") from error
