"""Known architectures and their names."""

import hashlib
import itertools
import re

import pytest

from ssl_keras.architecture import families
from ssl_keras.architecture.grammar import parse
from ssl_keras.architecture.layout import layout


def test_names() -> None:
    assert families.names() == (
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnet200",
        "mobilenet_v2",
        "proxyless_space",
    )


def test_strings() -> None:
    assert str(families.get("resnet18", width=0.25, small_images=True)) == (
        "conv_c16 | basic_r2_c16 | basic_r2_s2_c32 | basic_r2_s2_c64 | basic_r2_s2_c128"
    )
    assert str(families.get("resnet50", width=2)) == (
        "conv_k7_s2_c128 | maxpool | bottleneck_r3_c512 | bottleneck_r4_s2_c1024"
        " | bottleneck_r6_s2_c2048 | bottleneck_r3_s2_c4096"
    )
    assert str(families.get("resnet200")).count("r24") == 1
    assert str(families.get("mobilenet_v2")) == (
        "conv_s2_c32_arelu6 | mbconv_e1_c16_arelu6 | mbconv_r2_s2_c24_arelu6 | mbconv_r3_s2_c32_arelu6"
        " | mbconv_r4_s2_c64_arelu6 | mbconv_r3_c96_arelu6 | mbconv_r3_s2_c160_arelu6 | mbconv_c320_arelu6"
        " | conv_k1_c1280_arelu6"
    )
    assert str(families.get("mobilenet_v2", small_images=True)).startswith("conv_c32_arelu6 | mbconv_e1_c16_arelu6 | ")


@pytest.mark.parametrize(
    ("width", "filters"),
    [
        (0.35, [16, 8, 8, 16, 24, 32, 56, 112, 1280]),
        (0.5, [16, 8, 16, 16, 32, 48, 80, 160, 1280]),
        (0.75, [24, 16, 24, 24, 48, 72, 120, 240, 1280]),
        (1.4, [48, 24, 32, 48, 88, 136, 224, 448, 1792]),
        (0.01, [8, 8, 8, 8, 8, 8, 8, 8, 1280]),
    ],
)
def test_mobilenet_filters_round_to_eights(width: float, filters: list[int]) -> None:
    stages = families.get("mobilenet_v2", width=width).stages
    assert [stage.number("c") for stage in stages] == filters


def test_rounding_never_loses_ten_percent() -> None:
    for width in (step / 100 for step in range(30, 300)):
        got = [stage.number("c") for stage in families.get("mobilenet_v2", width=width).stages]
        wishes = [c * width for c in (32, 16, 24, 32, 64, 96, 160, 320)] + [1280 * max(1, width)]
        for filters, wish in zip(got, wishes, strict=True):
            assert filters % 8 == 0
            assert filters >= 0.9 * wish
            assert abs(filters - wish) <= 4 or filters == 8 or (filters - 8 < 0.9 * wish and filters - wish < 8)


def test_the_proxyless_space() -> None:
    space = families.get("proxyless_space")
    assert len(space.stages) == 24
    deciding = {name.split(".")[0] for name in space.decisions}
    assert len(deciding) == 21
    absent = [name for name, values in space.decisions.items() if values == (0, 1)]
    assert len(absent) == 15  # all but the first block of each of the six groups
    values = {name.split(".")[1]: value for name, value in space.decisions.items()}
    assert values == {"k": (3, 5, 7), "e": (3, 6), "r": (0, 1)}
    # Each group of 4 is one to four of 6 blocks in a row, of which the first is mandatory.
    assert space.size == (6 + 6**2 + 6**3 + 6**4) ** 5 * 6
    largest = space.freeze({name: max(options) for name, options in space.decisions.items()})  # type: ignore[type-var]
    blocks = layout(largest, (224, 224, 3))
    assert [block.filters for block in blocks] == (
        [32, 16] + [c for c, n in ((24, 4), (40, 4), (80, 4), (96, 4), (192, 4), (320, 1)) for _ in range(n)] + [1280]
    )
    assert blocks[-1].out_size == (7, 7)
    assert [block.stage for block in blocks if block.stride == 2] == [0, 2, 6, 10, 18]
    assert all(layout(space.sample(seed), (64, 64, 3)) for seed in range(20))


@pytest.mark.parametrize("name", families.names())
def test_small_images_keep_their_size_at_the_stem(name: str) -> None:
    for small, stride in ((False, 32), (True, 8 if name.startswith("resnet") else 16)):
        blocks = layout(families.get(name, small_images=small).sample(1), (64, 64, 3))
        assert blocks[-1].out_size == (64 // stride, 64 // stride)


@pytest.mark.parametrize(
    ("name", "width", "small"), list(itertools.product(families.names(), (1, 0.25, 2), (False, True)))
)
def test_names_are_recognised(name: str, width: float, small: bool) -> None:
    expected = name + (f"-x{width}" if width != 1 else "") + ("-small" if small else "")
    assert families.name_of(parse(str(families.get(name, width, small)))) == expected


def test_other_architectures_are_named_by_their_string() -> None:
    text = "conv_c8 | basic_r2_c16_se0.25"
    assert families.name_of(parse(text)) == "net-" + hashlib.sha256(text.encode()).hexdigest()[:8]
    assert families.name_of(parse("conv_c8_k3 | basic_se0.25_c16_r2_s1")) == families.name_of(parse(text))
    assert re.fullmatch("net-[0-9a-f]{8}", families.name_of(families.get("proxyless_space").sample(0)))


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet-50", "resnet50"), ("ResNet18", "resnet18"), ("mobilenetv2", "mobilenet_v2"), ("", "")],
)
def test_an_unknown_name(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"no architecture called '{name}'; nearest is '{near}"):
        families.get(name)


@pytest.mark.parametrize(("width", "part"), [(0.3, "nearest width that fits is 0.296875"), (0.001, "0.015625")])
def test_resnet_widths_must_give_whole_numbers(width: float, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        families.get("resnet18", width=width)


@pytest.mark.parametrize("width", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_impossible_widths(name: str, width: float) -> None:
    with pytest.raises(ValueError, match=f"width {width} of {name} must be above 0"):
        families.get(name, width=width)
