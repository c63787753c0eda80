from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY

from dfbench import checkpoint
from dfbench.contracts import Batch, Dataset, Defense, Split, TrainContext
from dfbench.errors import CheckpointError, DataError, TrainingError, UsageError
from dfbench.freeze import lies_within
from dfbench.progress import Silent
from dfbench.recipe import Recipe
from dfbench.registry import load_registry
from dfbench.train import train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dataset: Dataset = load_registry().component("dataset", f'folder(path="{faces}", size=64)').build()
    dataset.prepare(str(tmp_path_factory.mktemp("data")), Silent())
    return dataset


def tiny(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return load_registry().component("model", TINY).build()


def run(data: Dataset, state: Path, objectives: list[Defense], model: Any = None, **recipe: Any) -> tuple[Any, Any]:
    model = model or tiny()
    settings = Recipe(**{"epochs": 3, "batch_size": 16, "lr": 1e-2, **recipe})
    outcome = train(
        model, objectives, settings, data, seed=0, device=CPU, state_file=state, progress=Silent(), title="test"
    )
    return model, outcome


def dual(**params: Any) -> Defense:
    text = "dual(" + ", ".join(f"{k}={v}" for k, v in params.items()) + ")"
    built: Defense = load_registry().component("defense", text).build()
    return built


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([t.double().flatten() for t in model.state_dict().values()])


def test_training_learns_to_tell_real_from_fake(data: Dataset, tmp_path: Path) -> None:
    _, outcome = run(data, tmp_path / "s", [Defense()], epochs=8)
    assert max(row["validation"]["auc"] for row in outcome["log"]) > 0.9


def test_the_kept_epoch_is_the_best_on_validation_and_a_tie_goes_to_the_later(data: Dataset, tmp_path: Path) -> None:
    _, outcome = run(data, tmp_path / "s", [Defense()], epochs=5)
    scores = [row["validation"]["auc"] for row in outcome["log"]]
    assert outcome["epoch"] == max(i for i, score in enumerate(scores) if score == max(scores))


class Unvalidated(Dataset):
    """A data set without its validation split."""

    fingerprint = "0" * 64

    def __init__(self, whole: Dataset) -> None:
        self.whole = whole

    def split(self, name: str) -> Split:
        if name == "val":
            raise DataError("there is no val split")
        return self.whole.split(name)


def test_without_a_validation_split_the_last_epoch_is_kept(data: Dataset, tmp_path: Path) -> None:
    model, outcome = run(Unvalidated(data), tmp_path / "s", [dual(steps=1)], ema=0.9)
    assert outcome["epoch"] == 2
    assert [row["validation"] for row in outcome["log"]] == [{}] * 3
    last = torch.load(tmp_path / "s", weights_only=True)["average"]
    assert all(torch.equal(tensor, last[name]) for name, tensor in model.state_dict().items())


def test_training_stops_when_validation_has_not_improved_for_as_long_as_the_patience(
    data: Dataset, tmp_path: Path
) -> None:
    """At a learning rate of nearly 0 every epoch ties with the first: no epoch is better."""
    _, outcome = run(data, tmp_path / "s", [Defense()], epochs=9, lr=1e-12, freeze_bn=True, patience=2)
    assert len(outcome["log"]) == 3
    assert outcome["stopped_early"] is True
    assert [row.get("stopped_early", False) for row in outcome["log"]] == [False, False, True]


def test_a_training_that_keeps_improving_uses_all_its_epochs(data: Dataset, tmp_path: Path) -> None:
    _, free = run(data, tmp_path / "a", [Defense()], epochs=4)
    _, patient = run(data, tmp_path / "b", [Defense()], epochs=4, patience=3)
    assert [row["validation"] for row in patient["log"]] == [row["validation"] for row in free["log"]]
    assert patient["stopped_early"] is False
    assert "stopped_early" not in patient["log"][-1]


def test_a_training_that_stopped_early_stays_stopped_when_it_is_run_again(data: Dataset, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 9, "lr": 1e-12, "freeze_bn": True, "patience": 2}
    model, outcome = run(data, tmp_path / "s", [Defense()], **settings)
    again, same = run(data, tmp_path / "s", [Defense()], model=tiny(seed=99), **settings)
    assert same["log"] == outcome["log"]
    assert same["stopped_early"] is True
    assert torch.equal(weights(model), weights(again))


def test_patience_needs_a_validation_split(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="patience=2 needs a validation split, and the training data has none"):
        run(Unvalidated(data), tmp_path / "s", [Defense()], patience=2)


@pytest.mark.parametrize("extra", [{}, {"ema": 0.9, "freeze_bn": True, "schedule": "hold"}])
def test_a_training_interrupted_after_any_epoch_ends_in_the_same_weights(
    data: Dataset, tmp_path: Path, extra: dict[str, Any]
) -> None:
    class Interrupting(Silent):
        """Interrupts in the middle of the second epoch."""

        def task(self, title: str, total: int) -> Any:
            steps = iter(range(total))

            class Task:
                def __enter__(self) -> Any:
                    def advance(count: int = 1, note: str = "") -> None:
                        for _ in range(count):
                            if next(steps) == 4:
                                raise KeyboardInterrupt

                    return advance

                def __exit__(self, *exc: Any) -> None:
                    return None

            return Task()

    whole, expected = run(data, tmp_path / "whole", [dual(steps=1)], **extra)
    model = tiny()
    with pytest.raises(KeyboardInterrupt):
        train(
            model, [dual(steps=1)], Recipe(epochs=3, batch_size=16, lr=1e-2, **extra), data, seed=0, device=CPU,
            state_file=tmp_path / "cut", progress=Interrupting(), title="",
        )  # fmt: skip
    assert (tmp_path / "cut").is_file()
    resumed, outcome = run(data, tmp_path / "cut", [dual(steps=1)], model=tiny(seed=99), **extra)
    assert torch.equal(weights(whole), weights(resumed))
    for name, tensor in expected["artefacts"]["attacker"].items():
        assert torch.equal(tensor, outcome["artefacts"]["attacker"][name])


@pytest.mark.slow
def test_a_training_killed_from_outside_ends_in_the_same_weights(faces: Path, tmp_path: Path) -> None:
    """Really killed, with a signal that no program can catch; run again; compared with one that was left alone."""

    def command(name: str) -> list[str]:
        arguments = ["run", "--model", TINY, "--data", f'folder(path="{faces}", size=64)', "--defense",
                     "none(epochs=6, batch_size=8)", "--out", str(tmp_path / name), "--cache",
                     str(tmp_path / f"cache-{name}")]  # fmt: skip
        return [sys.executable, "-c", "from dfbench.cli import main; main()", *arguments]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command("whole"), check=True, capture_output=True, env=environment)
    process = subprocess.Popen(command("cut"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "cache-cut").glob("training/*/state.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut" / "record.json").exists(), "the run ended before it could be killed"
    subprocess.run(command("cut"), check=True, capture_output=True, env=environment)
    (one,), (other,) = ((tmp_path / name / "checkpoints").glob("*.safetensors") for name in ("whole", "cut"))
    assert checkpoint.load_tensors(one).keys() == checkpoint.load_tensors(other).keys()
    for name, tensor in checkpoint.load_tensors(one).items():
        assert torch.equal(tensor, checkpoint.load_tensors(other)[name]), name


class Poison(Defense):
    """Adds a loss term that becomes NaN at the third step."""

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, torch.Tensor]:
        value = float("nan") if context.step == 2 else 0.0
        return {"poison": context.model(batch.x).sum() * 0 + value}


def test_a_loss_that_is_not_finite_stops_training_and_is_named(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the poison loss became nan in epoch 0, step 2"):
        run(data, tmp_path / "s", [Poison()])


class Spying(Defense):
    """Records the model's mode, as an objective sees it, and the batch-norm statistics after each epoch."""

    def __init__(self) -> None:
        self.modes: list[bool] = []

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, torch.Tensor]:
        self.modes.append(context.model.training)
        return {}


def test_the_model_is_in_training_mode_at_every_step_after_an_attack(data: Dataset, tmp_path: Path) -> None:
    spy = Spying()
    run(data, tmp_path / "s", [dual(steps=1), spy], epochs=1)
    assert spy.modes == [True] * 3


def test_frozen_batch_norm_keeps_its_statistics(data: Dataset, tmp_path: Path) -> None:
    def statistics(model: torch.nn.Module) -> torch.Tensor:
        return torch.cat([b.flatten() for n, b in model.named_buffers() if "running" in n])

    before = statistics(tiny())
    frozen, _ = run(data, tmp_path / "a", [Defense()], epochs=1, freeze_bn=True)
    free, _ = run(data, tmp_path / "b", [Defense()], epochs=1)
    assert torch.equal(statistics(frozen), before)
    assert not torch.equal(statistics(free), before)


FROZEN = "backbone.net.conv_stem, backbone.net.blocks.0"


def test_frozen_parts_keep_their_weights_and_statistics_and_the_rest_learns(data: Dataset, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in tiny().state_dict().items()}
    model, _ = run(data, tmp_path / "s", [dual(steps=1)], epochs=1, freeze=FROZEN, ema=0.9)
    prefixes = ("backbone.net.conv_stem.", "backbone.net.blocks.0.")
    kept = {name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])}
    assert {name for name in before if name.startswith(prefixes)} <= kept
    assert {name for name, _ in model.named_parameters() if not name.startswith(prefixes)}.isdisjoint(kept)
    assert "backbone.net.bn1.running_mean" not in kept


def test_a_frozen_prefix_ends_at_a_dot() -> None:
    assert lies_within("blocks.1.conv.weight", ("blocks.1",))
    assert not lies_within("blocks.10.conv.weight", ("blocks.1",))


def test_a_frozen_prefix_that_names_nothing_gets_a_suggestion(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"freeze='backbone.net.stem' begins .* did you mean .*'backbone.net"):
        run(data, tmp_path / "s", [Defense()], freeze="backbone.net.conv_stem,backbone.net.stem")


def test_a_model_frozen_as_a_whole_is_an_error(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="freeze='backbone' leaves no parameter of the model to train"):
        run(data, tmp_path / "s", [Defense()], freeze="backbone")


def test_two_objectives_that_add_a_loss_of_the_same_name_are_an_error(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="two parts of the defense add a loss called 'pgd'"):
        run(data, tmp_path / "s", [dual(steps=1), dual(steps=1)], epochs=1)


def test_the_gradient_is_clipped_before_the_step(data: Dataset, tmp_path: Path) -> None:
    """With plain averages of Adam out of the way, a clip of nearly 0 must leave the weights nearly unmoved by decay."""
    norms: list[float] = []

    class Watch(Defense):
        def losses(self, batch: Batch, context: TrainContext) -> dict[str, torch.Tensor]:
            grads = [p.grad for p in context.model.parameters() if p.grad is not None]
            if grads:
                norms.append(float(torch.stack([g.norm() for g in grads]).norm()))
            return {"large": 1e4 * context.model(batch.x).square().mean()}

    run(data, tmp_path / "s", [Watch()], epochs=1, clip=0.5)
    assert norms == pytest.approx([0.5, 0.5], rel=1e-3)


def test_classes_weigh_the_same_however_many_samples_they_have(data: Dataset) -> None:
    from dfbench.loader import Loader
    from dfbench.train import _Trainer

    loader = Loader(data.split("train"), 16, CPU, train=True)
    loader.labels = loader.labels.copy()
    loader.labels[:] = [1] * 12 + [0] * 36
    trainer = _Trainer(tiny(), [Defense()], Recipe(label_smoothing=0.0), loader, loader, 0)
    logits = torch.tensor([[0.0, 1.0]]).repeat(4, 1)
    y = torch.tensor([1, 0, 0, 0])
    # One fake and three reals at a ratio of 1:3: each class contributes half.
    losses = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    expected = 0.5 * losses[0] + 0.5 * losses[1:].mean()
    assert float(trainer.context.criterion(logits, y)) == pytest.approx(float(expected))


def test_a_truncated_training_state_is_a_clear_error(data: Dataset, tmp_path: Path) -> None:
    state = tmp_path / "s"
    run(data, state, [Defense()], epochs=1)
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"cannot be read .* delete it to train from the start"):
        run(data, state, [Defense()], epochs=1)


def test_a_truncated_or_foreign_checkpoint_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = tiny()
    checkpoint.save(path, model.state_dict(), {"made": "here"})
    assert checkpoint.load_metadata(path) == {"made": "here"}
    checkpoint.load_into(model, path, "tiny")
    with pytest.raises(CheckpointError, match=r"is not a checkpoint of a line: .* tensors missing"):
        checkpoint.load_into(torch.nn.Linear(2, 2), path, "a line")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="truncated or not a safetensors file"):
        checkpoint.load_into(model, path, "tiny")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        checkpoint.load_into(model, tmp_path / "absent", "tiny")
