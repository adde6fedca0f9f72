"""How far scenarios agree on which network is better, and how far one training agrees with the next."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Values = npt.NDArray[np.float64]
RESAMPLES = 1000
TWO_SIDED = 1.96
"""Standard deviations that hold 95 % of normal noise."""


@dataclass(frozen=True)
class Scores:
    """What some networks reached in some scenarios.

    Attributes:
        networks: names (n,).
        scenarios: names (s,).
        single: percent (n, s), of each network's first training.
        repeats: percent (k, s) of all trainings, for networks trained k > 1 times, by name.
        facts: what is known of each network: architecture, params, macs, top_bottom.
    """

    networks: tuple[str, ...]
    scenarios: tuple[str, ...]
    single: Values
    repeats: Mapping[str, Values]
    facts: Mapping[str, Mapping[str, Any]]

    @cached_property
    def seed_deviation(self) -> Values:
        """(s,) standard deviation from training to training of one network, pooled; NaN where none was repeated."""
        if not self.repeats:
            return np.full(len(self.scenarios), np.nan)
        squares = sum(((one - one.mean(0)) ** 2).sum(0) for one in self.repeats.values())
        return np.sqrt(squares / sum(len(one) - 1 for one in self.repeats.values()))

    def fact(self, name: str) -> Values:
        """(n,) one of the facts."""
        return np.array([self.facts[network][name] for network in self.networks])


def scores(rows: Sequence[Mapping[str, Any]], networks: Callable[[str], bool] = lambda name: True) -> Scores:
    """Of the rows of one protocol and metric.

    Args:
        rows: of a study's table.
        networks: which of them count. Networks that lack a scenario do not.

    Returns:
        Networks and scenarios in the order of their first rows.
    """
    scenarios = tuple(dict.fromkeys(row["scenario"] for row in rows))
    found: dict[str, dict[int, dict[str, float]]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for row in rows:
        if networks(row["network"]):
            found.setdefault(row["network"], {}).setdefault(row["seed"], {})[row["scenario"]] = row["value"]
            facts[row["network"]] = {name: row[name] for name in ("architecture", "params", "macs", "top_bottom")}
    runs = {
        name: np.array([[run[one] for one in scenarios] for run in seeds.values() if len(run) == len(scenarios)])
        for name, seeds in found.items()
    }
    runs = {name: values for name, values in runs.items() if len(values)}
    single = np.array([values[0] for values in runs.values()]).reshape(len(runs), len(scenarios))
    return Scores(tuple(runs), scenarios, single, {k: v for k, v in runs.items() if len(v) > 1}, facts)


def pearson(values: Values) -> Values:
    """(s, s) of columns (n, s); 0 where a column does not vary."""
    centred = values - values.mean(0)
    norms = np.linalg.norm(centred, axis=0)
    unit = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)
    return unit.T @ unit


def spearman(values: Values) -> Values:
    """(s, s) of columns (n, s): Pearson of the ranks, equal values sharing their mean rank."""
    return pearson(rankdata(values, axis=0))


def kendall(values: Values) -> Values:
    """(s, s) of columns (n, s): tau-b, which takes ties out of the number of pairs."""
    signs = np.sign(values[:, None] - values[None]).reshape(-1, values.shape[1])
    norms = np.linalg.norm(signs, axis=0)
    unit = np.divide(signs, norms, out=np.zeros_like(signs), where=norms > 0)
    return unit.T @ unit


CORRELATIONS: Mapping[str, Callable[[Values], Values]] = {"Pearson": pearson, "Spearman": spearman, "Kendall": kendall}


def interval(values: Values, statistic: Callable[[Values], Any], seed: int = 0) -> tuple[Any, Any]:
    """The middle 95 % of a statistic over bootstrap samples of the networks, the rows of `values`.

    Returns:
        Low and high, each as the statistic is.
    """
    generator = np.random.default_rng(seed)
    count = len(values)
    draws = [statistic(values[generator.integers(count, size=count)]) for _ in range(RESAMPLES)]
    return np.percentile(draws, 2.5, axis=0), np.percentile(draws, 97.5, axis=0)


def off_diagonal_mean(correlations: Values) -> float:
    """Mean over pairs of different scenarios."""
    size = len(correlations)
    return float((correlations.sum() - np.trace(correlations)) / (size * (size - 1))) if size > 1 else float("nan")


def reliability(repeats: Sequence[Values]) -> Values:
    """(s,) share of the variance of single trainings that lies between networks: ICC(1), by one-way ANOVA.

    Correlations between two scenarios measured so cannot be expected above the root of the product of theirs.

    Args:
        repeats: for each network (k, s), k of them at least 2 and not all equal necessarily.

    Returns:
        Below 1; noise can push it below 0.
    """
    counts = np.array([len(one) for one in repeats], np.float64)
    means = np.array([one.mean(0) for one in repeats])
    grand = np.concatenate([*repeats]).mean(0)
    within = sum(((one - one.mean(0)) ** 2).sum(0) for one in repeats) / (counts - 1).sum()
    between = (counts[:, None] * (means - grand) ** 2).sum(0) / (len(repeats) - 1)
    usual = (counts.sum() - (counts**2).sum() / counts.sum()) / (len(repeats) - 1)
    spread = (between - within) / usual
    total = spread + within
    return np.divide(spread, total, out=np.zeros_like(total), where=total > 0)


def reliability_interval(repeats: Sequence[Values], seed: int = 0) -> tuple[Values, Values]:
    """The middle 95 % of `reliability` over bootstrap samples of the networks."""
    generator = np.random.default_rng(seed)
    picked = [generator.integers(len(repeats), size=len(repeats)) for _ in range(RESAMPLES)]
    draws = [reliability([repeats[index] for index in chosen]) for chosen in picked if len(set(chosen)) > 1]
    return np.percentile(draws, 2.5, axis=0), np.percentile(draws, 97.5, axis=0)


def ceiling(found: Values) -> Values:
    """(s, s) the largest correlations that scenarios of such reliabilities (s,) can be expected to show."""
    clipped = np.clip(found, 0, 1)
    return np.sqrt(clipped[:, None] * clipped[None])


def ranks(values: Values) -> Values:
    """(n, s) the place of every network in every scenario, 1 for the best; equal ones share their mean place."""
    return rankdata(-values, axis=0)


def near_best(found: Scores) -> npt.NDArray[np.bool_]:
    """(n, s) networks whose distance from a scenario's best one is within the noise of two trainings.

    Where none was repeated, the best alone.
    """
    noise = TWO_SIDED * np.sqrt(2) * np.nan_to_num(found.seed_deviation)
    return found.single >= found.single.max(0) - noise


def regret(values: Values) -> Values:
    """(n, s) points that a network lacks to the best one of a scenario."""
    return values.max(0) - values


def honest_regret(repeats: Sequence[Values]) -> tuple[float, float] | None:
    """Points per scenario that choosing one network for all costs, against choosing one per scenario.

    Both choices are made by one training's figures and judged by the mean of the others, in turn, so that neither is
    paid for luck.

    Args:
        repeats: for each network (k, s), the same k.

    Returns:
        What the best for all lacks to the best per scenario, and what a network drawn at random lacks; None with fewer
        than two networks.
    """
    if len(repeats) < 2:
        return None
    runs = np.array([one[: min(map(len, repeats))] for one in repeats])
    by_one, by_chance = [], []
    for turn in range(runs.shape[1]):
        chosen, judged = runs[:, turn], np.delete(runs, turn, axis=1).mean(1)
        each = judged[chosen.argmax(0), np.arange(judged.shape[1])]
        by_one.append(float(np.mean(each - judged[chosen.mean(1).argmax()])))
        by_chance.append(float(np.mean(each - judged.mean(0))))
    return float(np.mean(by_one)), float(np.mean(by_chance))
