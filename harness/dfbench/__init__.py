"""dfbench: train deepfake detectors to withstand attacks and compression, and measure honestly whether they do."""

from dfbench.hookspecs import hookimpl

__all__ = ["hookimpl"]
