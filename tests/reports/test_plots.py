"""Figures as bytes."""

import pytest
from matplotlib.figure import Figure

from ssl_keras.reports import plots


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_equal_figures_are_equal_bytes(kind):
    def once() -> bytes:
        figure = Figure()
        figure.add_subplot().scatter([1, 2], [3, 4])
        return plots.drawn(figure, kind)

    assert once() == once()
