"""Makes the page that shows what healthy and sick runs look like: tools/results/curves/README.md and its pictures.

    python tools/reading_the_curves.py

A small network learns from `shapes` once as it should, and then with one thing wrong at a time. Each run is a run
folder in runs/curves, so that the same command goes on where it was stopped: half an hour in all on two cores.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from ablate import changed
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ssl_keras.experiments import pretrain
from ssl_keras.experiments.settings import Crops, Heads, Monitor, Objective, Optimization, Pretrain
from ssl_keras.learning.monitors import DivergedError
from ssl_keras.reports.page import json_lines
from ssl_keras.reports.plots import COLORS, epoch_length

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "tools" / "results" / "curves"

BASE = Pretrain(
    data="shapes",
    images=6000,
    architecture="conv_c8 | basic_s2_c16 | basic_s2_c32 | basic_s2_c64",
    image_size=32,
    epochs=12,
    batch_size=128,
    views=Crops(large=2, smallest_area=0.15),
    loss=Objective(temperature=0.1, contrastive_weight=1.0, invariance_weight=0.1),
    heads=Heads(projector_hidden=256, projection=64, predictor_hidden=256),
    optimization=Optimization(optimizer="sgd", learning_rate=0.4, weight_decay=1e-4, target_ema=0.99),
    monitor=Monitor(every_steps=10),
)


@dataclass(frozen=True)
class Case:
    """A run and how to read it.

    Attributes:
        title: Its heading.
        signs: What the curves show.
        remedy: What to do.
        changes: Dotted fields of `BASE` that differ.
    """

    title: str
    signs: str
    remedy: str
    changes: Mapping[str, Any] = field(default_factory=dict)


CASES: dict[str, Case] = {
    "healthy": Case(
        "Healthy",
        "The loss falls fast, then slowly, and is still falling a little at the end. kNN rises with it, and RankMe "
        "grows: more directions are used. The mean cosine between different images stays far from 1.",
        "Nothing. If kNN still rises at the end, a longer run is worth its time.",
    ),
    "collapse": Case(
        "Collapsed",
        "The loss falls to its minimum within an epoch, which is too good: all images get the same projection, and "
        "there is nothing left to learn. Embeddings, which lie before the projector, need not follow: here they "
        "stay about what a random network gives, kNN does not rise and RankMe falls. Had they followed, the mean "
        "cosine would near 1 and the standard deviation 0, of which a run warns.",
        "Something has to hold images apart: negatives (`relicv2`, `simclr`), or in `byol` both the predictor and "
        "the target network. Here `byol` ran without either.",
        {"mode": "byol", "optimization.target_ema": "none", "heads.predictor_hidden": 0},
    ),
    "rate_too_high": Case(
        "Rate too high",
        "The loss stops falling after an epoch or two, well above the healthy one, and then only trembles. RankMe "
        "stays low: the first steps threw directions away that do not come back. kNN stays where it began. At still "
        "higher rates the loss becomes infinite: the run then ends with a sentence, and the last good checkpoint "
        "stays.",
        "Divide the rate by ten; give the warm-up more epochs.",
        {"optimization.learning_rate": 40.0},
    ),
    "rate_too_low": Case(
        "Rate too low",
        "The loss is smooth and late: at the end it is where the healthy one was after two epochs, and so is kNN, "
        "or worse. RankMe is *higher* and falls, since a random network uses many directions: by itself it is no "
        "merit.",
        "Multiply the rate by three until the loss no longer falls faster; then train longer.",
        {"optimization.learning_rate": 0.004},
    ),
    "easy_views": Case(
        "Views too alike",
        "The loss falls far below that of the healthy run, and kNN hardly rises: telling images apart has become so "
        "easy that little of their content is needed for it. Spread and RankMe look as good as in the healthy run "
        "or better. A low loss is no merit by itself: losses of other views, temperatures or batches cannot be "
        "compared.",
        "Let crops cover less of the image (`--views.smallest-area`), down to 0.08; add small crops.",
        {"views.smallest_area": 0.9},
    ),
}

PANELS: Sequence[tuple[str, Mapping[str, str]]] = (
    ("loss", {"loss": "loss"}),
    ("kNN, %", {"knn": "kNN"}),
    ("spread", {"embedding_std": "std. deviation", "mean_cosine": "mean cosine"}),
    ("RankMe", {"rankme": "RankMe"}),
)


def rows_of(name: str, case: Case) -> list[dict[str, Any]]:
    """The metrics of a run, which is made first if it is not there."""
    out = ROOT / "runs" / "curves" / name
    try:
        pretrain.run(dataclasses.replace(changed(BASE, case.changes), out=str(out)))
    except DivergedError as error:
        print(f"{name}: {error}")
    return json_lines(out / "metrics.jsonl")


def picture(rows: Sequence[Mapping[str, Any]], healthy: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The four panels of a run; the healthy one's curves in grey behind."""
    figure = Figure(figsize=(11, 2.5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, keys) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for number, (key, label) in enumerate(keys.items()):
            layers = [] if rows is healthy else [(healthy, "#bbbbbb", None)]
            for lines, shade, name in (*layers, (rows, COLORS[3 * number], label)):
                length = epoch_length(lines)
                points = [(row["step"] / length, row[key]) for row in lines if row.get(key) is not None]
                if points:
                    axes.plot(*zip(*points, strict=True), color=shade, label=name, linewidth=1.6)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("epoch", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e3e3df")
        if len(keys) > 1:
            axes.set_ylim(-0.05, 1.05)
            axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110, facecolor="white")


def page(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The page's text."""
    parts = [
        "# Reading the curves\n\nWhat TensorBoard, `report.html` and `metrics.jsonl` show of a run, on small runs "
        "with one thing wrong at a time (`tools/reading_the_curves.py`; grey: the healthy run). `knn` is the share "
        "of held-out images whose nearest neighbours have their label, where there are labels; `embedding_std` and "
        "`mean_cosine` tell how embeddings spread on the sphere; `rankme` how many directions they use.\n"
    ]
    for name, case in CASES.items():
        last = {key: value for row in found[name] for key, value in row.items()}
        facts = ", ".join(
            f"{label} {last[key]:.3g}" for _, keys in PANELS for key, label in keys.items() if last.get(key) is not None
        )
        changes = ", ".join(f"`{key} = {value}`" for key, value in case.changes.items()) or "`BASE` as it is"
        parts.append(
            f"## {case.title}\n\n![{case.title}]({name}.png)\n\n{case.signs}\n\n**What to do.** {case.remedy}\n\n"
            f"<sub>{changes}; at the end: {facts}.</sub>\n"
        )
    return "\n".join(parts)


def main() -> None:
    """Runs, draws, writes."""
    PAGE.mkdir(parents=True, exist_ok=True)
    found = {name: rows_of(name, case) for name, case in CASES.items()}
    for name, rows in found.items():
        picture(rows, found["healthy"], PAGE / f"{name}.png")
    (PAGE / "README.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
