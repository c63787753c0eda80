"""Parts of a detector that are not trained, named by prefixes of their parameters' names."""

from __future__ import annotations

from torch import nn

from dfbench.errors import UsageError, did_you_mean


def freeze(model: nn.Module, text: str) -> tuple[str, ...]:
    """Take the parameters that ``text`` names out of training.

    Args:
        model: the detector.
        text: prefixes of parameter names that end at a dot or at the name's end, separated by commas: ``blocks.1`` is
            ``blocks.1.conv.weight``, but not ``blocks.10.conv.weight``. Empty: nothing is frozen.

    Returns:
        The prefixes, for :func:`lies_within`.

    Raises:
        UsageError: a prefix names no parameter, or nothing is left to train.
    """
    prefixes = tuple(part.strip() for part in text.split(",") if part.strip())
    parameters = dict(model.named_parameters())
    for prefix in prefixes:
        if not any(lies_within(name, (prefix,)) for name in parameters):
            modules = {
                ".".join(name.split(".")[:depth]) for name in parameters for depth in range(1, name.count(".") + 1)
            }
            parts = ", ".join(dict.fromkeys(name.split(".")[0] for name in parameters))
            raise UsageError(
                f"freeze={prefix!r} begins no parameter's name: {did_you_mean(prefix, modules | parameters.keys())} "
                f"(the model's parts are {parts})"
            )
    for name, parameter in parameters.items():
        if lies_within(name, prefixes):
            parameter.requires_grad_(False)
    if prefixes and not any(parameter.requires_grad for parameter in parameters.values()):
        raise UsageError(f"freeze={text!r} leaves no parameter of the model to train: freeze less")
    return prefixes


def lies_within(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether the qualified name of a module or parameter is one of the prefixes, or lies under one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)
