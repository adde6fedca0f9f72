"""How an architecture came about: the part of a report that a search adds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ssl_keras.architecture.derivation import TOLERANCE, Budget, readable


@dataclass(frozen=True)
class Found:
    """What a finished search left in its folder, as plain JSON types.

    Attributes:
        facts: of found.json.
        metrics: rows of metrics.jsonl.
        probabilities: rows of probabilities.jsonl: ``step`` and ``probabilities``.
    """

    facts: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    probabilities: Sequence[Mapping[str, Any]]

    def sentences(self) -> list[str]:
        """What was looked for, what was found, and how sure the search was."""
        facts = self.facts
        budget, spent = Budget(**facts["budget"]), facts["cost"]
        missed = spent[budget.kind] / budget.amount - 1
        kind = f"most likely within {TOLERANCE:.0%} of" if abs(missed) <= TOLERANCE else "nearest to"
        certain = "sure" if facts["entropy"] < SURE else "not sure: read what it chose as one of several that would do"
        return [
            f"Of the space below it took the network that is {kind} {budget}: "
            f"{readable(spent['macs'])} multiply-adds and {readable(spent['params'])} parameters, "
            f"{missed:+.1%} of the budget.",
            f"At the end the search was {certain} (entropy {facts['entropy']:.2f} of 1).",
        ]


SURE = 0.3
"""Entropy, as a share of its maximum, below which a search counts as decided. NOTE: our choice."""


def strings(facts: Mapping[str, Any]) -> str:
    """The space and the architecture of a found.json, as text to copy."""
    rows = {"space": facts["space"], "found": facts["architecture"]}
    return "".join(f'<p class="string">{name}: <code>{escape(text)}</code></p>' for name, text in rows.items())
