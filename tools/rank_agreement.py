"""Whether a supernet ranks its networks as training each of them alone does (Kendall's tau).

    python tools/rank_agreement.py --alone tools/results/sampled tools/results/architectures --run runs/ranks
        --out tools/results/ranks.json

trains a supernet of the space of ``configs/ablations/sampled.py`` as a search warms up, first with full widths, then
as any network, and judges each of the networks with the weights that it has there: by the loss, which needs no labels,
and by classifiers on training images held out. Those that `tools/ablate.py` has trained alone are compared, and once
more those of them that cost what the budget says, among which a search chooses. What they reach alone is told twice: by
a linear classifier, and by the mean loss of their training. Resumable.
"""

import argparse
import json
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
from ablate import held_out, scores
from scipy.stats import kendalltau
from ssl_keras.configs.ablations import sampled
from ssl_keras.configs.ablations.architectures import BUDGET
from ssl_keras.configs.ablations.sampled import BASE, PASSES, SOURCES, SPACE

from ssl_keras.architecture.cost import cost
from ssl_keras.architecture.derivation import TOLERANCE
from ssl_keras.architecture.grammar import Architecture
from ssl_keras.experiments import search
from ssl_keras.experiments.run_folder import write_json
from ssl_keras.experiments.settings import Search, Searching
from ssl_keras.experiments.setup import measure_statistics
from ssl_keras.learning.checkpoints import Checkpoints
from ssl_keras.learning.measures import rankme
from ssl_keras.learning.search import ArchitectureSearch
from ssl_keras.networks.encoder import Encoder

NETWORKS = sampled.NETWORKS | sampled.COMPARED
IMAGES = 20_000
BATCHES = 8
"""On so many batches the loss of a network is measured."""
PREDICTORS = {
    "loss, no labels": ("loss", -1),
    "RankMe, no labels": ("rankme", 1),
    "20 neighbours": ("knn20", 1),
    "200 neighbours": ("knn200", 1),
    "linear": ("linear", 1),
    "multiply-adds (no supernet)": ("macs", 1),
}
"""What ranks: its key in a network's scores, and whether more is better (1) or less (-1)."""
ALONE = {"linear, alone": ("linear", 1), "loss, alone": ("loss", -1)}
"""What networks that were trained alone are ranked by: its key in a cell's results, and the sign as above."""
BOOTSTRAPS = 2000


def config(source: str, passes: int, seed: int) -> Search:
    """A search that warms up to its last step; half of the images moves the weights."""
    epochs = round(passes / (IMAGES // 2))
    steps = epochs * (IMAGES // 2 // BASE.batch_size)
    learning = {
        name: getattr(BASE, name) for name in ("views", "loss", "heads", "optimization", "image_size", "batch_size")
    }
    return Search(
        **learning, data=source, images=IMAGES, architecture=str(SPACE), macs=str(int(BUDGET.amount)), seed=seed,
        search=Searching(epochs=epochs, warmup=1 - 1 / steps),
    )  # fmt: skip


def inherited(setup: search.SearchSetup, searching: ArchitectureSearch, network: Architecture) -> dict[str, float]:
    """One network's scores with the weights that it has in the supernet."""
    batches = islice(setup.batches().halves()[1].dataset(), BATCHES)
    losses = [searching.inherited_loss(network, batch) for batch in batches]
    encoder = searching.encoder.slice(network)
    measure_statistics(encoder, setup.source, setup.image_size)
    return {"loss": float(np.mean(losses)), **judged(encoder, setup), "macs": cost(network, setup.input_shape).macs}


def judged(encoder: Encoder, setup: search.SearchSetup) -> dict[str, float]:
    """Classifiers on a fifth of the training images, fitted on the rest; and the embeddings' effective rank."""
    kept, out = held_out(setup.source, setup.config.seed)
    return scores(encoder, kept, out, setup.image_size, setup.config.seed) | {
        "rankme": rankme(search.monitors.embed(encoder, out, setup.image_size))
    }


def agreement(pairs: npt.NDArray[np.float64], seed: int = 0) -> tuple[float, float, float]:
    """Kendall's tau-b of the two columns (n, 2), with a 95 % interval by the bootstrap over networks."""
    generator = np.random.default_rng(seed)
    draws = [kendalltau(*pairs[generator.integers(0, len(pairs), len(pairs))].T).statistic for _ in range(BOOTSTRAPS)]
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    return float(kendalltau(*pairs.T).statistic), float(low), float(high)


def table(found: Mapping[str, Mapping[str, float]], alone: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """By predictor: tau between its ranking and that of the networks trained alone, by each of `ALONE`."""
    compared = []
    for truth, (held, better) in ALONE.items():
        names = [name for name in found if held in alone.get(name, {})]
        equal = [name for name in names if abs(found[name]["macs"] / BUDGET.amount - 1) <= TOLERANCE]
        for which, chosen in (("networks", names), ("of equal cost", equal)):
            title = f"{truth}: τ of {len(chosen)} {which} (95 % interval)"
            compared.append((title, chosen, [better * alone[name][held] for name in chosen]))
    rows = []
    for predictor, (key, sign) in PREDICTORS.items():
        row = {"ranked by": predictor}
        for title, chosen, truths in compared:
            value, low, high = agreement(np.array([[sign * found[name][key] for name in chosen], truths]).T)
            row[title] = f"{value:.2f} ({low:.2f} to {high:.2f})"
        rows.append(row)
    return rows


def trained_alone(folders: Iterable[Path], source: str, seed: int = 0) -> dict[str, dict[str, float]]:
    """What each finished cell reached on a set with a seed, by the keys of `ALONE`; one seed, as seeds shift all."""
    runs = [json.loads(file.read_text()) for folder in folders for file in sorted(folder.glob("*.json"))]
    return {
        run["cell"]: {key: run[key] for key, _ in ALONE.values() if key in run}
        for run in runs
        if (run["set"], run["seed"]) == (source, seed)
    }


def score_all(setup: search.SearchSetup, folder: Path, names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Trains the supernet, then scores each network; what is done already is kept in the folder."""
    search.search(setup, folder / "search")
    searching = setup.search(setup.schedule())
    Checkpoints(folder / "search" / "checkpoint").restore(searching)
    file = folder / "inherited.json"
    found: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.is_file() else {}
    for name in names:
        if name not in found:
            found[name] = inherited(setup, searching, NETWORKS[name])
            write_json(file, found)
            print(name, found[name], flush=True)
    return found


def main() -> None:
    """Trains, scores, compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alone", type=Path, nargs="+", required=True, help="what tools/ablate.py has finished")
    parser.add_argument("--run", type=Path, required=True, help="folder of the supernet's training")
    parser.add_argument("--out", type=Path, required=True, help="file of the result")
    parser.add_argument("--passes", type=int, default=PASSES, help="image-passes of the supernet")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    setup = search.SearchSetup(config(SOURCES[0], options.passes, options.seed))
    found = score_all(setup, options.run, NETWORKS)
    rows = table(found, trained_alone(options.alone, SOURCES[0]))
    write_json(options.out, {"rows": rows, "inherited": found, "passes": options.passes, "seed": options.seed})


if __name__ == "__main__":
    main()
