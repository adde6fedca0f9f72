"""Joins the ``results.json`` of runs that differ in their seed into one table: the mean, and the range over seeds.

    python tools/seeds.py runs/cifar10-seed*/results.json --out tools/results/cifar10.json --what "20 epochs ..."

A row is one encoder; a column one protocol, in percent, as "mean (least - greatest)". With --by-scenario linear a row
is one scenario and a column one encoder under that protocol, as "mean (95 % interval over seeds)".
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t

from ssl_keras.reports.results import PROTOCOLS, Score, winner


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


def by_scenario(documents: list[dict[str, Any]], protocol: str) -> list[dict[str, str]]:
    """One row per scenario, one column per encoder: the mean over seeds and its 95 % interval (Student's t).

    An encoder is bold where its interval lies above all others'.

    Args:
        documents: Of ``results.json``, one per seed, at least two. What nothing was trained for may be in two of them
            alone; the column says of how many.
        protocol: Whose rows count.

    Raises:
        ValueError: A scenario or an encoder is in one of them only, or not in as many as in other rows.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for row in (row for document in documents for row in document["rows"]):
        if row["protocol"] == protocol and row["metric"] == "top1":
            name = re.sub(r"^(\w+?)-\d+$", r"\1", row["encoder"])  # runs/transfer/simclr-0 is simclr
            values.setdefault(row["scenario"], {}).setdefault(name, []).append(row["value"])
    table = []
    counts = {encoder: len(found) for encoder, found in next(iter(values.values())).items()}
    for scenario, encoders in values.items():
        scores = {}
        for encoder, found in encoders.items():
            if len(found) != counts[encoder] or len(found) < 2:
                raise ValueError(f"{encoder}, {scenario}: {len(found)} values in {len(documents)} files")
            scores[encoder] = over_seeds(found)
        best = winner(scores)
        cells = {name: f"{s.value:.1f} ({max(0, s.low):.1f}–{min(100, s.high):.1f})" for name, s in scores.items()}
        titles = {name: name if counts[name] == len(documents) else f"{name} ({counts[name]} seeds)" for name in cells}
        # Where seeds change nothing, an interval over them is no width to be outside of.
        trained = {name for name in cells if counts[name] == len(documents)}
        bold = {
            titles[name]: f"**{text}**" if name == best and name in trained else text for name, text in cells.items()
        }
        table.append({"scenario": scenario} | bold)
    return table


def over_seeds(values: Sequence[float]) -> Score:
    """The mean of at least two values, and its 95 % interval by Student's t."""
    middle, half = mean(values), float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return Score(middle, middle - half, middle + half)


def _cell(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{mean(values):.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{mean(values):.1f} ({low:.1f}–{high:.1f})"


def main() -> None:
    """Reads the files, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="results.json, one per seed")
    parser.add_argument("--scenario", help="which scenario (default: the first)")
    parser.add_argument("--by-scenario", metavar="PROTOCOL", help="a row for every scenario, under this protocol")
    parser.add_argument("--what", default="", help="a sentence on what was measured")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in options.files]
    joined: dict[str, Any] = {"what": options.what}
    if options.by_scenario:
        joined |= {"protocol": options.by_scenario, "rows": by_scenario(documents, options.by_scenario)}
    else:
        scenario = options.scenario or documents[0]["rows"][0]["scenario"]
        joined |= {"scenario": scenario, "rows": join(documents, scenario)}
    options.out.write_text(json.dumps(joined, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
