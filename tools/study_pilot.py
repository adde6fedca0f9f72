"""Whether a study's networks differ by more than luck: what to know before a hundred of them are trained.

    python tools/study_pilot.py studies/small --networks 8 --out tools/results/study_pilot.json

Of the study's first networks, and of each family among them: the share of the variance of single trainings (linear,
top-1) that lies between networks, scenario by scenario. Trained longer, networks may differ more: where less than half
of the variance is theirs in most scenarios, a longer training is worth more than further networks.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import f as f_distribution

from ssl_keras.experiments.run_folder import write_json
from ssl_keras.reports.agreement import Scores, Values, scores
from ssl_keras.reports.study_analysis import GROUPS, filters, read_study
from ssl_keras.reports.text import between
from ssl_keras.scenarios.results import provenance


def share_of_networks(found: Scores) -> tuple[Values, Values, Values]:
    """(s,) share of the variance of single trainings that lies between networks, with its 95 % interval.

    One-way analysis of variance with random networks (the intraclass correlation, with its F interval); what noise
    pushes below 0 counts as 0. `agreement.reliability` knows networks that were trained once, too, and so looks at
    first trainings alone. NOTE: the interval is exact only where all networks were trained equally often.

    Args:
        found: networks that were all trained more than once.
    """
    runs = [*found.repeats.values()]
    counts, means = np.array([len(one) for one in runs]), np.array([one.mean(0) for one in runs])
    freedom = len(runs) - 1, found.freedom
    offsets = means - np.average(means, axis=0, weights=counts)
    between = (counts[:, None] * offsets**2).sum(0) / freedom[0]
    each = (counts.sum() - (counts**2).sum() / counts.sum()) / freedom[0]  # trainings a network, of a balanced design

    def share(quantile: float) -> Values:
        ratio = between / found.seed_deviation**2 / quantile
        return np.maximum(0, (ratio - 1) / (ratio - 1 + each))

    return share(1.0), share(f_distribution.ppf(0.975, *freedom)), share(f_distribution.ppf(0.025, *freedom))


def table(folder: Path, count: int) -> list[dict[str, Any]]:
    """A row for each scenario, and one that counts where networks are at least half of the variance."""
    judged = read_study(folder).compared
    first = list(dict.fromkeys(row["network"] for row in judged))[:count]
    rows = [row for row in judged if row["network"] in first]
    everyone = scores(rows)
    shares = {name: share_of_networks(scores(rows, filters()[name])) for name in GROUPS}
    means = np.concatenate([*everyone.repeats.values()]).mean(0)
    written: list[dict[str, Any]] = []
    for place, scenario in enumerate(everyone.scenarios):
        row = {"scenario": scenario, "mean, %": f"{means[place]:.1f}"}
        row["seed to seed"] = f"{everyone.seed_deviation[place]:.1f}"
        for name, parts in shares.items():
            row[name] = between(*(part[place] for part in parts))
        written.append(row)
    enough = {name: f"{sum(value >= 0.5)} of {len(written)}" for name, (value, _, _) in shares.items()}
    return [*written, {"scenario": "at least 0.50", "mean, %": "–", "seed to seed": "–", **enough}]


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
