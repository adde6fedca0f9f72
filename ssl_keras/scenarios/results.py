"""``results.json``: its rows, where they come from, and how it is written and read."""

import importlib.metadata
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import numpy.typing as npt

VERSION = 1
MEAN = "mean"
"""Stands for a scenario in the rows of the mean over all scenarios."""
RESAMPLES = 2000
_PACKAGES = ("ssl_keras", "keras", "tensorflow", "tensorflow-cpu", "numpy")


@dataclass(frozen=True)
class Row:
    """One number and its interval.

    Attributes:
        encoder: whose features, as the caller named it.
        scenario: which task; ``mean`` for the mean over all of them.
        protocol: how the encoder was judged: knn20, knn200, linear, ...
        metric: what was counted: top1, top5, mean_per_class, miou, ...
        value: in percent.
        low: lower end of the 95 % interval over test images, in percent.
        high: upper end.
        n_train: labelled training images.
        n_test: test images.
        seed: of subsets, folds and resampling.
    """

    encoder: str
    scenario: str
    protocol: str
    metric: str
    value: float
    low: float
    high: float
    n_train: int
    n_test: int
    seed: int


def bootstrap(correct: npt.NDArray[Any], seed: int) -> tuple[float, float, float]:
    """Mean over the test images and its 95 % percentile bootstrap interval.

    Drawing n answers with replacement and counting the right ones is one draw of Binomial(n, share), so the
    2000 resamples are drawn as such. The interval does not cover the randomness of training.

    Args:
        correct: (n,) right answers; or shares in [0, 1], which are resampled one by one.
        seed: of the resampling.

    Returns:
        Value, low and high, in percent.
    """
    if correct.dtype != np.bool_:
        return bootstrap_mean([correct[None]], seed)
    share = float(np.mean(correct))
    draws = np.random.default_rng(seed).binomial(len(correct), share, RESAMPLES) / len(correct)
    return interval(share, draws)


def bootstrap_by_class(
    correct: npt.NDArray[Any], labels: npt.NDArray[np.int64], seed: int, *, worst: bool = False
) -> tuple[float, float, float]:
    """Mean over the classes of their shares of right answers, and its 95 % interval: images are drawn within classes.

    The interval of the smallest share lies below it, as a resample's worst class is the unluckiest one.

    Args:
        correct: (n,).
        labels: class indices (n,).
        seed: of the resampling.
        worst: the smallest share instead of the mean.

    Returns:
        Value, low and high, in percent.
    """
    present, number = np.unique(labels, return_inverse=True)
    sizes = np.bincount(number)
    shares = np.bincount(number, correct) / sizes
    draws = np.random.default_rng(seed).binomial(sizes, shares, (RESAMPLES, len(present))) / sizes
    of_classes = np.min if worst else np.mean
    return interval(float(of_classes(shares)), of_classes(draws, axis=1))


def interval(value: float, draws: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """The value and the middle 95 % of resampled ones, in percent; the value is within."""
    low, high = np.percentile(draws, (2.5, 97.5))
    return 100.0 * value, 100.0 * min(float(low), value), 100.0 * max(float(high), value)


def bootstrap_mean(sources: Sequence[npt.NDArray[Any]], seed: int) -> tuple[float, float, float]:
    """Mean accuracy over scenarios and its 95 % percentile bootstrap interval over the test images.

    Scenarios that share their test images are resampled together: an image is drawn with all its label sets.

    Args:
        sources: for each source its right answers (scenarios, n), or what else is counted, in [-1, 1].
        seed: of the resampling.

    Returns:
        Value, low and high, in percent.
    """
    generator = np.random.default_rng(seed)
    scenarios = sum(len(correct) for correct in sources)
    value, draws = 0.0, np.zeros(RESAMPLES)
    for correct in sources:
        hits = correct.sum(axis=0) / scenarios
        images = len(hits)
        value += float(hits.mean())
        draws += [hits[generator.integers(images, size=images)].mean() for _ in range(RESAMPLES)]
    return interval(value, draws)


def provenance(seed: int, sources: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, Any]:
    """What is needed to make the same rows again.

    Args:
        seed: of the evaluation.
        sources: checksum of each source used, by its name.
        config: the settings, as JSON values.

    Returns:
        Versions of Python and the packages, the git revision of ssl_keras (None outside its checkout; "+"
        marks uncommitted changes), the machine's kind, and the arguments.
    """
    versions: dict[str, str] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "git": _revision(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "seed": seed,
        "sources": dict(sources),
        "config": dict(config),
    }


def write_results(path: str | os.PathLike[str], rows: Iterable[Row], provenance: Mapping[str, Any]) -> None:
    """Writes ``results.json`` whole or not at all.

    Args:
        path: of the file; its folder is made if absent.
        rows: in the order they are to be read.
        provenance: as the function of that name gives it.

    Raises:
        ValueError: a row or the provenance does not fit the format.
        OSError: the folder cannot be written to.
    """
    document = {"version": VERSION, "rows": [asdict(row) for row in rows], "provenance": dict(provenance)}
    validate(document)
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_results(path: str | os.PathLike[str]) -> tuple[list[Row], dict[str, Any]]:
    """The rows and the provenance of a ``results.json``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not of the format.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        validate(document)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} is not a results file of ssl_keras: {error}") from error
    return [Row(**row) for row in document["rows"]], document["provenance"]


def validate(document: Any) -> None:
    """Checks the whole document against the format.

    Raises:
        ValueError: the first thing that does not fit.
    """
    if not isinstance(document, dict) or set(document) != {"version", "rows", "provenance"}:
        raise ValueError("it must hold exactly: version, rows, provenance.")
    if document["version"] != VERSION:
        raise ValueError(f"its version is {document['version']!r} and this ssl_keras reads version {VERSION}.")
    if not isinstance(document["rows"], list) or not isinstance(document["provenance"], dict):
        raise ValueError("rows must be a list and provenance an object.")
    seen = set()
    for index, row in enumerate(document["rows"]):
        _check_row(row, f"row {index}")
        key = tuple(row[name] for name in ("encoder", "scenario", "protocol", "metric", "n_train", "seed"))
        if key in seen:
            raise ValueError(f"row {index} repeats an earlier one: {', '.join(map(str, key))}.")
        seen.add(key)


def _check_row(row: Any, place: str) -> None:
    types = get_type_hints(Row)
    if not isinstance(row, dict) or sorted(row) != sorted(types):
        raise ValueError(f"{place} must hold exactly: {', '.join(types)}.")
    for name, expected in types.items():
        value = row[name]
        if isinstance(value, bool) or not isinstance(value, int | float if expected is float else expected):
            raise ValueError(f"{place}: {name} is {value!r}, not of type {expected.__name__}.")
    if not 0.0 <= row["low"] <= row["value"] <= row["high"] <= 100.0:
        raise ValueError(
            f"{place}: low, value and high are {row['low']}, {row['value']}, {row['high']}; "
            "they must be in that order within 0 and 100."
        )
    if row["n_train"] < 1 or row["n_test"] < 1:
        raise ValueError(f"{place}: n_train and n_test are {row['n_train']} and {row['n_test']}, must be positive.")


def _revision() -> str | None:
    """Commit of the checkout that this file is tracked in."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        changed = git("status", "--porcelain", "--untracked-files=no", "--", str(folder.parent))
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
