"""Figures that people read: one style, colours that the colour-blind can tell apart, files that appear whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dfbench.errors import MissingDependency
from dfbench.store import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette (Color Universal Design, 2008), in the order in which arms get their colours."""

DPI = 150

SEQUENTIAL = "viridis"
"""Colour map for unsigned quantities."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches; no window, no global state.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependency("figures need matplotlib, which is not installed: pip install matplotlib") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@contextmanager
def drawing(path: Path, width: float, height: float, reading: str = "") -> Iterator[Figure]:
    """A new figure in the common style, which is written to ``path`` when the block ends without an error.

    The style holds for whatever is drawn within the block: axes and texts take it when they are made. ``reading``, a
    sentence or two on how to read the figure, is kept in the file, for the page that shows it (:func:`reading_of`).

    Raises:
        MissingDependency: matplotlib is not installed.
        StorageError: the folder cannot be written.
    """
    figure = new_figure(width, height)
    from matplotlib import rc_context

    style: Any = {"font.size": 9, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False}
    with rc_context(style):
        yield figure
        save_figure(figure, path, reading)


def save_figure(figure: Figure, path: Path, reading: str = "") -> Path:
    """Write a PNG at :data:`DPI` dots per inch, with ``reading`` as its description.

    Raises:
        StorageError: the folder cannot be written.
    """
    told = {"Description": reading}
    write_atomic(path, lambda temporary: figure.savefig(temporary, dpi=DPI, format="png", metadata=told))
    return path


def reading_of(path: Path) -> str:
    """How to read a figure that :func:`drawing` wrote; empty where it was not told."""
    with Image.open(path) as image:
        return str(image.info.get("Description", ""))


def width_of(path: Path) -> float:
    """The width of a figure that :func:`drawing` wrote, in inches."""
    with Image.open(path) as image:
        return image.width / DPI
