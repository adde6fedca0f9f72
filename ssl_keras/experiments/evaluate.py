"""What an encoder is worth: scenarios, yardsticks, pictures of neighbours, and the report."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import keras
from rich.box import SIMPLE
from rich.table import Table

from ssl_keras.data.sources import Source, at_most, open_source
from ssl_keras.data.sources.opening import EMBEDDED
from ssl_keras.experiments import pictures, portrait, yardsticks
from ssl_keras.experiments.config_files import load_config, to_dict
from ssl_keras.experiments.encoders import image_shape, load_encoder
from ssl_keras.experiments.naming import place_of
from ssl_keras.experiments.options import Evaluate
from ssl_keras.experiments.progress import CONSOLE
from ssl_keras.experiments.run_folder import check_writable
from ssl_keras.experiments.settings import Pretrain
from ssl_keras.experiments.setup import Setup
from ssl_keras.reports import results, text
from ssl_keras.reports.page import write_report
from ssl_keras.scenarios import run as run_scenarios
from ssl_keras.scenarios import suite
from ssl_keras.scenarios.features import RawPixels, extract, weights_hash
from ssl_keras.scenarios.label_free import label_free
from ssl_keras.scenarios.results import provenance, write_results
from ssl_keras.scenarios.robustness import relative

GALLERY = 1000
TRAIN_IMAGES = 10_000
"""Labelled images per scenario, at most, where a search or a tuning ends with an evaluation."""

Encoders = dict[str, keras.Model | RawPixels]


def run(config: Evaluate) -> Path:
    """Writes ``results.json`` (also as .csv and .md), pictures and ``report.html``; returns their folder.

    Raises:
        FileNotFoundError: There is no such encoder.
        ValueError: There is no such scenario or label set.
        OSError: The folder cannot be written.
    """
    home = place_of(config.encoder)
    out = Path(config.out) if config.out != "auto" else home
    check_writable(out)
    setup = _setup_of_run(home, config)
    scenarios = _scenarios(config, setup)
    encoder, side = _sized(config, config.encoder)
    images = setup.source if setup else _any_images(scenarios, side, config)
    encoders, described, remarks = _line_up(config, encoder, setup, images, home)
    sides = dict.fromkeys(encoders, side)
    for name in config.beside:
        title = Path(name).stem
        if title in encoders:
            raise ValueError(f"two encoders are called {title}: rename one of the folders")
        encoders[title], sides[title] = _sized(config, name)
        described[title] = f"as given: {name}"
    with CONSOLE.status("") as status:
        found = run_scenarios(
            encoders,
            scenarios,
            image_size=sides,
            protocols=None if config.protocols == "auto" else config.protocols,
            seed=config.seed,
            limit_train=config.train_images,
            limit_test=config.test_images,
            data_dir=config.data_dir,
            features=out / "features",
            progress=status.update,
        )
    remarks += _corruption_errors(found.chosen, results.UNTRAINED)
    _picture_neighbours(out, encoder, images, side, config.seed)
    if found.answers:
        scenario = next(iter(found.answers))
        portrait.draw(out, scenario, found.answers[scenario], side, config.seed)
    learned = {name: one for name, one in encoders.items() if isinstance(one, keras.Model)}
    facts = {
        "label_free": {name: label_free(one, images, sides[name], config.seed) for name, one in learned.items()},
        "encoders": described,
        "weights": {name: weights_hash(one) for name, one in encoders.items()},
        "image_shape": [side, side, 3],
        "architecture": str(getattr(encoder, "architecture", encoder.name)),
        "chosen": found.chosen,
        "remarks": [*remarks, *found.remarks],
        "skipped": found.skipped,
    }
    # Where the run stands and where TFDS sets stand says nothing about the result.
    settings = {key: value for key, value in to_dict(config).items() if key not in ("encoder", "out", "data_dir")}
    write_results(out / "results.json", found.rows, provenance(config.seed, found.sources, settings) | facts)
    plain = [asdict(row) for row in found.rows]
    (out / "results.md").write_text(text.markdown(plain), encoding="utf-8")
    (out / "results.csv").write_text(text.csv_text(plain), encoding="utf-8")
    page = write_report(out)
    _show(out, remarks, found.skipped)
    CONSOLE.print(f"report: {page}", soft_wrap=True)
    return out


def of_choice(run_folder: Path, config: Pretrain) -> Path:
    """Judges the network that a search or a tuning chose and trained; returns its folder.

    Raises:
        ValueError, OSError: As `run`.
    """
    return run(
        Evaluate(
            encoder=str(run_folder),
            yardsticks=("pixels", "untrained"),
            data_dir=config.data_dir,
            train_images=TRAIN_IMAGES,
            seed=config.seed,
        )
    )


def _sized(config: Evaluate, name: str) -> tuple[keras.Model, int]:
    """An encoder, and the side of the images that it is judged on."""
    if config.image_size != "auto":
        return load_encoder(name, int(config.image_size)), int(config.image_size)
    encoder = load_encoder(name)
    return encoder, image_shape(encoder)[0]


def _any_images(scenarios: tuple[suite.Scenario, ...], side: int, config: Evaluate) -> Source:
    """Images of the first scenario that is there, for an encoder that comes without its own."""
    faults = []
    for scenario in scenarios:
        try:
            return open_source(scenario.spec(side, config.data_dir), data_dir=config.data_dir)
        except (ValueError, OSError) as error:
            faults.append(str(error))
    raise ValueError(f"No scenario could be run: {' '.join(dict.fromkeys(faults))}")


def _setup_of_run(folder: Path, config: Evaluate) -> Setup | None:
    """What the encoder was trained on and how, when it lies in its run folder."""
    path = folder / "config.json"
    if not path.is_file():
        return None
    trained: Pretrain = load_config(str(path))
    return Setup(replace(trained, data_dir=config.data_dir) if config.data_dir else trained)


def _scenarios(config: Evaluate, setup: Setup | None) -> tuple[suite.Scenario, ...]:
    """What ``config.scenarios`` means; a labelled source is a scenario of its first label set."""
    wanted: list[str | suite.Scenario] = []
    for item in config.scenarios:
        if item == "auto":
            own = setup.config.data if setup else ""
            if setup and setup.source.label_sets and not own.startswith(tuple(EMBEDDED)):
                wanted.append(suite.Scenario(Path(own).name, own, next(iter(setup.source.label_sets))))
            wanted.append("embedded")
        elif item.startswith("tfds:") or Path(item).is_dir():
            wanted.append(suite.Scenario(item, item))
        else:
            wanted.append(item)
    return suite.find(wanted)


def _line_up(
    config: Evaluate, encoder: keras.Model, setup: Setup | None, images: Source, run: Path
) -> tuple[Encoders, dict[str, str], list[str]]:
    """The encoders to judge by name, a description of each, and sentences on yardsticks left out."""
    encoders: Encoders = {results.SUBJECT: encoder}
    described = {results.SUBJECT: "learned from images without labels" + _labels_of_search(run)}
    remarks = []
    for name, (path, description) in _beside(run).items():
        encoders[name], described[name] = load_encoder(str(path)), description
    if "untrained" in config.yardsticks:
        encoders[results.UNTRAINED] = setup.untrained() if setup else yardsticks.untrained(encoder, images)
        start = f", as {setup.config.init} left it" if setup and setup.config.init else ""
        described[results.UNTRAINED] = f"the same network before this run{start}, its normalisation statistics measured"
    if "pixels" in config.yardsticks:
        encoders[results.PIXELS] = RawPixels(min(32, image_shape(encoder)[0]))
        described[results.PIXELS] = "the image itself, as one vector"
    if "supervised" in config.yardsticks:
        label = _supervised_label(config, images)
        if setup is None or label is None:
            lack = "its images have no labels" if setup else "it is not in a run folder"
            remarks.append(f"no encoder trained with labels beside this one: {lack}")
        else:
            encoders[results.SUPERVISED] = yardsticks.supervised(run, setup, label)
            described[results.SUPERVISED] = f"the same network, large views and steps, trained with {label} labels"
    return encoders, described, remarks


def _corruption_errors(chosen: dict[str, dict[str, float]], reference: str) -> list[str]:
    """A sentence for each scenario with corrupted images."""
    return [
        f"Mean corruption error on {scenario}, where {reference} is 100: "
        + ", ".join(f"{name} {value:.1f}" for name, value in found.items() if name != reference)
        + "."
        for scenario, found in relative(chosen, reference).items()
    ]


def _labels_of_search(run: Path) -> str:
    """What to add where the architecture was learned with labels."""
    found = run / "search" / "found.json"
    label = json.loads(found.read_text())["label"] if found.is_file() else None
    return f", its architecture with {label} labels" if label else ""


def _beside(run: Path) -> dict[str, tuple[Path, str]]:
    """What a search trained beside this encoder: name to folder and description."""
    found = {
        results.SLICED: (
            run / "sliced",
            "the same network, trained on from its slice of the supernet" + _labels_of_search(run),
        )
    }
    found |= {
        name: (run / "baselines" / name, f"{kind} of the same cost, trained alike")
        for name, kind in zip(
            results.BASELINES,
            ("a ResNet-18 with as wide an embedding", "a MobileNetV2", "a random network of the space"),
            strict=True,
        )
    }
    return {name: (path, text) for name, (path, text) in found.items() if (path / "encoder.keras").is_file()}


def _supervised_label(config: Evaluate, images: Source) -> str | None:
    if config.supervised_label == "auto":
        return next(iter(images.label_sets), None)
    images.labels(config.supervised_label)
    return config.supervised_label


def _picture_neighbours(out: Path, encoder: keras.Model, images: Source, side: int, seed: int) -> None:
    """Some images and, among the others, those whose embeddings are nearest."""
    some = at_most(images, GALLERY, seed)
    sheet = pictures.neighbours_sheet(pictures.thumbnails(some, side), extract(encoder, some, side))
    pictures.save_png(out / "pictures" / "neighbours.png", sheet)


def _show(out: Path, remarks: list[str], skipped: dict[str, str]) -> None:
    """The linear protocol's table on the terminal, and what was left out."""
    rows = results.read_rows(out / "results.json")
    protocol, table = next(iter(results.tables(rows).items()))
    names = results.encoders(table)
    shown = Table(
        "scenario",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        title=results.title(protocol),
    )
    for name in names:
        shown.add_column(name, justify="right")
    for scenario, scores in table.items():
        best = results.winner(scores)
        cells = [f"[bold]{scores[n].value:.1f}[/]" if n == best else f"{scores[n].value:.1f}" for n in names]
        shown.add_row(scenario, *cells)
    CONSOLE.print(shown)
    said = [results.headline(table), *results.at_equal_cost(table), *results.losses(table)]
    for sentence in [*said, *remarks, *skipped.values()]:
        CONSOLE.print(sentence, markup=False)
