"""Writes a run folder's report again."""

from pathlib import Path

from rich.console import Console

from ssl_keras.experiments.options import Report
from ssl_keras.reports.page import write_report


def run(config: Report) -> Path:
    """Writes ``report.html`` and says where it is.

    Raises:
        ReportError: The folder holds no run.
    """
    path = write_report(Path(config.run))
    Console(highlight=False).print(f"report: {path}")
    return path
