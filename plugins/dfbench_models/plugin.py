"""The built-in detectors."""

from __future__ import annotations

from collections.abc import Iterable

from dfbench import hookimpl
from dfbench.contracts import REQUIRED, ModelSpec, Param

_WEIGHTS_HELP = (
    "ImageNet start: 'lite0' (EfficientNet-Lite0, offline, from the extra 'weights'), 'hub' (EfficientNet-B0, "
    "downloaded by timm), 'none' (random EfficientNet-B0), or the path of an EfficientNet-B0 .safetensors or .pth file"
)


def _hybrid_params(width: int) -> tuple[Param, ...]:
    return (
        Param("width", int, width, "token width of the Transformer; below 1280 the tokens are projected", low=8),
        Param("layers", int, 4, "Transformer layers", low=1),
        Param("heads", int, 4, "attention heads; divides width", low=1),
        Param("dropout", float, 0.1, "dropout in Transformer and head, a probability", low=0.0, high=0.99),
        Param("weights", str, "lite0", _WEIGHTS_HELP),
    )


@hookimpl
def dfbench_models() -> Iterable[ModelSpec]:
    """EfficientNet, EfficientNet with a Transformer on top, and every classifier of timm."""
    yield ModelSpec(
        "hybrid",
        "dfbench_models.hybrid:Hybrid",
        "EfficientNet features as tokens of a small Transformer: 7 M parameters, images from 96x96",
        _hybrid_params(256),
        source="Dosovitskiy et al., ICLR 2021 (hybrid architecture, section 3.1)",
    )
    yield ModelSpec(
        "hybrid-seed",
        "dfbench_models.hybrid:HybridSeed",
        "the hybrid at full token width 1280, as first published: 83 M parameters, 79 M of them Transformer",
        _hybrid_params(1280),
        source="Dosovitskiy et al., ICLR 2021 (hybrid architecture, section 3.1)",
    )
    yield ModelSpec(
        "efficientnet",
        "dfbench_models.classifiers:EfficientNet",
        "plain EfficientNet classifier: 4 M parameters, images from 32x32",
        (
            Param("dropout", float, 0.2, "dropout before the classifier, a probability", low=0.0, high=0.99),
            Param("weights", str, "lite0", _WEIGHTS_HELP),
        ),
        source="Tan and Le, EfficientNet, ICML 2019",
    )
    yield ModelSpec(
        "timm",
        "dfbench_models.classifiers:TimmClassifier",
        "any classifier of timm with a new two-class head, e.g. timm(name=resnet18)",
        (
            Param("name", str, REQUIRED, "timm's name, with or without the tag of its weights"),
            Param(
                "weights",
                str,
                "hub",
                "'hub' (timm's own, downloaded), 'none' (random), or the path of a .safetensors or .pth file",
            ),
        ),
        source="Wightman, PyTorch Image Models",
    )
