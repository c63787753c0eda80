"""The one training loop. Defenses plug in as objectives; the loop owns the detector, its optimiser and its mode."""

from __future__ import annotations

import io
import json
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfbench import checkpoint
from dfbench.contracts import Dataset, Defense, Progress, TrainContext
from dfbench.curves import windows
from dfbench.errors import CheckpointError, TrainingError, UsageError
from dfbench.freeze import freeze, lies_within
from dfbench.hygiene import find_split
from dfbench.loader import Loader
from dfbench.precision import Stepper, resolve
from dfbench.recipe import Recipe
from dfbench.rng import SampleRng, derive_seed
from dfbench.store import write_atomic
from dfbench.view import ModelView

POINTS = 20
"""Points of the training log per epoch, at most: means over windows of steps, for curves."""

Observer = Callable[[dict[str, Any]], None]
"""Told of every epoch of the log, the restored ones of a resumed training included."""

_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def train(
    model: nn.Module,
    objectives: Sequence[Defense],
    recipe: Recipe,
    dataset: Dataset,
    *,
    seed: int,
    device: torch.device,
    state_file: Path,
    progress: Progress,
    title: str,
    observe: Observer = lambda row: None,
) -> dict[str, Any]:
    """Train ``model`` in place and leave it with the weights of the epoch that validation chose.

    Without a validation split the last epoch is kept. Where the recipe has a ``patience``, training stops once so many
    epochs in a row brought no better validation score.

    The state after every epoch is kept in ``state_file``, from which an interrupted training goes on; every epoch is
    seeded by itself, so the final weights are those of an uninterrupted run.

    Returns:
        ``{"log": one dict per epoch, "epoch": the epoch kept, "stopped_early": whether patience ended it, "precision":
        the arithmetic used, "chosen": what the objectives settled, "artefacts": tensors they leave behind}``. A dict of
        the log has the means of all terms (``loss``), the same over windows of steps (``points``, at most ``POINTS`` of
        them), ``validation``, ``lr``, ``seconds``, and since the start of training ``steps`` and ``skipped_steps``; the
        last one of a training that stopped early has ``stopped_early``.

    Raises:
        TrainingError: a loss term or the gradient is not finite, or two objectives add a term of the same name; the
            message names it.
        UsageError: the recipe's ``freeze`` names nothing, or everything; ``patience`` without a validation split.
    """
    loader = Loader(dataset.split("train"), recipe.batch_size, device, train=True, seed=seed, augment=recipe.augment)
    chooser = find_split(dataset, "val")
    validation = None if chooser is None else Loader(chooser, 64, device)
    if recipe.patience and validation is None:
        raise UsageError(
            f"patience={recipe.patience} needs a validation split, and the training data has none: give patience=0, or "
            "data with a val split"
        )
    model.to(device).to(memory_format=torch.channels_last)
    trainer = _Trainer(model, objectives, recipe, loader, validation, seed)
    first = trainer.resume(state_file)
    for row in trainer.log:
        observe(row)
    with progress.task(title, recipe.epochs * len(loader)) as advance:
        advance(first * len(loader))
        for epoch in range(first, recipe.epochs):
            if trainer.stopped_early():
                advance(0, f"stopped early: no better in {recipe.patience} epochs")
                break
            trainer.run_epoch(epoch, advance)
            write_atomic(state_file, lambda temporary: _save_state(trainer.state(), temporary))
            observe(trainer.log[-1])
    return trainer.finish()


class _Trainer:
    """The state of one training, and its epoch."""

    def __init__(
        self,
        model: nn.Module,
        objectives: Sequence[Defense],
        recipe: Recipe,
        loader: Loader,
        validation: Loader | None,
        seed: int,
    ) -> None:
        self.model, self.objectives, self.recipe = model, objectives, recipe
        self.loader, self.validation, self.seed = loader, validation, seed
        self.frozen = freeze(model, recipe.freeze)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(trained, lr=recipe.lr, weight_decay=recipe.weight_decay)
        self.precision = resolve(recipe.precision, loader.device)
        self.stepper = Stepper(
            self.optimizer,
            trained,
            clip=recipe.clip,
            precision=self.precision,
            device=loader.device,
            name="detector",
        )
        counts = np.bincount(loader.labels, minlength=2)
        class_weight = torch.tensor(len(loader.labels) / (2 * counts), dtype=torch.float32, device=loader.device)

        def criterion(logits: Tensor, y: Tensor) -> Tensor:
            return F.cross_entropy(logits, y, weight=class_weight, label_smoothing=recipe.label_smoothing)

        self.view = ModelView(model)
        self.context = TrainContext(
            model, criterion, recipe.epochs, len(loader), seed, self.precision, objectives=objectives
        )
        self.clean_weight = math.prod(objective.clean_weight for objective in objectives)
        self.average = {n: t.detach().clone() for n, t in model.state_dict().items()} if recipe.ema else {}
        self.log: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"score": -math.inf, "epoch": -1, "model": {}}
        torch.manual_seed(derive_seed(seed, "setup"))
        for objective in objectives:
            objective.setup(self.context)

    # --- one epoch ---------------------------------------------------------------------------------------------

    def run_epoch(self, epoch: int, advance: Any) -> None:
        """Train one epoch, validate, and remember the weights if they are the best so far."""
        started = time.perf_counter()
        torch.manual_seed(derive_seed(self.seed, "epoch", epoch))
        self.context.epoch = epoch
        for objective in self.objectives:
            objective.begin_epoch(epoch, self.context)
        self._train_mode()
        rows: list[dict[str, float]] = []
        for batch in self.loader.epoch(epoch):
            learning_rate = self._set_learning_rate()
            terms = self._step(batch)
            rows.append({"step": self.context.step, **terms})
            self.context.step += 1
            advance(1, "  ".join(f"{name} {value:.3f}" for name, value in terms.items()))
        validation: dict[str, float] = {}
        if self.validation is not None:
            with self._averaged():
                validation = self._validate(self.validation)
        # Without validation all epochs tie, and so the last is kept.
        score = _score(validation)
        self.log.append(
            {
                "epoch": epoch,
                "loss": {name: value for name, value in windows(rows, 1)[0].items() if name != "step"},
                "validation": validation,
                "lr": learning_rate,
                "seconds": round(time.perf_counter() - started, 2),
                "steps": self.context.step,
                "skipped_steps": self.stepper.skipped + sum(o.skipped_steps() for o in self.objectives),
                "points": windows(rows, POINTS),
            }
        )
        if self.stopped_early():
            self.log[-1]["stopped_early"] = True
        # A tie goes to the later epoch: it has seen more data and, in adversarial training, the larger eps.
        if score >= self.best["score"]:
            with self._averaged():
                kept = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            self.best = {"score": score, "epoch": epoch, "model": kept}

    def _step(self, batch: Any) -> dict[str, float]:
        losses: dict[str, Tensor] = {}
        with self.stepper.autocast():
            if self.clean_weight:
                losses = self.context.terms(
                    batch.x, lambda logits: {"clean": self.clean_weight * self.context.criterion(logits, batch.y)}
                )
            for objective in self.objectives:
                added = objective.losses(batch, self.context)
                if twice := sorted(losses.keys() & added.keys()):
                    raise TrainingError(
                        f"two parts of the defense add a loss called {twice[0]!r}, of which one would be lost: leave "
                        "one of them out"
                    )
                losses |= added
        for name, value in losses.items():
            self._require_finite(name, value)
        self.stepper.step(torch.stack(list(losses.values())).sum(), self._where())
        decay = min(self.recipe.ema, (1 + self.context.step) / (10 + self.context.step))
        for name, tensor in self.model.state_dict().items() if self.average else ():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)
        shown = {name: float(value.detach()) for name, value in losses.items()}
        for objective in self.objectives:
            shown.update(objective.logged())
        return shown

    def _require_finite(self, name: str, value: Tensor) -> None:
        if not bool(torch.isfinite(value)):
            raise TrainingError(
                f"the {name} loss became {float(value.detach())} in {self._where()}: lower lr, or look at the data of "
                "that step"
            )

    def _where(self) -> str:
        return f"epoch {self.context.epoch}, step {self.context.step}"

    def _train_mode(self) -> None:
        self.model.train()
        for name, module in self.model.named_modules():
            if isinstance(module, _BATCH_NORM) and (self.recipe.freeze_bn or lies_within(name, self.frozen)):
                module.eval()

    def stopped_early(self) -> bool:
        """Whether the last ``patience`` epochs brought no better validation score."""
        scores = [_score(row["validation"]) for row in self.log]
        patience = self.recipe.patience
        return 0 < patience < len(scores) < self.recipe.epochs and max(scores[-patience:]) <= max(scores[:-patience])

    def _set_learning_rate(self) -> float:
        done = self.context.step / (self.recipe.epochs * len(self.loader))
        shape = {
            "constant": 1.0,
            "cosine": 0.5 * (1 + math.cos(math.pi * done)),
            "hold": min(1.0, (1 - done) / 0.35),
        }[self.recipe.schedule]
        learning_rate = self.recipe.lr * shape
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        return learning_rate

    # --- validation --------------------------------------------------------------------------------------------

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The moving average in place of the weights, where the recipe keeps one."""
        if not self.average:
            yield
            return
        own = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        try:
            yield
        finally:
            self.model.load_state_dict(own)

    def _validate(self, validation: Loader) -> dict[str, float]:
        """ROC AUC on clean and, where an objective attacks, on attacked validation images."""
        self.view.sync(self.model)
        scores: dict[str, list[Tensor]] = {}
        for batch in validation.epoch():
            images = {"auc": batch.x}
            for number, objective in enumerate(self.objectives):
                rng = SampleRng(derive_seed(self.seed, "validation"), batch.ids)
                attacked = objective.attacked(self.view, batch.x, batch.y, rng)
                if attacked is not None:
                    images[f"auc_attacked{number or ''}"] = attacked
            with torch.no_grad():
                for name, x in images.items():
                    logits = self.view(x)
                    scores.setdefault(name, []).append((logits[:, 1] - logits[:, 0]).cpu())
        return {name: roc_auc(validation.labels, torch.cat(rows).numpy()) for name, rows in scores.items()}

    # --- resuming ----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything the next epoch depends on."""
        return {
            "model": self.model.state_dict(),
            "stepper": self.stepper.state_dict(),
            "average": self.average,
            "objectives": [objective.state_dict() for objective in self.objectives],
            "best": self.best,
            "log": json.dumps(self.log),
            "step": self.context.step,
        }

    def resume(self, path: Path) -> int:
        """Take up the state at ``path`` if there is one; the number of epochs already done."""
        if not path.is_file():
            return 0
        try:
            state = torch.load(path, map_location=self.loader.device, weights_only=True)
        except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"the training state {path} cannot be read ({error}): delete it to train from the start"
            ) from error
        self.model.load_state_dict(state["model"])
        self.stepper.load_state_dict(state["stepper"])
        self.average, self.best = state["average"], state["best"]
        self.log, self.context.step = json.loads(state["log"]), state["step"]
        for objective, saved in zip(self.objectives, state["objectives"], strict=True):
            objective.load_state_dict(saved)
        return len(self.log)

    def finish(self) -> dict[str, Any]:
        """Put the chosen weights in place, in evaluation mode."""
        self.model.load_state_dict(self.best["model"])
        self.model.eval()
        artefacts: dict[str, Mapping[str, Tensor]] = {}
        for objective in self.objectives:
            artefacts.update(objective.artefacts())
        return {
            "log": self.log,
            "epoch": self.best["epoch"],
            "stopped_early": self.stopped_early(),
            "precision": self.precision,
            "chosen": {name: value for o in self.objectives for name, value in o.chosen().items()},
            "artefacts": artefacts,
        }


def _score(validation: Mapping[str, float]) -> float:
    """What epochs are compared by: the mean AUC over clean and attacked images; 0 without validation."""
    return float(np.mean([value for name, value in validation.items() if name.startswith("auc")] or 0.0))


def _save_state(state: dict[str, Any], path: Path) -> None:
    # Through memory: a full disk is then an OSError like any other, where torch's own writer hides the cause.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(buffer.getbuffer())


def roc_auc(y: np.ndarray[Any, Any], score: np.ndarray[Any, Any]) -> float:
    """Area under the ROC curve (Mann-Whitney U, ties count half); NaN where one class is absent."""
    from scipy.stats import rankdata  # here: a run that trains nothing need not wait for this import

    positive = int((y == 1).sum())
    negative = len(y) - positive
    if not positive or not negative:
        return math.nan
    ranks = rankdata(score)
    return float((ranks[y == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def save_trained(folder: Path, model: nn.Module, outcome: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Write ``model.safetensors``, an ``<artefact>.safetensors`` each, and the log ``training.jsonl``."""
    about = {**metadata, **{name: outcome[name] for name in ("epoch", "precision", "stopped_early", "chosen")}}
    checkpoint.save(folder / "model.safetensors", model.state_dict(), about)
    for name, tensors in outcome["artefacts"].items():
        checkpoint.save(folder / f"{name}.safetensors", tensors, metadata)
    lines = "".join(json.dumps(row) + "\n" for row in outcome["log"])
    (folder / "training.jsonl").write_text(lines, encoding="utf-8")
