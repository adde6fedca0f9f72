"""Choices: decisions, the number of distinct architectures, sampling, freezing."""

import itertools
import random
from collections import Counter

import pytest

from ssl_keras.architecture.grammar import Architecture, ArchitectureError, parse

SPACES = [
    "conv_c8",
    "conv_c{8,16} | mbconv_k{3,5}_c8",
    "{mbconv,basic}_c8",
    "{mbconv,basic}_k{3,5}_e{3,6}_c8",
    "{maxpool,conv}_c{8,16}",
    "{maxpool,conv}_r{1,2}_s1_c{8,16}",
    "conv_c8 | mbconv_r{0,1}_c8",
    "conv_c8 | conv_r{0,1}_c8",
    "conv_c8 | mbconv_r{0,1}_c8 | mbconv_r{0,1}_c8",
    "conv_c8 | mbconv_r{0,1}_k{3,5}_c8 | mbconv_r{0,1}_k{3,5}_c8 | mbconv_r{0,1}_k{3,5}_c8",
    "conv_c8 | mbconv_r{0,1}_k{3,5}_c8 | mbconv_c8",
    "conv_c8 | mbconv_r{0,1}_k{3,5}_c8 | mbconv_k{5,7}_c8 | mbconv_r{0,1,2}_c8",
    "conv_c8 | mbconv_r{0,1}_c8 | basic_r{0,1}_c8 | mbconv_r{0,1}_c8 | mbconv_c8",
    "conv_c8 | {mbconv,basic}_r{0,1}_e{3,6}_c8 | basic_r{0,1}_c8",
    "conv_c8 | {maxpool,conv}_r{0,1,2}_s1_c8 | conv_r{0,1}_c8 | {maxpool,conv}_s1_k{3,5}_c8",
]


def spelt_out(space: Architecture) -> set[str]:
    """Every architecture, by taking every combination of decisions."""
    names, values = list(space.decisions), list(space.decisions.values())
    return {str(space.freeze(dict(zip(names, picks, strict=True)))) for picks in itertools.product(*values)}


def random_space(rng: random.Random) -> Architecture:
    """A few stages of 8 filters, some of which may vanish and many of which overlap."""
    stages = ["conv_c8"]
    for _ in range(rng.randint(1, 5)):
        op = rng.choice(["mbconv", "basic", "{mbconv,basic}", "{maxpool,basic}"])
        repeats = rng.choice(["", "_r{0,1}", "_r{0,1,2}", "_r2"])
        kernel = rng.choice(["", "_k{3,5}", "_k5"])
        stages.append(f"{op}{repeats}{kernel}{'_s1' if 'maxpool' in op else ''}_c8")
    return parse(" | ".join(stages))


@pytest.mark.parametrize("text", SPACES)
def test_size_counts_distinct_architectures(text: str) -> None:
    assert parse(text).size == len(spelt_out(parse(text)))


def test_size_counts_distinct_architectures_of_random_spaces() -> None:
    rng = random.Random(0)
    for _ in range(150):
        space = random_space(rng)
        if len(list(itertools.product(*space.decisions.values()))) < 1500:
            assert space.size == len(spelt_out(space)), str(space)


def test_a_stage_left_out_of_two_equal_ones_is_one_architecture() -> None:
    # conv, conv|m3, conv|m5, and the four pairs
    assert parse("conv_c8 | mbconv_r{0,1}_k{3,5}_c8 | mbconv_r{0,1}_k{3,5}_c8").size == 1 + 2 + 4


@pytest.mark.parametrize("text", SPACES)
def test_every_architecture_has_its_own_number(text: str) -> None:
    space = parse(text)
    words = [str(Architecture(space._words.word(rank))) for rank in range(space.size)]
    assert sorted(words) == sorted(spelt_out(space))


def test_sampling_is_uniform_over_distinct_architectures() -> None:
    space = parse("conv_c8 | mbconv_r{0,1}_k{3,5}_c8 | mbconv_r{0,1}_k{3,5}_c8 | {mbconv,basic}_e{3,6}_c8")
    draws = 4200
    counts = Counter(str(space.sample(seed)) for seed in range(draws))
    assert set(counts) == spelt_out(space)
    expected = draws / len(counts)
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    freedom = len(counts) - 1
    assert chi_squared < freedom + 4 * (2 * freedom) ** 0.5


def test_sampling_is_stateless() -> None:
    space = parse("conv_c{8,16,24,32} | mbconv_k{3,5,7}_e{3,6}_c8")
    first = [space.sample(seed) for seed in range(20)]
    random.seed(123)
    before = random.getstate()
    assert [parse(str(space)).sample(seed) for seed in range(20)] == first
    assert random.getstate() == before
    # Pinned, so that a search repeats on another machine and in another version.
    assert str(space.sample(0)) == "conv_c24 | mbconv_e3_c8"


def test_a_fixed_architecture_samples_itself() -> None:
    architecture = parse("conv_c8 | basic_r2_c8")
    assert not architecture.is_space
    assert architecture.decisions == {}
    assert architecture.size == 1
    assert architecture.sample(5) == architecture
    assert architecture.freeze({}) == architecture


def test_decisions_have_stable_names() -> None:
    space = parse("conv_c32 | {basic,mbconv}_r{2,1}_k{5,3}_e3_a{swish,relu}_c8 | conv_s{1,2}_c{16,8}_g{1,2}")
    assert space.is_space
    assert space.decisions == {
        "stage2.op": ("mbconv", "basic"),
        "stage2.r": (1, 2),
        "stage2.k": (3, 5),
        "stage2.a": ("relu", "swish"),
        "stage3.s": (1, 2),
        "stage3.c": (8, 16),
        "stage3.g": (1, 2),
    }


@pytest.mark.parametrize(
    ("choices", "frozen"),
    [
        ({}, "conv_c8 | {mbconv,basic}_r{0,1,2}_k{3,5}_e3_c8 | mbconv_e{2.5,3}_c8"),
        ({"stage2.op": "basic"}, "conv_c8 | basic_r{0,1,2}_k{3,5}_c8 | mbconv_e{2.5,3}_c8"),
        ({"stage2.op": "mbconv", "stage2.r": 0}, "conv_c8 | mbconv_e{2.5,3}_c8"),
        ({"stage2.r": 0, "stage3.e": 2.5}, "conv_c8 | mbconv_e2.5_c8"),
        ({"stage3.e": 3.0, "stage2.k": 3}, "conv_c8 | {mbconv,basic}_r{0,1,2}_e3_c8 | mbconv_e3_c8"),
        (
            {"stage2.op": "mbconv", "stage2.r": 2, "stage2.k": 5, "stage3.e": 3},
            "conv_c8 | mbconv_r2_k5_e3_c8 | mbconv_e3_c8",
        ),
    ],
)
def test_freezing(choices: dict[str, int | float | str], frozen: str) -> None:
    space = parse("conv_c8 | {mbconv,basic}_r{0,1,2}_k{3,5}_e3_c8 | mbconv_e{2.5,3}_c8")
    assert str(space.freeze(choices)) == frozen


def test_freezing_in_steps_is_freezing_at_once() -> None:
    space = parse("conv_c{8,16} | mbconv_k{3,5}_c8 | {mbconv,basic}_c{8,16}")
    at_once = space.freeze({"stage1.c": 16, "stage2.k": 5, "stage3.op": "basic", "stage3.c": 8})
    in_steps = space.freeze({"stage3.op": "basic"}).freeze({"stage1.c": 16, "stage3.c": 8}).freeze({"stage2.k": 5})
    assert at_once == in_steps


@pytest.mark.parametrize(
    ("choices", "part"),
    [
        ({"stage2.q": 3}, "nearest is 'stage2.k'"),
        ({"stage9.k": 3}, "nearest is 'stage2.k'"),
        ({"k": 3}, "nothing to decide called 'k'"),
        ({"stage1.c": 8}, "nothing to decide called 'stage1.c'"),
        ({"stage2.k": 4}, "stage2.k cannot be 4; its values are 3, 5"),
        ({"stage2.k": "3"}, "stage2.k cannot be '3'"),
        ({"stage2.k": (3, 5)}, "stage2.k cannot be"),
    ],
)
def test_freezing_refuses_what_is_not_there(choices: dict[str, object], part: str) -> None:
    with pytest.raises(ArchitectureError, match=part):
        parse("conv_c8 | mbconv_k{3,5}_c8").freeze(choices)  # type: ignore[arg-type]


def test_freezing_what_is_decided_says_so() -> None:
    with pytest.raises(ArchitectureError, match="everything is decided"):
        parse("conv_c8").freeze({"stage1.k": 3})


def test_r0_waits_for_the_op_where_one_op_cannot_vanish() -> None:
    space = parse("conv_c8 | {maxpool,conv}_r{0,1}_s1_c8")
    with pytest.raises(ArchitectureError, match="until its op is picked"):
        space.freeze({"stage2.r": 0})
    assert str(space.freeze({"stage2.r": 0, "stage2.op": "conv"})) == "conv_c8"
    assert str(space.freeze({"stage2.r": 0, "stage2.op": "maxpool"})) == "conv_c8 | maxpool_s1"


def test_large_spaces_are_counted_without_enumeration() -> None:
    stages = ["mbconv_r{1,2,3,4}_k{1,3,5,7,9,11}_s{1,2}_e{2,3,4,6}_c{8,16,24,32}_se{0,0.25,0.5}_a{relu,swish,gelu}"]
    assert parse(" | ".join(stages * 30)).size == (4 * 6 * 2 * 4 * 4 * 3 * 3) ** 30


@pytest.mark.parametrize("text", SPACES)
def test_picks_are_the_inverse_of_freezing(text: str) -> None:
    space = parse(text)
    for network in spelt_out(space):
        picks = space.picks_of(parse(network))
        assert list(picks) == list(space.decisions)
        assert str(space.freeze(picks)) == network


def test_the_first_of_equal_stages_is_kept() -> None:
    space = parse("conv_c8 | mbconv_r{0,1}_k{3,5}_c8 | mbconv_r{0,1}_k{3,5}_c8")
    assert space.picks_of(parse("conv_c8 | mbconv_k5_c8")) == {
        "stage2.r": 1,
        "stage2.k": 5,
        "stage3.r": 0,
        "stage3.k": 3,
    }


@pytest.mark.parametrize(
    "text",
    ["conv_c9", "conv_c8", "conv_c8 | basic_c8", "conv_c8 | mbconv_k{3,5}_c8", "conv_c8 | mbconv_k3_c8 | conv_c8"],
)
def test_what_is_not_in_the_space_has_no_picks(text: str) -> None:
    with pytest.raises(ArchitectureError, match="does not hold"):
        parse("conv_c{8,16} | mbconv_k{3,5}_c8").picks_of(parse(text))


def test_picks_of_many_stages_that_may_vanish_are_found_quickly() -> None:
    space = parse(" | ".join(["conv_c8", *["mbconv_r{0,1}_k{3,5}_c8"] * 40]))
    with pytest.raises(ArchitectureError):
        space.picks_of(parse(" | ".join(["conv_c8", *["mbconv_c8"] * 20, "mbconv_k7_c8"])))
