"""The networks of "One Network Doesn't Rule Them All" (arXiv 2203.08130): over 500 variants of two families."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

from ssl_keras.architecture.grammar import SEPARATOR, Architecture, parse
from ssl_keras.architecture.published import MOBILENET_V2, RESNETS, multiple_of_8

Named = Iterator[tuple[str, Architecture]]
RESNET_WIDTH, MOBILENET_WIDTH = 64, 16
"""Filters of the first stage as published."""


def study(family: str, micro: int | None = None) -> tuple[tuple[str, Architecture], ...]:
    """All variants of a family: 212 of "resnet", of which v5 repeats another, or 301 of "mobilenet".

    ResNets vary block, depths, width per group and groups; MobileNets vary blocks per stage and width. NOTE: the depths
    of v6 to v11 are our reading, and so is the order within a grid: the last stage varies fastest.

    Args:
        family: "resnet" or "mobilenet".
        micro: filters of the first stage of a network of width 1, in place of 64 or 16; all others, the last
            convolution's too, scale with it, and the stem is that of small images (up to 64 px). None: as published.

    Returns:
        (name, architecture) in the study's order.

    Raises:
        ValueError: there is no such family, or it cannot have that width.
    """
    if family not in STUDIES:
        raise ValueError(f"the study has no family {family!r}: choose one of {', '.join(STUDIES)}")
    if micro is not None and not 4 <= micro <= 64:
        raise ValueError(f"micro is {micro}, and the first stage has 4 to 64 filters; 8 suits a small machine")
    return tuple(STUDIES[family](micro))


def _resnets(micro: int | None) -> Named:
    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
        yield name, _resnet(*RESNETS[name], micro=micro)
    for number, (op, depths, width, groups) in enumerate(_resnet_variants(), 1):
        yield f"resnet_v{number}", _resnet(op, depths, width, groups, micro=micro)


def _resnet_variants() -> Iterator[tuple[str, Sequence[int], int, int]]:
    """Block, depths, width per group and groups of v1 to v207."""
    two = (2, 2, 2, 2)
    grid = [depths for depths in product((2, 3, 4), repeat=4) if depths != two]
    yield from (("bottleneck", two, width, 1) for width in (64, 128, 256))
    yield from (("basic", depths, 64, 1) for depths in ((2, 3, 4, 5), (3, 3, 3, 3)))
    yield from (("bottleneck", two, width, groups) for width, groups in product((32, 64), (2, 4, 8)))
    yield from (("bottleneck", depths, 64, 1) for depths in grid)
    starts = ((5, 5), (5, 6), (6, 5), (6, 6))
    yield from (("bottleneck", (*start, *end), 64, 1) for start in starts for end in product((2, 3, 4), repeat=2))
    yield from (("basic", depths, 64, 1) for depths in grid)


def _resnet(op: str, depths: Sequence[int], width: int = 64, groups: int = 1, *, micro: int | None) -> Architecture:
    base = micro or RESNET_WIDTH
    stages = [f"conv_c{base}"] if micro else [f"conv_k7_s2_c{base}", "maxpool"]
    tail = (f"_g{groups}" if groups > 1 else "") + (f"_w{width}" if width != 64 else "")
    for index, depth in enumerate(depths):
        filters = base * 2**index * (4 if op == "bottleneck" else 1)
        stages.append(f"{op}_r{depth}_s{2 if index else 1}_c{filters}{tail if op == 'bottleneck' else ''}")
    return parse(SEPARATOR.join(stages))


def _mobilenets(micro: int | None) -> Named:
    for number, (repeats, width) in enumerate(_mobilenet_variants(), 1):
        yield f"mobilenet_v{number}", _mobilenet(repeats, width, micro)


def _mobilenet_variants() -> Iterator[tuple[Sequence[int], float]]:
    """Blocks per stage and width of v1 to v301."""
    standard = (1, 2, 3, 4, 3, 3, 1)
    yield from ((standard, round(1 + 0.2 * step, 1)) for step in range(11))
    middle = [*product((2, 3), (3, 4), (4, 5))]
    shallow = [(1, *some, *ends, 1) for some in middle for ends in product((3, 4), repeat=2)]
    yield from ((repeats, 1.0) for repeats in shallow if repeats != standard)
    yield (1, 2, 3, 4, 5, 5, 1), 1.0
    deeper = [(1, *some, *ends, 1) for some in middle for ends in product((5, 6), repeat=2)]
    yield from product(deeper, (1.2, 1.4, 1.6, 1.8))
    deepest = [(1, *some, *ends, 1) for some in middle for ends in product((8, 10, 14, 20), repeat=2)]
    yield from ((repeats, 1.0) for repeats in deepest)
    yield from (((1, 3, 3, 5, 20, 20, 1), width) for width in (1.4, 1.2))


def _mobilenet(repeats: Sequence[int], width: float, micro: int | None) -> Architecture:
    scale = (micro or MOBILENET_WIDTH) / MOBILENET_WIDTH
    body = [
        f"mbconv_r{count}_s{stride}_e{expansion}_c{multiple_of_8(filters * width * scale)}_arelu6"
        for count, (expansion, filters, _, stride) in zip(repeats, MOBILENET_V2, strict=True)
    ]
    stem = f"conv_s{1 if micro else 2}_c{multiple_of_8(32 * width * scale)}_arelu6"
    last = f"conv_k1_c{multiple_of_8(1280 * max(1, width) * scale)}_arelu6"
    return parse(SEPARATOR.join([stem, *body, last]))


STUDIES: Mapping[str, Callable[[int | None], Named]] = {"resnet": _resnets, "mobilenet": _mobilenets}
