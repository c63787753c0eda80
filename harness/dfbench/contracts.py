"""What a component must be: the contracts between the core and every plugin, built-in or third-party.

A component is described by a frozen *spec*, which a plugin hook yields, and implemented by the spec's *target*, which
is imported only when it is used. Nothing here imports torch, so that listing plugins and ``--help`` stay instant.

Conventions, everywhere: images are float32 RGB in [0, 1], shape (B, 3, H, W); class 0 is real, class 1 is fake (the
positive class); a model maps images to logits (B, 2); every eps is in [0, 1] pixel units (8/255 = 0.0314).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from dfbench.errors import ContractError

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np
    from torch import Tensor, nn

    from dfbench.rng import SampleRng
    from dfbench.tables import Table
    from dfbench.view import ModelView

REAL, FAKE = 0, 1
CLASS_NAMES = ("real", "fake")
SPLITS = ("train", "val", "test")

REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "required", "__reduce__": lambda self: "REQUIRED"})()
"""Default of a parameter that the user must give."""


@dataclass(frozen=True)
class Param:
    """One parameter of a component.

    Args:
        name: keyword of the target's constructor.
        type: ``int``, ``float``, ``bool`` or ``str``. An int is accepted where a float is asked for.
        default: the value when the user gives none; ``REQUIRED`` if the user must give one; ``None`` where "not set"
            has a meaning (``None`` is then accepted from the user as well).
        help: one line, with units and range in words.
        low, high: inclusive bounds of a number.
        choices: the only values allowed.
    """

    name: str
    type: type
    default: Any
    help: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Spec:
    """A registered component: what it is called, where it lives, and what can be set.

    Args:
        name: what users write, e.g. ``pgd``. Letters, digits, ``_``, ``-``, ``.`` and ``/``.
        target: ``"package.module:Name"``, imported on first use. A class or factory called with the parameters as
            keywords (for a metric: the function itself).
        summary: one line.
        params: the parameters, with defaults equal to the target's own.
        version: changes when results change. Empty means: a hash of the target's source files.
        source: the paper, with its equation where there is one.
    """

    name: str
    target: str
    summary: str
    params: tuple[Param, ...] = ()
    version: str = ""
    source: str = ""
    kind: ClassVar[str] = ""


@dataclass(frozen=True)
class ModelSpec(Spec):
    """Target: ``(**params) -> Model``."""

    kind: ClassVar[str] = "model"


@dataclass(frozen=True)
class DefenseSpec(Spec):
    """Target: ``(**params) -> Defense``. ``recipe`` overrides the default training recipe (see ``RECIPE_PARAMS``)."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "defense"


@dataclass(frozen=True)
class AttackSpec(Spec):
    """Target: ``(**params) -> Attack``. The name ``none`` is the core's own: no attack."""

    kind: ClassVar[str] = "attack"


@dataclass(frozen=True)
class CorruptionSpec(Spec):
    """Target: ``(**params) -> Corruption``."""

    kind: ClassVar[str] = "corruption"


@dataclass(frozen=True)
class DatasetSpec(Spec):
    """Target: ``(**params) -> Dataset``.

    Args:
        expects: what must lie on the user's disk, in words: folders, files, where to get them. With a
            corpus, the listing adds the command that prepares it.
        corpus: ``"package.module:Class"`` of the :class:`~dfbench.corpus.Corpus` that reads the download in its
            official layout; ``dfbench data check`` and ``dfbench data prepare --root`` work on it. Empty: there is
            nothing to prepare.
    """

    expects: str = ""
    corpus: str = ""
    kind: ClassVar[str] = "dataset"


@dataclass(frozen=True)
class DetectorSpec(Spec):
    """Target: ``(**params) -> FaceDetector`` (:mod:`dfbench.faces`). Its spec counts for the identity of the crops."""

    kind: ClassVar[str] = "detector"


@dataclass(frozen=True)
class MetricSpec(Spec):
    """Target: a :class:`Metric` function.

    Args:
        higher_is_better: None for a plain description (counts, floors).
        columns: what of each sample the metric is computed from, by the columns of a cell's scores (see
            ``dfbench.evaluate.score_cells``), in the order of its arguments. A cell without them has no such metric.
        test: how two detectors are compared in it where every sample is independent of the others: ``delong`` for the
            area under the ROC curve, ``mcnemar`` for the share of samples decided rightly, called fake where the second
            column is at least 0.5; both of columns like ``(label, score)``. Empty: by the bootstrap. ``none``: not at
            all, and it has no interval either, because resampling adds to its bias.
    """

    higher_is_better: bool | None = True
    columns: tuple[str, ...] = ("label", "score")
    test: str = ""
    kind: ClassVar[str] = "metric"


@dataclass(frozen=True)
class TableSpec(Spec):
    """Target: ``(**params) -> TableTemplate``."""

    kind: ClassVar[str] = "table"


# --- what the targets are -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """Which weights a model started from. ``sha256`` is of the weight file, or empty for a random start."""

    name: str
    sha256: str = ""


@runtime_checkable
class Model(Protocol):
    """A detector: an ``nn.Module`` from [0, 1] pixels (B, 3, H, W) to logits (B, 2).

    Normalisation lives inside. ``weights`` tells what it started from, ``cam_layer`` is the qualified name of the
    sub-module whose output (B, C, h, w) Grad-CAM reads, ``min_size`` the smallest image side it takes.

    Optional: ``shallow_layer``, the qualified name of the sub-module whose output (B, C, h, w) are its first, local
    features; defenses that work on features (``pim``) take it where the user names no other. ``differentiable`` and
    ``stochastic``, as in :class:`Defense`.
    """

    weights: Weights
    cam_layer: str
    min_size: int

    def __call__(self, x: Tensor) -> Tensor: ...


class Attack(ABC):
    """``attack(view, x, y, rng) -> x_adv``: adversarial images for a batch.

    ``view`` is the frozen model under attack (``dfbench.view.ModelView``): ``view(x)`` gives logits (B, 2) and is
    differentiable, ``view.gradient(x, y)`` the per-sample cross-entropy (B,) and its gradient (B, 3, H, W). ``rng``
    gives random numbers that depend on the sample's id alone, never on the batch.

    The core checks after every batch: shape and dtype kept, values in [0, 1], finite, ``|x_adv - x| <= eps + 1e-6``
    (where ``eps`` is not None), identity at ``eps == 0``, model mode and parameters untouched.
    """

    eps: float | None = None
    """The L-inf bound, in [0, 1] pixels; None for an attack that is bounded otherwise."""

    note: str = ""
    """What a reader of the table must know, e.g. "transfer". Shown beside the attack's name."""

    fingerprint: str = ""
    """SHA-256 of whatever was loaded from outside and decides the result, e.g. a transferred attacker's file."""

    through: str = ""
    """The corruption that it takes its gradients through, as written in tables; empty: it does not look at any."""

    eot: int = 1
    """Over how many answers of a random detector, or draws of a random corruption, it averages each gradient."""

    worst_case: bool = False
    """Whether it leaves a sample alone as soon as that is wrong, so that the score of its images says whether a sample
    withstood it and nothing more. Its scores have a column and metrics of their own (``worst_score``)."""

    parts: tuple[str, ...] = ()
    """Of an ensemble, its parts in the order in which they run, as its fact ``broken_by`` calls them."""

    facts: Mapping[str, Sequence[Any]]
    """By column, what the latest call tells of each sample (B,), e.g. at which step it broke; kept beside the scores.
    Set it in the call; an attack with nothing to tell has no such attribute."""

    @property
    def iterative(self) -> bool:
        """Whether it takes many gradient steps, and so claims to come near the strongest perturbation within eps: the
        checks of a verdict hold it to that."""
        return False

    @property
    def starts_clean(self) -> bool:
        """Whether it takes its first gradient at the clean images: such attacks run together, and share gradients that
        they take at the same images (``ModelView.remembering``)."""
        return False

    def passes(self) -> tuple[float, float] | None:
        """Forward and backward passes through the model per image, for ``--dry-run``; None where not known ahead."""
        return None

    @abstractmethod
    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] within eps of ``x``, meant to make the model miss labels ``y`` (B,)."""


class LearnedAttack(Attack):
    """An attack with parameters of its own, fitted to the frozen model on the attack-training split.

    The fitted parameters are cached like a checkpoint; ``module`` holds them.
    """

    module: nn.Module

    log: Sequence[Mapping[str, float]] = ()
    """What ``fit`` noted of its course, in order, e.g. ``{"step": 40, "success": 0.5}``; kept beside the parameters."""

    @property
    def needs_fit(self) -> bool:
        """False where the parameters came from elsewhere (a transfer attack)."""
        return True

    def fit_epochs(self) -> float:
        """How often ``fit`` sees each image of the attack-training split (one forward and backward pass each)."""
        return 0.0

    @abstractmethod
    def fit(self, view: ModelView, batches: Callable[[int], Iterator[Batch]], seed: int, progress: Progress) -> None:
        """Fit ``module``. ``batches(epoch)`` iterates over the attack-training split, shuffled by seed and epoch."""


class Corruption(ABC):
    """``corruption(x, rng) -> x``: what happens to an image on its way, with no access to the model."""

    label: str = ""
    """Column name in tables where it must differ from the expression typed, e.g. ``h264_intra_crf23``."""

    clip_label: str = ""
    """Name of what ``clip`` does, where its pixels differ from the image-level ones, e.g. ``h264_clip_crf23``."""

    temporal: bool = False
    """Whether a frame that leaves ``clip`` depends on other frames, so that the whole clip must go through it."""

    @abstractmethod
    def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
        """Corrupted images, shape and range of ``x`` (B, 3, H, W) in [0, 1]."""

    def surrogate(self, x: Tensor) -> Tensor:
        """What adaptive attacks take this corruption's gradient from: a differentiable stand-in, by default the
        identity. Values, and so scores and successes, always come from the corruption itself."""
        return x

    def clip(self, frames: Iterator[np.ndarray[Any, Any]], rate: Fraction) -> Iterator[np.ndarray[Any, Any]]:
        """A whole clip on its way: RGB uint8 frames (H, W, 3) in and out, as many and in the same order.

        Used by ``dfbench data prepare --recompress``, before faces are detected. ``rate`` is in frames per second.
        Must work frame by frame: a long clip does not fit in memory. Optional: a corruption that does not override it
        cannot re-encode clips.

        Raises:
            ContractError: it does not override this.
        """
        raise ContractError(f"{type(self).__name__} works on images only: it cannot re-encode clips")


class Defense:
    """One objective of the training loop. Objectives compose: ``dual+pim`` trains with both.

    The loop owns the detector, its optimiser, the clean loss and the mode of the model; an objective adds loss terms,
    computed by ``context.terms``, or changes how all terms are computed (:meth:`regularized`). Whatever else it trains
    (an attacker) it owns, steps and saves itself.
    """

    clean_weight: float = 1.0
    """Weight of the loop's clean loss. The product over composed objectives is used."""

    differentiable: bool = True
    """Whether the gradient of what :meth:`deployed` gives is that of its function. One that rounds, encodes or
    thresholds says False; the checks of a verdict find the missing declaration."""

    stochastic: bool = False
    """Whether the detector, as deployed, answers differently to the same image; then attacks must average over its
    answers (``eot``). The checks of a verdict find the missing declaration."""

    def deployed(self, model: nn.Module) -> nn.Module:
        """The trained detector as it is used and attacked, by default as it is.

        For a defense that also acts at inference, such as a transformation of the input
        (:class:`~dfbench.deployment.Guarded`). Called once, after the weights are loaded.
        """
        return model

    def passes(self) -> tuple[float, float]:
        """Forward and backward passes through the detector per image that this objective adds, for ``--dry-run``."""
        return (0.0, 0.0)

    def setup(self, context: TrainContext) -> None:
        """Called once, before the first epoch (also before a resumed one, before ``load_state_dict``)."""

    def begin_epoch(self, epoch: int, context: TrainContext) -> None:
        """Called at the start of every epoch, from 0."""

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        """Named, already weighted loss terms (scalars with gradient to the detector) to add to the clean loss."""
        return {}

    def regularized(self, compute: Callable[[], dict[str, Tensor]], context: TrainContext) -> dict[str, Tensor]:
        """Loss terms of one training pass through the detector, regularised; by default as they are.

        Called for every pass whose loss is trained on: the loop's own and each of ``context.terms``.

        Args:
            compute: runs the pass and gives its terms; may be called several times.
        """
        return compute()

    def attacked(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor | None:
        """Attacked validation images, on which (beside the clean ones) the kept epoch is chosen; None: clean only."""
        return None

    def chosen(self) -> dict[str, Any]:
        """What ``setup`` settled that the parameters leave open, as plain data for the record: ``{"site": ...}``."""
        return {}

    def logged(self) -> dict[str, float]:
        """Numbers for the training log that are no loss of the detector, e.g. the attacker's own."""
        return {}

    def skipped_steps(self) -> int:
        """Steps that an optimiser of its own has skipped since the start, because its gradients overflowed in fp16."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed training needs beyond the detector: tensors, numbers, nested dicts and lists."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""

    def artefacts(self) -> dict[str, dict[str, Tensor]]:
        """Named tensors worth keeping after training, e.g. ``{"attacker": unet.state_dict()}``."""
        return {}


@dataclass
class TrainContext:
    """What an objective may use during training."""

    model: nn.Module
    """The detector being trained."""
    criterion: Callable[[Tensor, Tensor], Tensor]
    """(logits (B, 2), y (B,)) -> mean loss; class-weighted and label-smoothed as the recipe says."""
    epochs: int
    steps_per_epoch: int
    seed: int
    precision: str = "fp32"
    """``fp32``, ``bf16`` or ``fp16``: the arithmetic of the training, see :mod:`dfbench.precision`."""
    epoch: int = 0
    step: int = 0
    """Steps taken since the start of training, over all epochs."""
    objectives: Sequence[Defense] = ()
    """All objectives of this training."""

    def terms(self, x: Tensor, losses: Callable[[Tensor], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Loss terms of a pass of images through the detector in training mode, regularised by every objective.

        Args:
            x: images (B, 3, H, W).
            losses: from logits (B, 2) to named scalars.
        """

        from dfbench.passes import regularised

        return regularised(self, x, losses)


@dataclass(frozen=True)
class Sample:
    """What is known of one sample besides its pixels.

    Args:
        id: unique within the data set; seeds the sample's randomness.
        label: 0 real, 1 fake.
        video: the unit that frames are averaged over and intervals are clustered by; the id itself for single images.
        identities: every person in the image, source and target; no identity may be in two splits.
        manipulation: how the fake was made; empty for real images.
        phash: perceptual hash of the pixels (hex) where it is already known; the leakage audit computes it elsewhere.
    """

    id: str
    label: int
    video: str
    identities: tuple[str, ...] = ()
    manipulation: str = ""
    phash: str = ""


class Split(ABC):
    """One split of a data set: a fixed list of samples, and their pixels on demand."""

    samples: Sequence[Sample]

    @abstractmethod
    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> np.ndarray[Any, Any]:
        """RGB uint8 (H, W, 3) of one sample, the same H and W for the whole data set.

        A training split may draw its fakes anew for each ``(seed, epoch)``; the label of ``samples[index]`` stays.
        Deterministic, and safe to call from several threads.
        """


class Dataset(ABC):
    """Samples in identity-disjoint splits ``train``, ``val`` and ``test``."""

    video_level: bool = False
    """Whether samples are frames, so that mean scores per video mean something. Known after ``prepare``."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the content: pixels, labels, splits and whatever else decides a sample.

        Free of any location: a data set moved to another disk keeps it, and so do the results it is the key of.
        """

    @abstractmethod
    def split(self, name: str) -> Split:
        """The split ``train``, ``val`` or ``test``.

        Raises:
            DataError: the data set has no such split. An evaluated data set needs only the evaluated split, and a
                training set without ``val`` keeps the last epoch. Whatever else may be wrong is found in ``prepare``.
        """

    def prepare(self, cache: str, progress: Progress) -> None:
        """Do the slow work once (decode, crop, draw) and keep it under the folder ``cache``. Called before use."""

    def notes(self) -> list[str]:
        """What a reader of the numbers must know, e.g. samples that were skipped and why."""
        return []

    def preparation(self) -> dict[str, Any]:
        """How the pixels came to be (detector, size, margin, recompression, ...), as plain data for the record."""
        return {}

    def verify(self, progress: Progress) -> list[str]:
        """Read every stored pixel and tell what no longer agrees with its checksum; used by ``dfbench data audit``."""
        return []


@dataclass(frozen=True)
class Batch:
    """A batch on its device: images (B, 3, H, W) float32 in [0, 1], labels (B,) int64, and the samples' ids."""

    x: Tensor
    y: Tensor
    ids: tuple[str, ...]


class MetricUndefined(Exception):
    """Raised by a metric that has no value on these samples; the message is the reason given in the record."""


class Metric(Protocol):
    """``metric(*columns, weight) -> values``; with the usual columns, ``metric(y, score, weight)``.

    Args:
        columns: those that ``MetricSpec.columns`` names, each (n,): by default the labels in {0, 1} and the
            probabilities of fake in [0, 1].
        weight: how often each sample counts (R, n), one row per bootstrap replicate.

    Returns:
        One value per row (R,); NaN in a row where it is undefined.

    Raises:
        MetricUndefined: it has no value on these samples at all.
    """

    def __call__(self, *columns_and_weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]: ...


class TableTemplate(ABC):
    """A way to show a record: which numbers, in which rows and columns."""

    needs: str = ""
    """What a record must have for there to be a table, told to a user who gets none: "two eps of an attack"."""

    @abstractmethod
    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        """The tables of a record (see ``dfbench.record``), or of the part of it that the user asked for."""


class Progress(Protocol):
    """Progress of long work: ``with progress.task("faces", total) as advance: advance(1, "note")``."""

    def task(self, title: str, total: int) -> ProgressTask: ...


class ProgressTask(Protocol):
    """A running progress bar."""

    def __enter__(self) -> Callable[..., None]: ...

    def __exit__(self, *exc: Any) -> None: ...
