"""No defense: the baseline."""

from __future__ import annotations

from dfbench.contracts import Defense


class Plain(Defense):
    """Trains on clean images alone, with class-weighted cross-entropy."""
