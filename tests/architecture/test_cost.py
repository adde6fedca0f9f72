"""Parameters and multiply-adds: published figures, and counts done by hand."""

import pytest

from ssl_keras.architecture import families
from ssl_keras.architecture.cost import COUNTERS, cost
from ssl_keras.architecture.grammar import BLOCKS, ArchitectureError, parse

IMAGENET = (224, 224, 3)


def resnet(op: str, depths: tuple[int, ...], tokens: str = "") -> str:
    wide = 4 if op == "bottleneck" else 1
    stages = [f"{op}_r{n}_s{min(i + 1, 2)}_c{64 * 2**i * wide}{tokens}" for i, n in enumerate(depths)]
    return " | ".join(["conv_k7_s2_c64", "maxpool", *stages])


# name, millions of parameters, billions of multiply-adds; at 224 px without classifier, as published
@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("resnet18", "11.177", "1.814"),
        ("resnet34", "21.29", "3.663"),
        ("resnet50", "23.508", "4.087"),
        ("resnet101", "42.50", "7.80"),
        ("resnet152", "58.14", "11.51"),
        ("mobilenet_v2", "2.224", "0.2995"),
    ],
)
def test_families_cost_what_is_published(name: str, params: str, macs: str) -> None:
    # "21.29" in the published table is rounded up from 21.285.
    counted = cost(families.get(name), IMAGENET)
    assert counted.params / 1e6 == pytest.approx(float(params), abs=10.0 ** -len(params.split(".")[1]))
    assert counted.macs / 1e9 == pytest.approx(float(macs), abs=0.5001 * 10.0 ** -len(macs.split(".")[1]))


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (resnet("bottleneck", (2, 2, 2, 2)), 13.95),
        (resnet("bottleneck", (2, 2, 2, 2), "_w128"), 37.6),
        (resnet("bottleneck", (2, 2, 2, 2), "_w256"), 122.6),
    ],
    ids=["v1", "v2", "v3"],
)
def test_variants_of_the_study(text: str, params: float) -> None:
    digits = 2 if params < 20 else 1
    assert round(cost(parse(text), IMAGENET).params / 1e6, digits) == params


def test_exact_counts() -> None:
    """Parameters that other implementations of the same networks have, less their classifiers."""
    exact = {name: cost(families.get(name), IMAGENET).params for name in families.names() if name != "proxyless_space"}
    assert exact == {
        "resnet18": 11_689_512 - 513_000,
        "resnet34": 21_797_672 - 513_000,
        "resnet50": 25_557_032 - 2_049_000,
        "resnet101": 44_549_160 - 2_049_000,
        "resnet152": 60_192_808 - 2_049_000,
        "resnet200": 64_673_832 - 2_049_000,
        "mobilenet_v2": 3_504_872 - 1_281_000,
    }


def test_conv() -> None:
    counted = cost(parse("conv_c8 | conv_r2_k5_s2_c12_g4"), (10, 7, 3))
    first = 9 * 3 * 8
    second = 25 * (8 // 4) * 12
    third = 25 * (12 // 4) * 12
    assert counted.params == first + second + third + 2 * (8 + 12 + 12)
    assert counted.macs == first * 10 * 7 + (second + third) * 5 * 4


def test_basic() -> None:
    counted = cost(parse("conv_k1_c8 | basic_s2_c12_se0.5"), (8, 8, 3)).blocks[-1]
    weights = 9 * 8 * 12 + 9 * 12 * 12 + 8 * 12
    assert counted.params == weights + 3 * 2 * 12 + (12 * 4 + 4) + (4 * 12 + 12)
    assert counted.macs == weights * 4 * 4 + 2 * 12 * 4


def test_bottleneck() -> None:
    counted = cost(parse("conv_k1_c8 | bottleneck_s2_c64_g2_w32_se0.25"), (8, 8, 3)).blocks[-1]
    mid = 16  # int(64/4 · 32/64) · 2
    assert counted.params == (
        (8 * mid + 2 * mid)
        + (9 * mid * mid // 2 + 2 * mid)
        + (mid * 64 + 2 * 64)
        + (64 * 2 + 2 + 2 * 64 + 64)
        + (8 * 64 + 2 * 64)
    )
    # The stride is in the k×k convolution, so the first one still works at the full size.
    assert counted.macs == 8 * mid * 64 + (9 * mid * mid // 2 + mid * 64 + 8 * 64) * 16 + 2 * 64 * 2


@pytest.mark.parametrize("expansion", [1, 4])
def test_mbconv(expansion: int) -> None:
    counted = cost(parse(f"conv_k1_c8 | mbconv_k5_s2_e{expansion}_c12_se0.25"), (8, 8, 3)).blocks[-1]
    mid = 8 * expansion
    expand = 8 * mid if expansion > 1 else 0
    squeeze = 2  # a quarter of the 8 filters that arrive, not of the expanded
    assert counted.params == (
        (expand + 2 * mid if expansion > 1 else 0)
        + (25 * mid + 2 * mid)
        + (mid * squeeze + squeeze + squeeze * mid + mid)
        + (mid * 12 + 2 * 12)
    )
    assert counted.macs == expand * 64 + (25 * mid + mid * 12) * 16 + 2 * mid * squeeze


def test_maxpool_costs_nothing() -> None:
    counted = cost(parse("conv_c8 | maxpool_k5"), (8, 8, 3)).blocks[-1]
    assert (counted.params, counted.macs) == (0, 0)


@pytest.mark.parametrize("name", families.names())
def test_blocks_add_up(name: str) -> None:
    counted = cost(families.get(name, small_images=True).sample(0), (32, 32, 3))
    assert counted.params == sum(block.params for block in counted.blocks)
    assert counted.macs == sum(block.macs for block in counted.blocks)
    assert [block.name for block in counted.blocks] == [block.block.name for block in counted.blocks]


def test_every_op_is_counted() -> None:
    assert set(COUNTERS) == set(BLOCKS)


def test_parameters_do_not_depend_on_size_and_multiply_adds_do() -> None:
    small, large = (cost(families.get("resnet18"), (side, side, 3)) for side in (64, 128))
    assert small.params == large.params
    assert large.macs == 4 * small.macs


def test_a_string_will_do() -> None:
    assert cost("conv_c8 | basic_c8", (8, 8, 3)) == cost(parse("conv_c8 | basic_c8"), (8, 8, 3))


def test_refusals() -> None:
    with pytest.raises(ArchitectureError, match="search space"):
        cost(families.get("proxyless_space"), IMAGENET)
    with pytest.raises(ArchitectureError, match="do not divide"):
        cost(parse("conv_c8_g2"), IMAGENET)
    with pytest.raises(ValueError, match="need a size"):
        cost(parse("conv_c8"), (None, 32, 3))
