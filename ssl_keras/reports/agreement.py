"""How far scenarios agree on which network is better, and how far one training agrees with the next."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import f as f_distribution
from scipy.stats import rankdata

from ssl_keras.architecture.grammar import parse
from ssl_keras.architecture.layout import PLAIN, layout

Values = npt.NDArray[np.float64]
RESAMPLES = 1000
DRAWS = 20_000
"""Of the largest of several equals, and of mean squares."""
FACTS = {
    "blocks": "blocks",
    "params": "parameters",
    "macs": "multiply-adds",
    "top_bottom": "parameters, top over bottom",
}
"""Numbers that are known of every network, and what they are called."""


@dataclass(frozen=True)
class Scores:
    """What some networks reached in some scenarios.

    Attributes:
        networks: names (n,).
        scenarios: names (s,).
        single: percent (n, s), of each network's first training.
        repeats: percent (k, s) of all trainings, for networks trained k > 1 times, by name.
        facts: what is known of each network: its architecture, and `FACTS`.
    """

    networks: tuple[str, ...]
    scenarios: tuple[str, ...]
    single: Values
    repeats: Mapping[str, Values]
    facts: Mapping[str, Mapping[str, Any]]

    @property
    def freedom(self) -> int:
        """Trainings beyond the first of each network, from which `seed_deviation` is known."""
        return sum(len(one) - 1 for one in self.repeats.values())

    @cached_property
    def seed_deviation(self) -> Values:
        """(s,) standard deviation from training to training of one network, pooled; NaN where none was repeated."""
        if not self.repeats:
            return np.full(len(self.scenarios), np.nan)
        return np.sqrt(pooled_variance(self.repeats.values()))

    def fact(self, name: str) -> Values:
        """(n,) one of the facts."""
        return np.array([self.facts[network][name] for network in self.networks])


def pooled_variance(runs: Iterable[Values]) -> Values:
    """Variance from training to training of one network, pooled over networks.

    Args:
        runs: of each network a value (k,), or several (k, s), for each of its k trainings; one at least has k > 1.

    Returns:
        One value, or (s,).
    """
    every = [*runs]
    squares = sum(((one - one.mean(0)) ** 2).sum(0) for one in every)
    return np.asarray(squares / sum(len(one) - 1 for one in every))


@cache
def blocks(architecture: str) -> int:
    """How many blocks a network has; plain convolutions and pooling, its stem and head, are none."""
    placed = layout(parse(architecture), (None, None, 3))
    return sum(block.op not in PLAIN for block in placed)


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
            known = {name: row[name] for name in ("architecture", "params", "macs", "top_bottom")}
            facts[row["network"]] = known | {"blocks": blocks(row["architecture"])}
    runs = {
        name: np.array([[run[one] for one in scenarios] for run in seeds.values() if len(run) == len(scenarios)])
        for name, seeds in found.items()
    }
    runs = {name: values for name, values in runs.items() if len(values)}
    single = np.array([values[0] for values in runs.values()]).reshape(len(runs), len(scenarios))
    return Scores(tuple(runs), scenarios, single, {k: v for k, v in runs.items() if len(v) > 1}, facts)


def pearson(values: Values) -> Values:
    """(s, s) of columns (n, s); 0 where a column does not vary."""
    centred = np.where(np.ptp(values, axis=0) > 0, values - values.mean(0), 0.0)
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

SEEN_AS: Mapping[str, Callable[[Values], Values]] = {
    "Pearson": lambda r: r,
    "Spearman": lambda r: 6 / np.pi * np.arcsin(r / 2),
    "Kendall": lambda r: 2 / np.pi * np.arcsin(r),
}
"""What each is for normal values whose Pearson correlation is r."""


def resampled(values: Values, statistic: Callable[[Values], Values], seed: int = 0) -> Values:
    """A statistic of `RESAMPLES` bootstrap samples of the networks, the rows of `values`."""
    generator = np.random.default_rng(seed)
    count = len(values)
    return np.array([statistic(values[generator.integers(count, size=count)]) for _ in range(RESAMPLES)])


def middle(draws: Values) -> tuple[Values, Values]:
    """Low and high end of the middle 95 % of draws, over the first axis."""
    return np.percentile(draws, 2.5, axis=0), np.percentile(draws, 97.5, axis=0)


def with_interval(values: Values, statistic: Callable[[Values], Any]) -> list[float]:
    """One number of the rows of `values`, the networks, and the ends of its 95 % interval over them."""
    return [float(part) for part in (statistic(values), *middle(resampled(values, statistic)))]


def mean_of_pairs(correlations: Values) -> Values:
    """Mean over pairs of different scenarios, at least two, of (..., s, s)."""
    size = correlations.shape[-1]
    diagonal = np.trace(correlations, axis1=-2, axis2=-1)
    return np.asarray((correlations.sum((-2, -1)) - diagonal) / (size * (size - 1)))


def reliability(found: Scores) -> tuple[Values, Values, Values]:
    """(s,) share of the variance of single trainings that lies between networks, with its 95 % interval (F).

    Variance of all networks' first trainings against that of repeated trainings of one network; 0 where nothing varies.
    NOTE: all are judged on the same test images, whose luck counts as a difference between networks.

    Args:
        found: at least one network trained more than once.

    Returns:
        Share, low and high; noise can push a share below 0.
    """
    total, noise = found.single.var(0, ddof=1), found.seed_deviation**2
    varies = np.ptp(found.single, axis=0) > 0
    ratio = np.divide(noise, total, out=np.ones_like(total), where=varies)
    of = len(found.networks) - 1, found.freedom
    low, high = (float(f_distribution.ppf(end, *of)) for end in (0.025, 0.975))
    return 1 - ratio, 1 - ratio * high, np.where(varies, 1 - ratio * low, 0.0)


def luck_in_common(found: Scores) -> float:
    """How much luck of two scenarios correlates, mean of pairs: a training can go well in all of them.

    Args:
        found: at least one network trained more than once, and two scenarios.
    """
    offsets = np.concatenate([one - one.mean(0) for one in found.repeats.values()])
    return float(mean_of_pairs(pearson(offsets)))


def ceiling(share: Values, common: float = 0.0) -> Values:
    """(..., s, s) Pearson correlation of single trainings in scenarios that agree entirely on networks.

    Two such scenarios share what is a network's, and of luck what is common to them: for shares p and q of variance
    between networks and a correlation c of luck it is √(p q) + c √((1 − p)(1 − q)).

    Args:
        share: (..., s) of the variance that lies between networks; below 0 counts as 0.
        common: correlation of luck, as `luck_in_common` has it; below 0 counts as 0.
    """
    clipped = np.clip(share, 0, 1)
    products = [part[..., :, None] * part[..., None, :] for part in (clipped, 1 - clipped)]
    return np.minimum(1.0, np.sqrt(products[0]) + max(0.0, common) * np.sqrt(products[1]))  # rounded, it can pass 1


def shares_by_chance(found: Scores) -> Values:
    """(`RESAMPLES`, s) shares of networks as they could be: networks resampled, the variance of luck drawn as known.

    Args:
        found: at least one network trained more than once.
    """
    total = resampled(found.single, lambda values: values.var(0, ddof=1))
    known = found.freedom / np.random.default_rng(0).chisquare(found.freedom, total.shape)
    return 1 - np.divide(found.seed_deviation**2 * known, total, out=np.ones_like(total), where=total > 0)


@dataclass(frozen=True)
class MeanSquares:
    """Of an analysis of variance with random networks, scenarios, and trainings within networks.

    Attributes:
        shape: networks n, trainings of each k, scenarios s.
        values: (..., 4) mean squares of networks, trainings, networks in a scenario, and the rest.
    """

    shape: tuple[int, int, int]
    values: Values

    @classmethod
    def of(cls, runs: Values) -> "MeanSquares":
        """Of accuracies (n, k, s), each scenario in units of its standard deviation."""
        n, k, s = runs.shape
        deviation = runs.std((0, 1))
        runs = (runs - runs.mean((0, 1))) / np.where(deviation > 0, deviation, 1.0)
        cells, trainings = runs.mean(1), runs.mean(2)  # (n, s) and (n, k)
        general = cells.mean(1)
        squares = (
            k * s * (general**2).sum(),
            s * ((trainings - general[:, None]) ** 2).sum(),
            k * ((cells - general[:, None]) ** 2).sum(),
            ((runs - trainings[:, :, None] - cells[:, None] + general[:, None, None]) ** 2).sum(),
        )
        return cls((n, k, s), np.array(squares) / cls.freedom((n, k, s)))

    @staticmethod
    def freedom(shape: tuple[int, int, int]) -> Values:
        """(4,) degrees of freedom of each."""
        n, k, s = shape
        return np.array([n - 1.0, n * (k - 1), (n - 1) * (s - 1), n * (k - 1) * (s - 1)])

    def parts(self) -> Values:
        """(..., 3) shares of variance, as `variance_parts` tells them; one pushed below 0 counts as 0."""
        _, k, s = self.shape
        network, training, cell, rest = np.moveaxis(self.values, -1, 0)
        split = [(network - training - cell + rest) / (k * s), (cell - rest) / k, (training - rest) / s + rest]
        parts = np.stack(split, -1).clip(0)
        total = parts.sum(-1, keepdims=True)
        return np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)

    def by_chance(self) -> "MeanSquares":
        """(`DRAWS`, 4) values that the true ones could be: what was found, over the chance it was found with."""
        known = self.freedom(self.shape)
        return MeanSquares(self.shape, self.values * known / np.random.default_rng(0).chisquare(known, (DRAWS, 4)))


def variance_parts(runs: Values) -> tuple[Values, Values, Values]:
    """(3,) shares of variance: of a network in general, of a network in a scenario, and of luck; 95 % intervals.

    What networks have in general makes one the best everywhere; what they have in a scenario alone does not. Intervals
    are generalized ones (Weerahandi, Journal of the American Statistical Association 88:423, 1993), from the chi-square
    distributions of mean squares: resampling few networks makes them far too narrow. NOTE: they take a network's own
    parts in two scenarios for independent, and scenarios' deviations for known: made-up studies of eleven scenarios and
    eight or sixteen networks had the truth in 90 to 99 % of them, of four in 86 to 99. As in `reliability`, luck of the
    test images counts as a network's own in that scenario.

    Args:
        runs: percent (n, k, s), n and k and s at least 2.

    Returns:
        Shares that sum to 1, low and high; one that noise pushed below 0 counts as 0.
    """
    squares = MeanSquares.of(runs)
    return squares.parts(), *middle(squares.by_chance().parts())


def stacked(found: Scores) -> Values:
    """(n, k, s) trainings of the repeated networks, as many of each as of the one with the fewest."""
    runs = [*found.repeats.values()]
    return np.array([one[: min(map(len, runs))] for one in runs])


def ranks(values: Values) -> Values:
    """(n, s) the place of every network in every scenario, 1 for the best; equal ones share their mean place."""
    return rankdata(-values, axis=0)


def near_best(found: Scores) -> npt.NDArray[np.bool_]:
    """(n, s) networks that could be the best of a scenario for all that single trainings tell.

    Of so many equal networks, one is as near to the luckiest in 95 % of cases. Where none was repeated, the best alone.
    """
    noise = np.nan_to_num(found.seed_deviation)
    allowed = _lead_of_luck(len(found.networks), found.freedom) * noise if found.freedom else noise
    return found.single >= found.single.max(0) - allowed


def _lead_of_luck(count: int, freedom: int) -> float:
    """What the luckiest of `count` equals leads one of them by, 95th percentile, in deviations known so well."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(DRAWS, count))
    known = np.sqrt(generator.chisquare(freedom, DRAWS) / freedom)
    return float(np.percentile((values.max(1) - values[:, 0]) / known, 95))


def regret(values: Values) -> Values:
    """(n, s) points that a network lacks to the best one of a scenario."""
    return values.max(0) - values


def regret_of_choice(runs: Values) -> Values:
    """(k,) points a scenario that one network for all lacks to one for each, both chosen by a training's figures.

    Judged by the mean of the other trainings, each training in turn: a choice is not paid for the luck of its seeds
    (that of the test images, which all share, it is). A choice per scenario rests on one figure, that for all on s:
    where networks differ in general alone, this is below 0.

    Args:
        runs: percent (n, k, s), n and k at least 2.
    """
    lacks = []
    for turn in range(runs.shape[1]):
        chosen, judged = runs[:, turn], np.delete(runs, turn, axis=1).mean(1)
        each = judged[chosen.argmax(0), np.arange(judged.shape[1])]
        lacks.append(np.mean(each - judged[chosen.mean(1).argmax()]))
    return np.array(lacks)
