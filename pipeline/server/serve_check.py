"""`taskroute serve-check`: checks whether an exported model serves, and how fast."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from taskroute.components.served.check import check_model, contract_of_info
from taskroute.pipeline.server.served_model import find_model
from taskroute.schemas.errors import SERVING_CHECK_FAILED
from taskroute.schemas.serving_check import ServingReport


def serve_check(folder: Path) -> int:
    """Checks the model in `folder` and prints the results; the exit code is 0 or 5."""
    model = find_model(folder)
    console = Console(highlight=False)
    with console.status(f"trying {model.info.name}, version {model.version}"):
        report = check_model(model.folder, contract_of_info(model.info))
    console.print(f"[bold]{model.info.name}[/bold]  version {model.version}  {model.folder}\n")
    _print_report(report, console)
    return 0 if report.passed else SERVING_CHECK_FAILED


def _print_report(report: ServingReport, console: Console) -> None:
    table = _table("check", "")
    for check in report.checks:
        mark = "[green]passed[/green]" if check.passed else f"[red]failed[/red]: {check.detail}"
        table.add_row(check.name, mark)
    console.print(table)
    if not report.latency:
        return
    table = _table("signature", "rows", "p50 ms", "p95 ms", "p99 ms", "rows/s")
    for row in report.latency:
        times = (f"{value:.2f}" for value in (row.p50_ms, row.p95_ms, row.p99_ms))
        rate = f"{1e3 * row.batch_size / row.p50_ms:,.0f}"
        table.add_row(row.signature, f"{row.batch_size:,}", *times, rate)
    console.print()
    console.print(table)


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, header in enumerate(headers):
        table.add_column(header, justify="right" if index and header else "left")
    return table
