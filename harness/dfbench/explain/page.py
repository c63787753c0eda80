"""The page that shows the evidence: every figure with a sentence on how to read it, and links to the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from dfbench.explain.common import Request, arm_names
from dfbench.explain.figure import reading_of, width_of

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #4f565f; --rule: #c9ced6; --page: #fff; --link: #0b57d0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ec; --soft: #b0b7c1; --rule: #40464e; --page: #15171a;
  --link: #8ab4f8; } }
body { margin: 2rem auto; padding: 0 1rem; max-width: 76rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; }
p, li, figcaption { max-width: 46rem; } figcaption, .soft { color: var(--soft); }
a { color: var(--link); } dt { font-weight: 600; } dd { margin: 0 0 .4rem; color: var(--soft); }
figure { margin: 1.5rem 0; padding-bottom: 1.5rem; border-bottom: 1px solid var(--rule); }
.scroll { overflow-x: auto; margin-bottom: .6rem; border-radius: 4px; background: #fff; }
.scroll img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
@media (max-width: 48rem) { body { margin: 1rem auto; } .scroll img { max-width: none; margin: 0; } }
"""

_ABOUT = {
    "curves": "How the detectors fall as the bound of an attack grows.",
    "ablation": "What two parameters of a defense buy.",
    "attention": "Where the detectors look: Grad-CAM (Selvaraju et al., ICCV 2017) at the last feature map.",
    "frequency": "Which spatial frequencies the detectors depend on: their error under Fourier basis noise "
    "(Yin et al., NeurIPS 2019).",
    "attackers": "What the attackers draw, how they learned it, and what of it survives compression.",
}


def page(
    title: str, about: Mapping[str, str], notes: Sequence[str], sections: Mapping[str, Sequence[Path]], out: Path
) -> str:
    """The page as HTML, to be kept in ``out``: figures and tables are linked relative to it.

    It follows the reader's system in light and dark; on narrow screens wide figures scroll sideways. All text is
    escaped, and the page forbids scripts.

    Args:
        title: its heading.
        about: what was looked at, by term, e.g. what :func:`about_detectors` tells.
        notes: sentences for the reader.
        sections: by kind of evidence (``attention``, ...), the PNG and CSV files that it wrote into ``out``.
        out: their folder.
    """
    body = [f"<h1>{escape(title)}</h1>", "<dl>"]
    body += [f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in about.items()]
    body.append("</dl>")
    if notes:
        body.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")
    for name, paths in sections.items():
        figures = [path for path in paths if path.suffix == ".png"]
        tables = [path for path in paths if path.suffix == ".csv"]
        body.append(f"<h2>{escape(name.capitalize())}</h2>\n<p>{escape(_ABOUT[name])}</p>")
        body += [_figure(out, path) for path in figures]
        if tables:
            links = ", ".join(_link(out, path) for path in tables)
            body.append(f'<p class="soft">The numbers: {links}</p>')
        if not paths:
            body.append('<p class="soft">Nothing to show; the notes above say why.</p>')
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' file:"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style></head>\n<body>",
            *body,
            "</body></html>\n",
        ]
    )


def about_detectors(request: Request, images: str) -> dict[str, str]:
    """Which detectors, attacks and images were looked at.

    Args:
        request: what was explained.
        images: what the samples are called, e.g. ``mini, test split``.
    """
    counts = [sum(sample.label == label for sample in request.split.samples) for label in (0, 1)]
    used = [min(count, request.limit) for count in counts]
    return {
        "Detectors": "; ".join(
            f"{name} ({arm.model}, trained on {arm.data}, seed {arm.seed})"
            for arm, name in arm_names(request.arms).items()
        ),
        "Attacks": "; ".join(request.attacks) or "none",
        "Images": f"{images}: {used[0]} of {counts[0]} real and {used[1]} of {counts[1]} fake ones",
    }


def _figure(out: Path, path: Path) -> str:
    reading = reading_of(path) or path.stem
    width = round(width_of(path) * 96)  # so that all figures have letters of one size
    return (
        f'<figure><div class="scroll" tabindex="0" role="region" aria-label="{escape(path.stem)}">'
        f'<a href="{_relative(out, path)}"><img src="{_relative(out, path)}" alt="{escape(path.stem)}: '
        f'{escape(reading)}" width="{width}" loading="lazy"></a></div>\n'
        f"<figcaption>{escape(reading)}</figcaption></figure>"
    )


def _link(out: Path, path: Path) -> str:
    return f'<a href="{_relative(out, path)}">{escape(path.name)}</a>'


def _relative(out: Path, path: Path) -> str:
    return quote(path.relative_to(out).as_posix())
