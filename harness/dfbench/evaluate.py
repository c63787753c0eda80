"""Evaluation cells: one checkpoint under one attack and one corruption, as scores per sample.

The attacked images of a batch are made once and shared by every corruption that still has to be scored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from dfbench.contracts import Attack, Batch, Corruption, LearnedAttack, Progress, Split
from dfbench.errors import ContractError, StorageError
from dfbench.loader import Loader
from dfbench.rng import SampleRng, derive_seed
from dfbench.threat import checked, checked_corruption
from dfbench.view import ModelView

FIT_BATCH = 32
"""Batch size of the fit of learned attacks: it decides what they learn, so it is no option of how a run is done."""

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


def score_cells(
    model: nn.Module,
    attack: Attack | None,
    corruptions: Mapping[str, Corruption | None],
    split: Split,
    *,
    batch_size: int,
    seed: int,
    device: torch.device,
    progress: Progress,
    title: str,
    attack_label: str = "",
) -> tuple[dict[str, CellScores], dict[str, Exception]]:
    """Score a split under one attack, then each corruption.

    Args:
        model: the detector, in evaluation mode on ``device``. Scores come from it exactly as it is; the attack sees
            a prepared copy that is equal up to float rounding.
        attack: None for clean images.
        corruptions: by label; None for no corruption.
        title, attack_label: how progress and errors name the work.
        split, batch_size, seed, device: the samples, and how they are run. The batch size does not change a result.

    Returns:
        By corruption label, the scores and, apart, the errors of corruptions that failed (the others go on). A frame
        has ``id, video, identities, manipulation, label, score, logit_real, logit_fake, linf, l2`` per sample, where
        the norms are of the attack's perturbation.

    Raises:
        ContractError: a post-condition of the attack failed; the message names it and the measured value.
    """
    view = ModelView(model)
    failures: dict[str, Exception] = {}
    rows: dict[str, list[pd.DataFrame]] = {label: [] for label in corruptions}
    seconds = dict.fromkeys(corruptions, 0.0)
    with progress.task(title, len(split.samples)) as advance:
        for batch in Loader(split, batch_size, device).epoch():
            started = time.perf_counter()
            x = batch.x
            if attack is not None:
                rng = SampleRng(derive_seed(seed, "attack"), batch.ids)
                x = checked(attack, view, batch.x, batch.y, rng, name=attack_label)
            delta = (x - batch.x).flatten(1)
            norms = {"linf": delta.abs().amax(1).cpu().numpy(), "l2": delta.norm(dim=1).cpu().numpy()}
            shared = time.perf_counter() - started
            for label, corruption in corruptions.items():
                if label in failures:
                    continue
                started = time.perf_counter()
                try:
                    seen = x
                    if corruption is not None:
                        rng = SampleRng(derive_seed(seed, "corruption"), batch.ids)
                        seen = checked_corruption(corruption, x, rng, name=label)
                    rows[label].append(_frame(batch, _logits(model, seen), norms))
                except Exception as error:
                    failures[label] = error
                seconds[label] += shared + time.perf_counter() - started
            advance(len(batch.ids))
    info = sample_info(split)
    scores = {
        label: CellScores(
            info.merge(pd.concat(frames, ignore_index=True), on="id", validate="one_to_one"),
            seconds[label],
            view.forwards + len(info),
            view.backwards,
        )
        for label, frames in rows.items()
        if label not in failures
    }
    return scores, failures


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


@torch.inference_mode()
def _logits(model: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = model(x).float()
    if not bool(torch.isfinite(logits).all()):
        raise ContractError("the model gave NaN or infinite logits: its weights or its input are damaged")
    return logits.cpu()


def _frame(batch: Batch, logits: Tensor, norms: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": batch.ids,
            "label": batch.y.cpu().numpy().astype("int8"),
            # In double precision: two logits far apart must not tie at a score of exactly 1.
            "score": logits.double().softmax(1)[:, 1].numpy(),
            "logit_real": logits[:, 0].numpy(),
            "logit_fake": logits[:, 1].numpy(),
            **norms,
        }
    )


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
