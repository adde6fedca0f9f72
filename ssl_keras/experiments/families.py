"""``ssl-keras families``: the study's networks, listed and drawn. Needs no TensorFlow."""

from collections.abc import Callable
from html import escape
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from ssl_keras.architecture.cost import Cost, cost
from ssl_keras.architecture.derivation import readable
from ssl_keras.architecture.grammar import Architecture
from ssl_keras.architecture.study import STUDIES, study
from ssl_keras.experiments.checks import ConfigError, amount_of
from ssl_keras.experiments.options import Families
from ssl_keras.experiments.run_folder import replacing
from ssl_keras.reports.drawing import architecture_drawing
from ssl_keras.reports.page import whole_page

Listed = list[tuple[str, Architecture, Cost]]


def run(config: Families) -> None:
    """Prints the table, and writes the page if one is wanted.

    Raises:
        ConfigError: A range is none, or nothing lies in it.
        ValueError: The family cannot be that narrow.
    """
    side = (32 if config.micro else 224) if config.image_size == "auto" else int(config.image_size)
    listed = select(config, side)
    if not listed:
        raise ConfigError(f"no network lies in params {config.params} and macs {config.macs}: give wider ranges")
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("name", no_wrap=True)
    for name in ("parameters", "MACs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("architecture", overflow="fold")
    for name, architecture, spent in listed:
        table.add_row(name, readable(spent.params), readable(spent.macs), str(architecture))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"{len(listed)} networks; costs at {side} px, without a classifier")
    if config.out:
        with replacing(Path(config.out)) as temporary:
            temporary.write_text(page(listed, side), encoding="utf-8")
        console.print(f"drawn in {config.out}", soft_wrap=True)


def select(config: Families, side: int) -> Listed:
    """The networks in the ranges, in the study's order."""
    families = STUDIES if config.family == "all" else (config.family,)
    everyone = [named for family in families for named in study(family, config.micro)]
    costs = [(name, network, cost(network, (side, side, 3))) for name, network in everyone]
    fits = in_ranges(config.params, config.macs)
    return [row for row in costs if fits(row[2])]


def in_ranges(params: str | None, macs: str | None) -> Callable[[Cost], bool]:
    """What tells whether a cost lies in ranges as people type them; None is any.

    Raises:
        ConfigError: A range is none.
    """
    bounds = {name: _range(name, text) for name, text in (("params", params), ("macs", macs))}
    return lambda spent: all(low <= getattr(spent, name) <= high for name, (low, high) in bounds.items())


def page(listed: Listed, side: int) -> str:
    """All drawings as one HTML text."""
    drawings = "".join(
        f"<section><h2>{escape(name)}</h2>{architecture_drawing(str(network), (side, side, 3))}</section>\n"
        for name, network, _ in listed
    )
    return whole_page("Networks of the study", f"<header><h1>Networks of the study</h1></header>\n{drawings}")


def _range(name: str, text: str | None) -> tuple[float, float]:
    if text is None:
        return 0.0, float("inf")
    low, dots, high = text.partition("..")
    if not dots:
        raise ConfigError(f"{name} is {text!r}: give a range such as 12e6..30e6, 10M.. or ..10M")
    return amount_of(name, low) if low else 0.0, amount_of(name, high) if high else float("inf")
