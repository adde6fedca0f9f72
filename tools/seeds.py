"""Joins the ``results.json`` of runs that differ in their seed into one table: the mean, and the range over seeds.

    python tools/seeds.py runs/cifar10-seed*/results.json --out tools/results/cifar10.json --what "20 epochs ..."

A row is one encoder; a column one protocol, in percent, as "mean (least - greatest)".
"""

import argparse
import json
from pathlib import Path
from typing import Any

from ssl_keras.reports.results import PROTOCOLS


def join(documents: list[dict[str, Any]], scenario: str) -> list[dict[str, str]]:
    """One row per encoder, in the order of the first document.

    Args:
        documents: Of ``results.json``, one per seed.
        scenario: Which of their scenarios.

    Raises:
        ValueError: An encoder or a protocol is not in all of them.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for document in documents:
        for row in document["rows"]:
            if row["scenario"] == scenario and row["metric"] == "top1":
                values.setdefault(row["encoder"], {}).setdefault(row["protocol"], []).append(row["value"])
    table = []
    for encoder, protocols in values.items():
        for protocol, found in protocols.items():
            if len(found) != len(documents):
                raise ValueError(f"{encoder}, {protocol}: {len(found)} values in {len(documents)} files")
        cells = {PROTOCOLS.get(protocol, protocol): _cell(found) for protocol, found in protocols.items()}
        table.append({"encoder, seeds": f"{encoder}, {len(documents)}", **cells})
    return table


def _cell(values: list[float]) -> str:
    mean = sum(values) / len(values)
    low, high = min(values), max(values)
    return f"{mean:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{mean:.1f} ({low:.1f}–{high:.1f})"


def main() -> None:
    """Reads the files, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="results.json, one per seed")
    parser.add_argument("--scenario", help="which scenario (default: the first)")
    parser.add_argument("--what", default="", help="a sentence on what was measured")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in options.files]
    scenario = options.scenario or documents[0]["rows"][0]["scenario"]
    joined = {"what": options.what, "scenario": scenario, "rows": join(documents, scenario)}
    options.out.write_text(json.dumps(joined, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
