"""Around a budget: the space that is searched when nobody names one, and the networks that it is held against."""

import math
import re
from collections.abc import Iterable, Sequence

from ssl_keras.architecture import families
from ssl_keras.architecture.cost import cost
from ssl_keras.architecture.derivation import TOLERANCE, Budget, cost_range, readable
from ssl_keras.architecture.grammar import Architecture, parse

SMALL_IMAGES = 64
"""Sides up to this many pixels take the families' small-image stem, and `small_images_space`; larger images take the
space of ProxylessNAS."""
BASES = (4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128)
"""Filters of the first stage among which a space for small images is chosen."""
SHARE = 0.4
"""Of the dearest network's cost in the budget: enough room on both sides, and a supernet that is not too dear.
NOTE: our choice."""
DRAWS = 1000
"""Networks drawn before the nearest to the budget is taken."""
WIDTHS = (0.25, 0.35, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4)
"""Widths among which the space of ProxylessNAS is chosen."""


def small_images_space(base: int) -> Architecture:
    """A space for images up to 64 px: where to spend depth, width and attention, from the first stage to the last.

    NOTE: our choice. It reaches from a ResNet-18 whose first stage has `base` filters to networks half as deep and four
    times as wide; the last widths are in finer steps, so that near any likely network there is one that meets the
    budget. It has no choice of ops, whose branches would run side by side, and none of the embedding's width: a
    classifier gains by it, while the contrastive loss, behind a projector, is all but blind to it
    (`configs/ablations/embeddings.py`).

    Args:
        base: filters of the first stage.
    """
    first, second, third = (
        "{" + ",".join(str(filters * base) for filters in choices) + "}"
        for choices in (range(1, 5), range(2, 9, 2), range(4, 17, 2))
    )
    stages = [
        f"conv_c{base}",
        f"basic_r{{0,1,2}}_c{base}",
        f"basic_r{{1,2}}_s2_c{first}",
        f"basic_r{{1,2}}_s2_se{{0,0.25}}_c{second}",
        f"basic_r{{1,2}}_s2_se{{0,0.25}}_c{third}",
        f"conv_k1_c{32 * base}",
    ]
    return parse(" | ".join(stages))


def space_for(budget: Budget, image_size: int) -> Architecture:
    """The default space whose dearest network costs nearest to the budget over `SHARE`.

    Args:
        budget: to search under.
        image_size: side of the images in pixels.

    Raises:
        ValueError: no default space reaches the budget.
    """
    shape = (image_size, image_size, 3)
    if image_size <= SMALL_IMAGES:
        spaces = [small_images_space(base) for base in BASES]
    else:
        spaces = [families.get("proxyless_space", width) for width in WIDTHS]
    ranges = {space: cost_range(space, budget.kind, shape) for space in spaces}
    reaching = [space for space, (low, high) in ranges.items() if low <= budget.amount <= high]
    if not reaching:
        least, most = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
        raise ValueError(
            f"no default space for {image_size} px reaches {budget}: they go from {readable(least)} to "
            f"{readable(most)}; change the budget, or name a space with --architecture"
        )
    return min(reaching, key=lambda space: abs(math.log(SHARE * ranges[space][1] / budget.amount)))


def family_at(
    name: str, budget: Budget, image_size: int, depth: float = 1, embedding: int | None = None
) -> Architecture:
    """A family's network with all filters multiplied so that its cost is nearest to the budget.

    NOTE: filters are rounded to whole numbers, not to the family's multiples, which would miss small budgets by far;
    the last convolution of MobileNetV2 does not narrow below 1280, as in the family.

    Args:
        name: "mobilenet_v2", or a ResNet of `families`.
        budget: to hit.
        image_size: side of the images in pixels; up to `SMALL_IMAGES` the family's small-image stem is taken.
        depth: multiplies the repeats of every stage that has several.
        embedding: channels that a ResNet shall end in, by a further 1x1 convolution; MobileNetV2 has its own.
    """
    whole = str(families.get(name, small_images=image_size <= SMALL_IMAGES))
    whole = re.sub(r"(?<=_r)\d+", lambda repeats: str(max(1, round(int(repeats[0]) * depth))), whole)
    body, last = whole.rsplit(" | ", 1) if name == "mobilenet_v2" else (whole, None)

    def scaled(factor: float) -> Architecture:
        text = re.sub(r"(?<=_c)\d+", lambda filters: str(max(1, round(int(filters[0]) * factor))), body)
        if last:
            text += " | " + last.replace("1280", str(round(1280 * max(1, factor))))
        elif embedding:
            text += f" | conv_k1_c{embedding}"
        return parse(text)

    return _nearest((scaled(2 ** (step / 32)) for step in range(-192, 97)), budget, (image_size, image_size, 3))


def random_at(space: Architecture, budget: Budget, input_shape: Sequence[int], seed: int) -> Architecture:
    """A network of a space, drawn uniformly from those that meet the budget; the nearest of the draws where none does.

    Args:
        space: to draw from.
        budget: to hit, within `TOLERANCE`.
        input_shape: (height, width, channels) of the image.
        seed: of the draws, `DRAWS` at most.
    """
    drawn = []
    for number in range(DRAWS):
        drawn.append(space.sample(seed * DRAWS + number))
        if abs(getattr(cost(drawn[-1], input_shape), budget.kind) / budget.amount - 1) <= TOLERANCE:
            return drawn[-1]
    return _nearest(drawn, budget, input_shape)


def _nearest(networks: Iterable[Architecture], budget: Budget, input_shape: Sequence[int]) -> Architecture:
    return min(networks, key=lambda one: abs(getattr(cost(one, input_shape), budget.kind) - budget.amount))
