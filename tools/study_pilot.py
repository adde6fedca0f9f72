"""Whether a study's networks differ by more than luck: what to know before a hundred of them are trained.

    python tools/study_pilot.py studies/small --networks 8 --out tools/results/study_pilot.json

Of the study's first networks, and of each family among them: the share of the variance of single trainings (linear,
top-1) that lies between networks, scenario by scenario. Trained longer, networks may differ more: where less than half
of the variance is theirs in most scenarios, a longer training is worth more than further networks.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import f as f_distribution

from ssl_keras.experiments.run_folder import write_json
from ssl_keras.reports.study import filters, read_study
from ssl_keras.scenarios.results import provenance

GROUPS = ("all networks", "ResNets", "MobileNets")


def share_of_networks(runs: list[npt.NDArray[np.float64]]) -> tuple[float, float, float]:
    """The share of the variance of single trainings that lies between networks, and its 95 % interval.

    One-way analysis of variance with random networks (the intraclass correlation, with its F interval); what noise
    pushes below 0 counts as 0. NOTE: the interval is exact only where all networks were trained equally often.

    Args:
        runs: each network's figures, (seeds,).
    """
    counts, means = np.array([len(one) for one in runs]), np.array([one.mean() for one in runs])
    freedom = len(runs) - 1, counts.sum() - len(runs)
    within = sum(((one - one.mean()) ** 2).sum() for one in runs) / freedom[1]
    between = (counts * (means - np.average(means, weights=counts)) ** 2).sum() / freedom[0]
    each = (counts.sum() - (counts**2).sum() / counts.sum()) / freedom[0]  # trainings a network, of a balanced design
    ratios = between / within / np.array([1.0, *(f_distribution.ppf(end, *freedom) for end in (0.975, 0.025))])
    value, low, high = np.maximum(0, (ratios - 1) / (ratios - 1 + each)).tolist()
    return value, low, high


def table(folder: Path, count: int) -> list[dict[str, Any]]:
    """A row for each scenario, and one that counts where networks are at least half of the variance."""
    judged = read_study(folder).judged
    first = list(dict.fromkeys(row["network"] for row in judged))[:count]
    scenarios = dict.fromkeys(row["scenario"] for row in judged)
    groups = {name: [network for network in first if filters()[name](network)] for name in GROUPS}
    shares = {
        (scenario, name): share_of_networks([_figures(judged, scenario, network) for network in chosen])
        for scenario in scenarios
        for name, chosen in groups.items()
    }
    rows: list[dict[str, Any]] = []
    for scenario in scenarios:
        runs = [_figures(judged, scenario, network) for network in first]
        squares = sum(((one - one.mean()) ** 2).sum() for one in runs)
        noise = np.sqrt(squares / sum(len(one) - 1 for one in runs))
        row = {"scenario": scenario, "mean, %": f"{np.concatenate(runs).mean():.1f}", "seed to seed": f"{noise:.1f}"}
        for name in groups:
            value, low, high = shares[scenario, name]
            row[name] = f"{value:.2f} ({low:.2f} to {high:.2f})"
        rows.append(row)
    enough = {name: f"{sum(shares[one, name][0] >= 0.5 for one in scenarios)} of {len(rows)}" for name in groups}
    return [*rows, {"scenario": "at least 0.50", "mean, %": "–", "seed to seed": "–", **enough}]


def _figures(judged: Sequence[Mapping[str, Any]], scenario: str, network: str) -> npt.NDArray[np.float64]:
    """Of a network's trainings in one scenario."""
    return np.array([row["value"] for row in judged if (row["scenario"], row["network"]) == (scenario, network)])


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the study")
    parser.add_argument("--networks", type=int, required=True, help="how many of the first are the pilot")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = table(options.folder, options.networks)
    write_json(options.out, {"rows": rows, "provenance": provenance(0, {}, {"folder": str(options.folder)})})


if __name__ == "__main__":
    main()
