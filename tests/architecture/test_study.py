"""The study's networks: as many as it has, and of the known sizes."""

import re

import pytest

from ssl_keras.architecture import families
from ssl_keras.architecture.cost import cost

RESNETS, MOBILENETS = dict(families.study("resnet")), dict(families.study("mobilenet"))
SIDE = (224, 224, 3)


def numbered(names, prefix, first, last):
    return [cost(names[f"{prefix}_v{number}"], SIDE) for number in range(first, last + 1)]


def test_there_are_as_many_as_in_the_study():
    assert len(RESNETS) == 212 and len({*RESNETS.values()}) == 211
    assert len(MOBILENETS) == 301 and len({*MOBILENETS.values()}) == 301


def test_v5_repeats_a_row_of_the_grid():
    again = [name for name, network in RESNETS.items() if network == RESNETS["resnet_v5"]]
    assert len(again) == 2 and 128 <= int(again[1].removeprefix("resnet_v")) <= 207


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("resnet18", 11.18, 1814), ("resnet34", 21.29, 3663), ("resnet50", 23.51, 4087), ("resnet101", 42.50, 7800),
        ("resnet152", 58.14, 11510), ("resnet_v1", 13.95, None), ("resnet_v2", 37.6, None), ("resnet_v3", 122.6, None),
    ],
)  # fmt: skip
def test_known_resnets_have_their_known_size(name, params, macs):
    found = cost(RESNETS[name], SIDE)
    assert found.params / 1e6 == pytest.approx(params, rel=0.005)
    assert macs is None or found.macs / 1e6 == pytest.approx(macs, rel=0.005)


@pytest.mark.parametrize(
    ("names", "prefix", "rows", "params", "macs"),
    [
        (RESNETS, "resnet", (12, 91), (14.0, 25.8), (2560, 4090)),
        (RESNETS, "resnet", (92, 127), (15.0, 26.5), (3650, 4960)),
        (RESNETS, "resnet", (128, 207), (11.3, 23.7), (2040, 3660)),
        (MOBILENETS, "mobilenet", (1, 11), (2.22, 19.4), (299, 2506)),
        (MOBILENETS, "mobilenet", (12, 42), (2.23, 2.74), (310, 385)),
        (MOBILENETS, "mobilenet", (43, 171), (3.1, 11.5), (376, 1423)),
        (MOBILENETS, "mobilenet", (172, 299), (4.42, 9.75), (490, 995)),
        (MOBILENETS, "mobilenet", (300, 300), (18.9, 18.9), None),
        (MOBILENETS, "mobilenet", (301, 301), (13.8, 13.8), None),
    ],
)
def test_ranges_of_rows_are_those_of_the_study(names, prefix, rows, params, macs):
    found = numbered(names, prefix, *rows)
    sizes = [each.params / 1e6 for each in found]
    assert (min(sizes), max(sizes)) == pytest.approx(params, rel=0.005)
    work = [each.macs / 1e6 for each in found]
    assert macs is None or (min(work), max(work)) == pytest.approx(macs, rel=0.005)


def test_in_groups_and_wide_as_in_the_table():
    assert "bottleneck_r2_s2_c512_g8_w32" in str(RESNETS["resnet_v8"])
    assert "bottleneck_r2_s2_c512_w256" in str(RESNETS["resnet_v3"])
    assert "basic_r2_c64 | basic_r3_s2_c128 | basic_r4_s2_c256 | basic_r5_s2_c512" in str(RESNETS["resnet_v4"])


@pytest.mark.parametrize("family", ["resnet", "mobilenet"])
def test_micro_networks_keep_the_topology_and_run_at_32_px(family):
    for (name, whole), (same, micro) in zip(families.study(family), families.study(family, micro=8), strict=True):
        assert name == same
        blocks, published = (re.findall(r"(basic|bottleneck|mbconv)(_r\d+)?", str(each)) for each in (micro, whole))
        assert blocks == published
        assert cost(micro, (32, 32, 3)).macs < 100e6


@pytest.mark.parametrize(("family", "micro", "said"), [("vgg", None, "no family 'vgg'"), ("resnet", 2, "micro is 2")])
def test_what_is_not_there_is_named(family, micro, said):
    with pytest.raises(ValueError, match=said):
        families.study(family, micro)
