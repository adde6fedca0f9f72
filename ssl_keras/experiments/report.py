"""Writes the report of a run's or a study's folder again."""

from pathlib import Path

from rich.console import Console

from ssl_keras.experiments.options import Report
from ssl_keras.reports.page import write_report
from ssl_keras.reports.study import write_study_report


def run(config: Report) -> Path:
    """Writes ``report.html`` and says where it is.

    Raises:
        ReportError: The folder holds neither.
    """
    folder = Path(config.run)
    path = write_study_report(folder) if (folder / "study.json").is_file() else write_report(folder)
    Console(highlight=False).print(f"report: {path}")
    return path
