"""One run: data, then checkpoints, then evaluation cells, each taken from the cache where it is already done."""

from __future__ import annotations

import json
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from dfbench import checkpoint
from dfbench.attention import Attention, require_cam_layer
from dfbench.config import DefensePlan, RunConfig, Scenario
from dfbench.contracts import Attack, Corruption, LearnedAttack, Progress, Weights
from dfbench.deployment import Deployed, deploy
from dfbench.errors import ContractError, DfbenchError, StorageError, UsageError
from dfbench.evaluate import Scene, fit_attack, forget, load_cell, save_cell, score_cells
from dfbench.keys import core_version, digest, file_sha256
from dfbench.labels import short_labels
from dfbench.precision import resolve
from dfbench.registry import Component
from dfbench.rehearsal import rehearse
from dfbench.rng import derive_seed
from dfbench.rundata import DataUsed, RunData
from dfbench.store import Store
from dfbench.threat import check_model
from dfbench.train import save_trained, train
from dfbench.trust.cell import iterated
from dfbench.trust.result import Result
from dfbench.trust.run import Scored, run_checks
from dfbench.trust.subject import Subject
from dfbench.view import ModelView

_TRAINING_CODE = (
    "train",
    "passes",
    "augment",
    "freeze",
    "precision",
    "hygiene",
    "curves",
    "loader",
    "recipe",
    "rng",
    "view",
    "fold",
    "pgd",
    "perturbation",
)
_SCORING_CODE = (
    "evaluate",
    "deployment",
    "loader",
    "rng",
    "view",
    "fold",
    "pgd",
    "adaptive",
    "breaking",
    "square",
    "perturbation",
    "threat",
)
_ABOUT = ("min_size", "cam_layer")
"""What is known of an untrained model without building it, beside its weights."""
_CAM_CODE = ("attention", "gradcam", "similarity")


@dataclass(frozen=True)
class Arm:
    """A trained detector: one model with one defense, trained on one data set from one seed."""

    model: Component
    plan: DefensePlan
    data: str
    """Label of the training data."""
    seed: int


@dataclass(frozen=True)
class Attacker:
    """What an attack that learns left behind: the folder with ``attacker.safetensors`` and ``fit.jsonl``."""

    arm: Arm
    attack: str
    folder: Path


Observer = Callable[[Arm, dict[str, Any]], None]
"""Told of every epoch of every training of a run, also of those that were done before."""


@dataclass
class Cell:
    """One row of the result: an arm in a scenario on a data set, with its scores, or with the reason it has none."""

    arm: Arm
    data: str
    """Label of the evaluated data set."""
    scenario: Scenario
    frame: pd.DataFrame | None = None
    cost: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    checks: list[Result] | None = None
    """What the checks of its verdict found; None where there is nothing to check, or nobody asked."""


@dataclass
class Outcome:
    """Everything a run produced."""

    config: RunConfig
    data: DataUsed
    """What was trained on."""
    eval_data: list[DataUsed]
    leaks: list[str]
    """Leaks between splits that the user allowed."""
    cells: list[Cell]
    checkpoints: dict[Arm, Path]
    """For each arm, the folder with ``model.safetensors`` and ``training.jsonl``."""
    attackers: list[Attacker]
    """Attackers that were fitted to the arms."""
    weights: dict[str, dict[str, str]]
    """By model label, the weights it started from."""
    validation: dict[Arm, pd.DataFrame | str]
    """Clean scores of each arm on the validation split of its training data, where there is one; or why not."""


def _trained(plans: Iterable[DefensePlan]) -> list[DefensePlan]:
    """Defenses and those that they start from."""
    return [one for plan in plans for one in (plan, *_trained([plan.start] if plan.start else []))]


class Runner:
    """Carries out a :class:`RunConfig`.

    Args:
        config: what to run.
        store: where finished artefacts are kept and found again.
        data: the data sets of ``config``.
        device, batch_size: how to run it; neither changes a result beyond float noise, but that the device decides what
            the precision ``auto`` means in training.
        progress: where progress is shown.
        debug: keep the traceback of a failed cell in its reason.
        observe: see :data:`Observer`.
        where: what progress adds to its titles, to tell this run from others.
    """

    def __init__(
        self,
        config: RunConfig,
        store: Store,
        data: RunData,
        *,
        device: torch.device,
        batch_size: int,
        progress: Progress,
        debug: bool = False,
        observe: Observer | None = None,
        where: str = "",
    ) -> None:
        self.config, self.store, self.device = config, store, device
        self.data, self.observe, self.where = data, observe, where
        self.batch_size, self.progress, self.debug = batch_size, progress, debug
        self.attacks = {s.attack_label: self._build_attack(s.attack) for s in config.scenarios}
        self.corruptions = {s.corruption_label: self._build_corruption(s.corruption) for s in config.scenarios}
        self.weights: dict[str, dict[str, str]] = {}
        self.attackers: list[Attacker] = []
        trained = _trained(config.defenses)
        self.short = short_labels(
            (plan.label for plan in trained), {p.label: [one.params for one in p.components] for p in trained}
        )
        self._rehearsed: set[str] = set()
        self._looks: dict[tuple[Arm, str], Attention] = {}
        self._detectors: dict[Arm, Deployed] = {}
        self._checkpoints: dict[Arm, Path] = {}
        self._checkpoint_keys: dict[tuple[str, str], dict[str, Any]] = {}

    @staticmethod
    def _build_attack(component: Component | None) -> Attack | None:
        return component.build() if component else None

    @staticmethod
    def _build_corruption(component: Component | None) -> Corruption | None:
        return component.build() if component else None

    # --- the run -----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Everything that can go wrong before training goes wrong here: every model, the data, and the splits."""
        fresh: dict[str, nn.Module] = {}
        smallest: dict[str, int] = {}
        for component in self.config.models:
            # A model that was checked before is not built again: a run answered from the cache imports no network.
            if found := self.store.find("models", self._model_key(component)):
                known = json.loads((found / "model.json").read_text(encoding="utf-8"))
                self.weights[component.label], smallest[component.label] = known["weights"], known["min_size"]
            else:
                fresh[component.label] = self._fresh_model(component)
                known = {name: getattr(fresh[component.label], name, "") for name in _ABOUT}
            if self.config.cam:
                require_cam_layer(component.label, known["cam_layer"])
        sizes = self.data.prepare(self.store, self.progress)
        for component in self.config.models:
            label = component.label
            if label not in fresh and sizes[0] >= smallest[label]:
                continue
            model: Any = fresh[label] if label in fresh else self._fresh_model(component)
            for size in sizes:
                check_model(model, size, self.device, name=label)
            with self.store.publish("models", self._model_key(component)) as folder:
                about = {"weights": self.weights[label], **{name: getattr(model, name) for name in _ABOUT}}
                (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")
        self._rehearse(fresh)

    def _rehearse(self, fresh: dict[str, nn.Module]) -> None:
        """Every training that is still to do, in its first step."""
        plans = [plan for plan in _trained(self.config.defenses) if plan.label not in self._rehearsed]
        for component in self.config.models:
            for plan in plans:
                if self.store.find("checkpoints", self.checkpoint_key(component, plan)):
                    continue
                label = component.label
                fresh[label] = fresh.get(label) or self._fresh_model(component)
                shape = self.data.training.split("train").pixels(0).shape[:2]
                validated = "val" in self.data.counts[self.config.data.label]
                try:
                    rehearse(fresh[label], plan, shape=shape, validated=validated, device=self.device)
                except UsageError:
                    raise
                except Exception:
                    continue  # no mistake of the user: the training will tell, and costs its own arm alone
        self._rehearsed.update(plan.label for plan in plans)

    @staticmethod
    def _model_key(component: Component) -> dict[str, Any]:
        """The pre-image of what is known of an untrained model; a parameter that names a file counts by its content."""
        texts = {name: Path(value) for name, value in component.params.items() if isinstance(value, str) and value}
        files = {name: file_sha256(path) for name, path in texts.items() if path.is_file()}
        return {"model": component.identity(), "files": files, "about": _ABOUT, "code": core_version("threat")}

    def run(self) -> Outcome:
        """Prepare, train and evaluate; a cell that fails is kept with its reason, and the others go on."""
        self.prepare()
        cells: list[Cell] = []
        checkpoints: dict[Arm, Path] = {}
        validation: dict[Arm, pd.DataFrame | str] = {}
        for component in self.config.models:
            for plan in self.config.defenses:
                arm = self.arm(component, plan)
                try:
                    checkpoints[arm] = self.checkpoint(arm)
                except StorageError:
                    raise
                except Exception as error:
                    reason = "training failed: " + self._reason(error)
                    cells += [replace(cell, failure=reason) for cell in self.cells(arm)]
                    continue
                cells += self._evaluate(arm)
                if "val" in self.data.counts[arm.data]:
                    try:
                        validation[arm] = self._validation(arm)
                    except StorageError:
                        raise
                    except Exception as error:
                        validation[arm] = f"the validation split could not be scored: {self._reason(error)}"
        sets = [component.label for component in self.config.eval_data]
        used = self.data.used
        return Outcome(
            self.config, used(self.config.data.label), [used(name) for name in sets], self.data.leaks, cells,
            checkpoints, self.attackers, self.weights, validation,
        )  # fmt: skip

    def cells(self, arm: Arm) -> list[Cell]:
        """The cells of an arm, still without scores: every scenario on every evaluated data set."""
        return [Cell(arm, data.label, scenario) for data in self.config.eval_data for scenario in self.config.scenarios]

    def _reason(self, error: Exception) -> str:
        if self.debug:
            return traceback.format_exc()
        return str(error) if isinstance(error, DfbenchError) else f"{type(error).__name__}: {error}"

    # --- checkpoints -------------------------------------------------------------------------------------------

    def arm(self, component: Component, plan: DefensePlan) -> Arm:
        """A detector of this run."""
        return Arm(component, plan, self.config.data.label, self.config.seed)

    def checkpoint(self, arm: Arm) -> Path:
        """The folder of a trained detector, trained now if it is not in the cache."""
        if arm not in self._checkpoints:
            self._checkpoints[arm] = self._checkpoint(arm)
        return self._checkpoints[arm]

    def _checkpoint(self, arm: Arm) -> Path:
        component, plan = arm.model, arm.plan
        preimage = self.checkpoint_key(component, plan)
        if found := self.store.find("checkpoints", preimage):
            for line in (found / "training.jsonl").read_text(encoding="utf-8").splitlines():
                self._observe(arm, json.loads(line))
            return found
        model = self._fresh_model(component)
        if plan.start:
            folder = self.checkpoint(self.arm(component, plan.start))
            checkpoint.load_into(model, folder / "model.safetensors", component.label)
        state_file = self.store.path("training", preimage) / "state.pt"
        outcome = train(
            model,
            [objective.build() for objective in plan.components],
            plan.recipe,
            self.data.training,
            seed=self.config.seed,
            device=self.device,
            state_file=state_file,
            progress=self.progress,
            title=f"train {component.label} {self.short[plan.label]}{self.where}",
            observe=lambda row: self._observe(arm, row),
        )
        with self.store.publish("checkpoints", preimage) as folder:
            save_trained(folder, model, outcome, preimage)
        state_file.unlink(missing_ok=True)  # not its folder: the same training may go on in another process
        return self.store.path("checkpoints", preimage)

    def _observe(self, arm: Arm, row: dict[str, Any]) -> None:
        if self.observe:
            self.observe(arm, row)

    def checkpoint_key(self, component: Component, plan: DefensePlan) -> dict[str, Any]:
        """The pre-image of a checkpoint's key."""
        if (component.label, plan.label) not in self._checkpoint_keys:
            if component.label not in self.weights:
                self._fresh_model(component)
            self._checkpoint_keys[component.label, plan.label] = {
                "model": component.identity(),
                "weights": self.weights[component.label],
                "defense": plan.identity(),
                "precision": resolve(plan.recipe.precision, self.device),
                "start": digest(self.checkpoint_key(component, plan.start)) if plan.start else None,
                "data": self.data.key(self.config.data.label),
                "seed": self.config.seed,
                "code": core_version(*_TRAINING_CODE),
            }
        return self._checkpoint_keys[component.label, plan.label]

    def _fresh_model(self, component: Component) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.config.seed, "model", component.label))
            model: Any = component.build()
        if not isinstance(getattr(model, "weights", None), Weights):
            raise ContractError(
                f"the model {component.label!r} does not tell its weights: set self.weights = Weights(name, sha256) in "
                "its constructor, see dfbench.contracts.Model"
            )
        self.weights[component.label] = {"name": model.weights.name, "sha256": model.weights.sha256}
        return model.to(self.device).to(memory_format=torch.channels_last).eval()  # type: ignore[no-any-return]

    def pass_seconds(self, label: str) -> tuple[float, float]:
        """Seconds of a forward and of a backward pass per image of the training data, from one timed batch."""
        component = next(component for component in self.config.models if component.label == label)
        view = ModelView(self._fresh_model(component))
        pixels = self.data.training.split("train").pixels(0)
        x = torch.rand(self.batch_size, 3, *pixels.shape[:2], device=self.device)
        y = torch.zeros(self.batch_size, dtype=torch.long, device=self.device)
        times = []
        for work in (lambda: view(x), lambda: view.gradient(x, y)):
            work()
            started = time.perf_counter()
            float(work()[0].sum())  # on CUDA, wait for the result
            times.append((time.perf_counter() - started) / self.batch_size)
        return times[0], max(0.0, times[1] - times[0])

    # --- cells -------------------------------------------------------------------------------------------------

    def _evaluate(self, arm: Arm) -> list[Cell]:
        cells = self.cells(arm)
        todo: dict[str, list[Cell]] = {}
        for cell in cells:
            if found := self.store.find("cells", self.cell_key(cell)):
                cell.frame, cell.cost = load_cell(found)
            else:
                todo.setdefault(self._company(cell), []).append(cell)
        if todo:
            model = self._detector(arm).model
            for group in todo.values():
                self._score(model, group)
        if self.config.checks != "none":
            for data in self.config.eval_data:
                self._check(arm, [cell for cell in cells if cell.data == data.label and self._attacked(cell)])
        for label in dict.fromkeys(cell.scenario.attack_label for cell in cells):
            self._note_attacker(arm, label)
        return cells

    def _detector(self, arm: Arm) -> Deployed:
        """The trained detector as its defense deploys it."""
        if arm not in self._detectors:
            model = self._fresh_model(arm.model)
            folder = self.store.path("checkpoints", self.checkpoint_key(arm.model, arm.plan))
            checkpoint.load_into(model, folder / "model.safetensors", arm.model.label)
            # One at a time.
            self._detectors = {arm: deploy(model, [objective.build() for objective in arm.plan.components])}
        return self._detectors[arm]

    def _validation(self, arm: Arm) -> pd.DataFrame:
        """Clean scores on the validation split of the training data."""
        cell = Cell(arm, arm.data, Scenario(None, None))
        preimage = self.cell_key(cell, "val")
        if found := self.store.find("cells", preimage):
            return load_cell(found)[0]
        scene = Scene("none", None, "none", None, digest(preimage))
        deployed = self._detector(arm)
        scores, failures = score_cells(
            deployed.model,
            [scene],
            self.data.training.split("val"),
            batch_size=self.batch_size,
            seed=self.config.seed,
            device=self.device,
            progress=self.progress,
            title=f"valid {arm.model.label} {self.short[arm.plan.label]}{self.where}",
            stochastic=deployed.stochastic,
        )
        if failures:
            raise failures[scene]
        with self.store.publish("cells", preimage) as folder:
            save_cell(folder, scores[scene], note="", corruption_label="")
        return load_cell(self.store.path("cells", preimage))[0]

    # --- verdicts ----------------------------------------------------------------------------------------------

    def _attacked(self, cell: Cell) -> bool:
        """Whether an attack was at work and its images were scored."""
        attack = self.attacks[cell.scenario.attack_label]
        return cell.frame is not None and attack is not None and attack.eps != 0

    def _check(self, arm: Arm, cells: list[Cell]) -> None:
        """Check a detector and its attacked cells on one data set."""
        if not cells:
            return
        scored = []
        for cell, passes in zip(cells, self._passes(cells), strict=True):
            scenario, frame = cell.scenario, cell.frame
            attack, corruption = self.attacks[scenario.attack_label], self.corruptions[scenario.corruption_label]
            assert attack is not None
            assert frame is not None
            many = iterated(attack, cell.cost["backwards"], len(frame))
            key = digest(self.cell_key(cell))
            scored.append(Scored(key, frame, attack, corruption, scenario.corruption_label, many, passes))

        def subject() -> Subject:
            found = self._detector(arm)
            view = ModelView(found.model)
            return Subject(found.model, view, found.differentiable, found.stochastic, self.config.seed)

        found = run_checks(
            self.config.checks,
            scored,
            self.data.evaluated(cells[0].data),
            subject=subject,
            store=self.store,
            device=self.device,
            progress=self.progress,
            title=f"check {arm.model.label} {self.short[arm.plan.label]}{self.where}",
        )
        for cell, results in zip(cells, found, strict=True):
            cell.checks = results

    def _passes(self, cells: list[Cell]) -> list[float]:
        """What scoring each cell took, in forward passes; what cells share (the attacked images, the first gradient of
        attacks that begin at the clean ones) is split between them or counted once, that checks take their part of
        what was really done."""
        sharing = Counter(cell.scenario.attack_label for cell in cells)
        found, first = [], True
        for cell in cells:
            n, attack = self.data.evaluated_n(cell.data), self.attacks[cell.scenario.attack_label]
            made = cell.cost["forwards"] - n + 2 * cell.cost["backwards"]
            if attack is not None and attack.starts_clean:
                made, first = made if first else max(0, made - 3 * n), False
            found.append(n + made / sharing[cell.scenario.attack_label])
        return found

    def _company(self, cell: Cell) -> str:
        """Cells of one company are scored together: those of one attack, and of all that begin at the clean images."""
        attack = self.attacks[cell.scenario.attack_label]
        shares = attack is not None and attack.starts_clean and not isinstance(attack, LearnedAttack)
        return "" if shares else cell.scenario.attack_label

    def _score(self, model: nn.Module, cells: list[Cell]) -> None:
        """Score cells together: fit their attack where it learns, then one evaluated data set after the other."""
        attack = self.attacks[cells[0].scenario.attack_label]
        try:
            if isinstance(attack, LearnedAttack) and attack.needs_fit:
                self._load_or_fit(attack, model, cells[0])
        except StorageError:
            raise
        except Exception as error:
            for cell in cells:
                cell.failure = self._reason(error)
            return
        for name in dict.fromkeys(cell.data for cell in cells):
            self._score_group(model, [cell for cell in cells if cell.data == name])

    def _score_group(self, model: nn.Module, group: list[Cell]) -> None:
        """Score cells on one data set together, so that they share its images."""
        data = group[0].data
        try:
            preimages = {self._scene(cell): self.cell_key(cell) for cell in group}
            scenes = dict(zip(preimages, group, strict=True))
            kept = self.store.root / "scoring"
            scores, failures = score_cells(
                model,
                list(scenes),
                self.data.evaluated(data),
                batch_size=self.batch_size,
                seed=self.config.seed,
                device=self.device,
                progress=self.progress,
                title=self._title(group),
                attention=self._attention(model, group),
                kept=kept,
                stochastic=self._detector(group[0].arm).stochastic,
            )
            for scene, cell in scenes.items():
                if scene in failures:
                    cell.failure = self._reason(failures[scene])
                    continue
                with self.store.publish("cells", preimages[scene]) as folder:
                    save_cell(
                        folder,
                        scores[scene],
                        note=scene.attack.note if scene.attack else "",
                        corruption_label=scene.corruption.label if scene.corruption else "",
                    )
                cell.frame, cell.cost = load_cell(self.store.path("cells", preimages[scene]))
                forget(kept, scene)
        except StorageError:
            raise
        except Exception as error:
            for cell in group:
                if cell.frame is None:
                    cell.failure = self._reason(error)

    def _attention(self, model: nn.Module, group: list[Cell]) -> Attention | None:
        """Where the detector looks on the clean images that a group's cells are made of; None where nobody asks."""
        if not self.config.cam or all(cell.scenario.clean for cell in group):
            return None
        arm, data = group[0].arm, group[0].data
        if (arm, data) not in self._looks:
            self._looks = {  # of one detector at a time
                (arm, data): Attention(
                    model,
                    self.data.evaluated(data),
                    batch_size=self.batch_size,
                    device=self.device,
                    progress=self.progress,
                    title=f"look  {arm.model.label} {self.short[arm.plan.label]}{self.where}",
                )
            }
        return self._looks[arm, data]

    def _scene(self, cell: Cell) -> Scene:
        attack, corruption = cell.scenario.attack_label, cell.scenario.corruption_label
        return Scene(
            attack, self.attacks[attack], corruption, self.corruptions[corruption], digest(self.cell_key(cell))
        )

    def _title(self, group: list[Cell]) -> str:
        arm, attacks = group[0].arm, list(dict.fromkeys(cell.scenario.attack_label for cell in group))
        more = f" and {len(attacks) - 1} more" if len(attacks) > 1 else ""
        where = f" on {group[0].data}" if len(self.config.eval_data) > 1 else ""
        return f"test  {arm.model.label} {self.short[arm.plan.label]} | {attacks[0]}{more}{where}{self.where}"

    def _load_or_fit(self, attack: LearnedAttack, model: nn.Module, cell: Cell) -> None:
        preimage = self.attacker_key(cell.arm, cell.scenario)
        found = self.store.find("attackers", preimage)
        if found is None:
            fit_attack(
                attack,
                model,
                self.data.training.split("train"),
                seed=self.config.seed,
                device=self.device,
                progress=self.progress,
            )
            with self.store.publish("attackers", preimage) as folder:
                checkpoint.save(folder / "attacker.safetensors", attack.module.state_dict(), preimage)
                lines = "".join(json.dumps(row) + "\n" for row in attack.log)
                (folder / "fit.jsonl").write_text(lines, encoding="utf-8")
            found = self.store.path("attackers", preimage)
        checkpoint.load_into(attack.module, found / "attacker.safetensors", cell.scenario.attack_label)
        attack.module.to(self.device).eval()

    def _note_attacker(self, arm: Arm, attack_label: str) -> None:
        attack = self.attacks[attack_label]
        scenario = next(s for s in self.config.scenarios if s.attack_label == attack_label)
        if isinstance(attack, LearnedAttack) and attack.needs_fit:
            found = self.store.find("attackers", self.attacker_key(arm, scenario))
            if found:
                self.attackers.append(Attacker(arm, attack_label, found))

    def attacker_key(self, arm: Arm, scenario: Scenario) -> dict[str, Any]:
        """The pre-image of the key of an attacker fitted to an arm, on the arm's own training data."""
        assert scenario.attack
        return {
            "attack": scenario.attack.identity(),
            "checkpoint": digest(self.checkpoint_key(arm.model, arm.plan)),
            "data": self.data.key(self.config.data.label),
            "split": "train",
            "seed": self.config.seed,
            "code": core_version(*_SCORING_CODE),
        }

    def cell_key(self, cell: Cell, split: str = "") -> dict[str, Any]:
        """The pre-image of a cell's key, on the evaluated split unless another one is named."""
        scenario, attack = cell.scenario, self.attacks[cell.scenario.attack_label]
        # Maps of clean images beside themselves tell nothing: that cell is the same with and without.
        cam = self.config.cam and not scenario.clean
        return {
            "checkpoint": digest(self.checkpoint_key(cell.arm.model, cell.arm.plan)),
            "attack": scenario.attack.identity() if scenario.attack else None,
            "attack_content": attack.fingerprint if attack else "",
            "corruption": scenario.corruption.identity() if scenario.corruption else None,
            "data": self.data.key(cell.data),
            "split": split or self.config.split,
            "seed": self.config.seed,
            "code": core_version(*_SCORING_CODE),
            **({"cam": core_version(*_CAM_CODE)} if cam else {}),
        }
