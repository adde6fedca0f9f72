"""The README's tables of a study: what its analysis says of networks, luck, scenarios, named networks and methods.

    python tools/study_tables.py studies/small --other studies/small_simclr --out tools/results/study

writes times.json (where trials spend their time), scenarios.json (the first of each scenario, and which share of the
variance is the networks'), groups.json (do scenarios agree, and how far could one network be the best in all),
reference.json (the correlation of each scenario with the first, as arXiv 2203.08130 reports them), facts.json (does
accuracy go with depth and cost), named.json (what was searched beside what was drawn) and, with --other, methods.json
(do networks that are good under one method keep their place under another) and named_other.json.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.experiments.queue import Queue
from ssl_keras.experiments.run_folder import write_json
from ssl_keras.reports import agreement
from ssl_keras.reports.study import standings
from ssl_keras.reports.study_analysis import EVERYONE, GROUPS, PARTS, StudyResults, analysis, filters, read_study
from ssl_keras.reports.text import between
from ssl_keras.scenarios.results import provenance

Row = dict[str, str]
NOT_KNOWN = "–"
FEWEST = 3
"""Networks below which methods are not compared."""


def scenarios(groups: Mapping[str, Any]) -> list[Row]:
    """A row for each scenario: the first, how many more could be for all that is known, and the networks' share.

    What noise pushes below 0 counts as 0.
    """
    everyone = groups[EVERYONE]
    rows = []
    for place, scenario in enumerate(everyone["scenarios"]):
        row = {
            "scenario": scenario,
            "mean, %": f"{everyone['mean'][place]:.1f}",
            "between networks": f"{everyone['deviation between networks'][place]:.1f}",
            "seed to seed": f"{everyone['deviation between seeds'][place]:.1f}",
            "first": everyone["best"][place],
            "others that could be": str(everyone["could be the best, by scenario"][place] - 1),
        }
        for group in GROUPS:
            told = groups.get(group, {}).get("share of networks")
            row[f"share, {group}"] = (
                between(*(max(0.0, told[part][place]) for part in ("value", "low", "high"))) if told else NOT_KNOWN
            )
        rows.append(row)
    return rows


def of_groups(groups: Mapping[str, Any]) -> list[Row]:
    """A row for each group of networks: correlations, what they could be at most, and the parts of the variance."""
    rows = []
    for words, group in groups.items():
        ceiling = group["Spearman"].get("ceiling, mean of pairs")
        row = {
            "networks": words,
            "how many": str(group["networks"]),
            "repeated": str(group["repeated networks"]),
            "different firsts": str(len(set(group["best"]))),
            "Pearson": between(*group["Pearson"]["mean of pairs"]),
            "Spearman": between(*group["Spearman"]["mean of pairs"]),
            "its ceiling": between(*ceiling) if ceiling else NOT_KNOWN,
            "Kendall": between(*group["Kendall"]["mean of pairs"]),
        }
        for part in PARTS:
            row[f"variance {part}, %"] = (
                between(*(100 * value for value in group["variance"][part]), form=".0f")
                if "variance" in group
                else NOT_KNOWN
            )
        lacks = group.get("regret of one for all, by the training that chose")
        row["one for all lacks, points (range over trainings)"] = (
            between(np.mean(lacks), min(lacks), max(lacks), ".1f") if lacks else NOT_KNOWN
        )
        rows.append(row)
    return rows


def reference(groups: Mapping[str, Any]) -> list[Row]:
    """A row for each scenario but the first: its Pearson correlation with the first, and what it could be at most."""
    names = groups[EVERYONE]["scenarios"]
    rows = []
    for place, scenario in enumerate(names[1:], 1):
        row = {"scenario": scenario}
        for words in GROUPS:
            if words not in groups:
                continue
            told = groups[words]["Pearson"]
            row[words] = between(*(told[part][0][place] for part in ("value", "low", "high")))
            row[f"ceiling, {words}"] = f"{told['ceiling'][0][place]:.2f}" if "ceiling" in told else NOT_KNOWN
        rows.append(row)
    return rows


def facts(groups: Mapping[str, Any]) -> list[Row]:
    """A row for each group: Spearman's correlation of depth and cost with the mean over scenarios."""
    return [
        {"networks": words, "how many": str(group["networks"])}
        | {agreement.FACTS[name]: between(*told) for name, told in group["goes with accuracy"].items()}
        for words, group in groups.items()
    ]


def times(folder: Path) -> list[Row]:
    """A row for each group: median seconds of a trial and of its parts, on whatever machines did them."""
    trials = Queue(folder, ()).results()
    rows = []
    for words in GROUPS:
        spent = [trial["seconds"] for trial in trials if filters()[words](trial["network"])]
        if spent:
            row = {"networks": words, "trials": str(len(spent))}
            row["a trial, s"] = f"{np.median([sum(one.values()) for one in spent]):.0f}"
            rows.append(row | {f"{part}, s": f"{np.median([one[part] for one in spent]):.0f}" for part in spent[0]})
    return rows


def of_methods(one: StudyResults, other: StudyResults) -> list[Row]:
    """A row for each group: means of both methods over the networks of both, and whether places are kept.

    Raises:
        ValueError: They have other scenarios.
    """
    rows = []
    for words in GROUPS:
        first, second = (agreement.scores(results.compared, filters()[words]) for results in (one, other))
        if first.scenarios != second.scenarios:
            raise ValueError(f"{one.folder} has {first.scenarios}, {other.folder} {second.scenarios}: judge both alike")
        common = [name for name in first.networks if name in second.networks]
        if len(common) < FEWEST:
            continue
        means = np.stack(
            [[found.single[found.networks.index(name)].mean() for name in common] for found in (first, second)], axis=1
        )
        leads = means[:, 1] - means[:, 0]
        row = {"networks": words, "how many": str(len(common))}
        for results, mean in zip((one, other), means.mean(0), strict=True):
            row[f"{results.config['mode']} ({results.folder.name}), mean of scenarios, %"] = f"{mean:.1f}"
        row["lead of the second"] = between(*agreement.with_interval(leads[:, None], np.mean), form="+.1f")
        row["Spearman of the means"] = between(
            *agreement.with_interval(means, lambda both: agreement.spearman(both)[0, 1])
        )
        rows.append(row)
    return rows


def main() -> None:
    """Writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the study, which must have trained some networks several times")
    parser.add_argument("--other", type=Path, help="of a study of some of the same networks by another method")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    options = parser.parse_args()
    results = read_study(options.folder)
    told = analysis(results)
    groups = told["groups"]
    tables = {
        "times": times(options.folder),
        "scenarios": scenarios(groups),
        "groups": of_groups(groups),
        "reference": reference(groups),
        "facts": facts(groups),
        "named": standings(told["named"]),
    }
    if options.other:
        other = read_study(options.other)
        tables |= {"methods": of_methods(results, other), "named_other": standings(analysis(other)["named"])}
    made = provenance(0, {}, {"folder": str(options.folder)} | ({"other": str(options.other)} if options.other else {}))
    for name, rows in tables.items():
        if rows:
            write_json(options.out / f"{name}.json", {"rows": rows, "provenance": made})


if __name__ == "__main__":
    main()
