"""Figures that people read: one style, colours that the colour-blind can tell apart, files that appear whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfbench.errors import MissingDependency
from dfbench.store import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette (Color Universal Design, 2008), in the order in which arms get their colours."""

DIVERGING, SEQUENTIAL = "RdBu_r", "viridis"
"""Colour maps for signed and for unsigned quantities."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches; no window, no global state.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependency("figures need matplotlib, which is not installed: pip install matplotlib") from None
    style: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a PNG at 150 dots per inch.

    Raises:
        StorageError: the folder cannot be written.
    """
    write_atomic(path, lambda temporary: figure.savefig(temporary, dpi=150, format="png"))
    return path
