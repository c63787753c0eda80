"""``dfbench audit``: whether finished numbers can be believed, of a run or of a published table."""

from __future__ import annotations

from pathlib import Path

import click

_EPILOG = """\b
Examples:
  dfbench audit runs/demo
  dfbench audit results/dual results/gradient-regularization
  dfbench audit results/published/gradient-regularization.csv
  dfbench audit runs/demo --format json > audit.json

Of a run, every number of its record is derived again from the scores beside it, and held against arithmetic: metrics,
intervals, differences and their p, areas, thresholds, counts, fingerprints, bounds of perturbations, labels, recipes.

A table is a CSV file with the columns model, attack, eps and accuracy, and any of f1 (macro-F1), f1_fake, f1_real, auc,
balanced_accuracy, tpr_at_fpr_1pct, n, fakes, tp, fp, tn, fn, steps, data, corruption. Shares are within 0 and 1, eps in
[0, 1] pixels, and the attack of a line without one is empty or none. What is printed as .462 may be .4615 to .4625.

An error is a number that is wrong or cannot be believed; a note is what its reader must know.

Exit codes: 0 no errors, 2 usage, 3 at least one error."""


@click.command("audit", epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="RECORD...", type=click.Path(path_type=Path))
@click.option("--format", "format_name", type=click.Choice(["text", "json", "md"]), default="text", show_default=True)
@click.option("--strict-plugins", is_flag=True, envvar="DFBENCH_STRICT_PLUGINS", help="Stop on a broken plugin.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(paths: tuple[Path, ...], format_name: str, strict_plugins: bool, debug: bool) -> int:
    """Audit each RECORD: the output folder of a run, its record.json, or a .csv table of published results."""
    from dfbench.recheck.published import audit_table
    from dfbench.recheck.render import as_json, as_markdown, show

    reports = []
    for path in paths:
        if path.suffix.lower() == ".csv":
            reports.append(audit_table(path))
            continue
        from dfbench.progress import Bars
        from dfbench.recheck.run import audit_run
        from dfbench.registry import load_registry

        reports.append(audit_run(path, load_registry(strict=strict_plugins), Bars()))
    if format_name == "text":
        from rich.console import Console

        show(reports, Console())
    else:
        click.echo((as_json if format_name == "json" else as_markdown)(reports), nl=False)
    return 3 if any(report.errors for report in reports) else 0
