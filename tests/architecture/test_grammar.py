"""The notation: every rule of it, and printing as the inverse of parsing."""

import dataclasses
import pickle
import random
import re

import pytest

from ssl_keras.architecture.grammar import ACTIVATIONS, BLOCKS, ArchitectureError, parse

GRAMMAR_EXAMPLE = (
    "conv_c32 | mbconv_r2_k{3,5,7}_s2_e{3,6}_c24 | mbconv_r{2,3,4}_s2_c{40,48} | {mbconv,basic}_r2_c48 | conv_k1_c256"
)

# What each token may be, written from the grammar and not from the code.
VALUES = {
    "r": ["1", "2", "3"],
    "k": ["1", "3", "5", "11"],
    "s": ["1", "2", "4"],
    "e": ["1", "2.5", "3", "6"],
    "c": ["32", "64", "96"],
    "g": ["1", "2", "8"],
    "w": ["32", "64"],
    "se": ["0", "0.25", "1"],
    "a": ["relu", "relu6", "swish", "hswish", "gelu"],
}
TAKES = {
    "conv": ["r", "k", "s", "c", "g", "a"],
    "maxpool": ["k", "s"],
    "basic": ["r", "k", "s", "c", "se", "a"],
    "bottleneck": ["r", "k", "s", "c", "g", "w", "se", "a"],
    "mbconv": ["r", "k", "s", "e", "c", "se", "a"],
}


def random_text(rng: random.Random, choices: bool) -> str:
    """Any valid string: tokens in any order, defaults sometimes spelt out, values in any order."""
    stages = []
    for _ in range(rng.randint(1, 5)):
        ops = rng.sample(list(TAKES), rng.choice([1, 1, 2]) if choices else 1)
        names = [name for name in VALUES if any(name in TAKES[op] for op in ops)]
        given = [name for name in names if name == "c" or rng.random() < 0.5]
        tokens = []
        for name in sorted(given, key=lambda _: rng.random()):
            several = rng.sample(VALUES[name], rng.randint(1, min(3, len(VALUES[name]))) if choices else 1)
            several = several if name != "e" or len(several) == 1 else [value for value in several if value != "1"]
            tokens.append(name + (several[0] if len(several) == 1 else "{" + ",".join(several) + "}"))
        op = ops[0] if len(ops) == 1 else "{" + ",".join(ops) + "}"
        stages.append("_".join([op, *tokens]))
    return " | ".join(stages)


@pytest.mark.parametrize("choices", [False, True])
def test_printing_is_the_inverse_of_parsing(choices: bool) -> None:
    rng = random.Random(0)
    for _ in range(400):
        architecture = parse(random_text(rng, choices))
        assert parse(str(architecture)) == architecture
        assert str(parse(str(architecture))) == str(architecture)
        assert choices or not architecture.is_space


def test_samples_print_and_parse_back() -> None:
    rng = random.Random(1)
    for seed in range(200):
        sampled = parse(random_text(rng, choices=True)).sample(seed)
        assert not sampled.is_space
        assert parse(str(sampled)) == sampled


def test_the_documented_example_is_canonical() -> None:
    assert str(parse(GRAMMAR_EXAMPLE)) == GRAMMAR_EXAMPLE


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("conv_c32_k3_s1_g1_r1_arelu", "conv_c32"),
        ("conv_arelu6_s2_c32_k1", "conv_k1_s2_c32_arelu6"),
        ("maxpool_k3_s2", "maxpool"),
        ("maxpool_s1", "maxpool_s1"),
        ("mbconv_e6.0_c8_se0.250", "mbconv_c8_se0.25"),
        ("mbconv_e6.50_c8_se0.0", "mbconv_e6.5_c8"),
        ("mbconv_c8_se0.00001", "mbconv_c8_se0.00001"),
        ("bottleneck_w64_c256_g1_se1.0", "bottleneck_c256_se1"),
        ("bottleneck_se0.5_w32_g2_c256_k5_s2_r4_agelu", "bottleneck_r4_k5_s2_c256_g2_w32_se0.5_agelu"),
        ("mbconv_k{7,3,5}_c{48,40}_a{gelu,relu6}", "mbconv_k{3,5,7}_c{40,48}_a{relu6,gelu}"),
        ("{basic,mbconv}_c8", "{mbconv,basic}_c8"),
        ("mbconv_k{5}_c{8}", "mbconv_k5_c8"),
        ("{mbconv}_c8", "mbconv_c8"),
        # s1 is the default of conv but not of maxpool, so it stays.
        ("{maxpool,conv}_s1_c8", "{maxpool,conv}_s1_c8"),
        ("{mbconv,basic}_e6_k3_c8", "{mbconv,basic}_c8"),
    ],
)
def test_equal_architectures_print_identically(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert parse(text) == parse(canonical)
    assert hash(parse(text)) == hash(parse(canonical))


def test_the_table_of_blocks_is_the_grammars() -> None:
    assert {op: list(tokens) for op, tokens in BLOCKS.items()} == TAKES
    assert list(ACTIVATIONS) == VALUES["a"]
    given = {op: {name: value for name, value in row.items() if value is not None} for op, row in BLOCKS.items()}
    assert given == {
        "conv": {"r": 1, "k": 3, "s": 1, "g": 1, "a": "relu"},
        "maxpool": {"k": 3, "s": 2},
        "basic": {"r": 1, "k": 3, "s": 1, "se": 0, "a": "relu"},
        "bottleneck": {"r": 1, "k": 3, "s": 1, "g": 1, "w": 64, "se": 0, "a": "relu"},
        "mbconv": {"r": 1, "k": 3, "s": 1, "e": 6, "se": 0, "a": "relu"},
    }


@pytest.mark.parametrize("op", TAKES)
def test_every_token_is_read_where_listed_and_refused_elsewhere(op: str) -> None:
    needed = "" if op == "maxpool" else "_c64"
    for name, values in VALUES.items():
        text = f"{op}{'' if name == 'c' else needed}_{name}{values[-1]}"
        if name in TAKES[op]:
            assert parse(text).stages[0].ops == (op,)
        else:
            with pytest.raises(ArchitectureError, match=f"{op} takes only"):
                parse(text)


# text, token, stage, position, part of the message
WRONG = [
    ("", "", 0, 0, "empty"),
    ("   ", "", 0, 0, "empty"),
    ("conv_c3 | ", "", 2, 10, "empty stage"),
    (" | conv_c3", "", 1, 1, "empty stage"),
    ("conv_c3 |  | conv_c3", "", 2, 10, "empty stage"),
    ("conv_c3|conv_c4", "conv_c3", 1, 1, "joined by ' | '"),
    ("conv_c3 |conv_c4", "conv_c4", 2, 10, "joined by ' | '"),
    ("conv_c3  | conv_c4", "conv_c3  ", 1, 1, "joined by ' | '"),
    ("conv_c3\n", "conv_c3\n", 1, 1, "no other space"),
    ("conv _c3", "conv ", 1, 1, "nearest valid token 'conv'"),
    ("cnov_c3", "cnov", 1, 1, "nearest valid token 'conv'"),
    ("conv_c8 | mbcov_c8", "mbcov", 2, 11, "nearest valid token 'mbconv'"),
    ("Conv_c3", "Conv", 1, 1, "nearest valid token 'conv'"),
    ("c32", "c32", 1, 1, "no op 'c32'"),
    ("{conv,conf}_c8", "{conv,conf}", 1, 1, "no op 'conf'"),
    ("{}_c8", "{}", 1, 1, "empty choice"),
    ("{conv,conv}_c8", "{conv,conv}", 1, 1, "repeats 'conv'"),
    ("conv", "conv", 1, 1, "add a token such as 'c64'"),
    ("maxpool | basic_r2", "basic", 2, 11, "basic needs its number of filters"),
    ("{maxpool,conv}_k3", "{maxpool,conv}", 1, 1, "conv needs its number of filters"),
    ("conv_c3_", "", 1, 9, "empty token"),
    ("conv__c3", "", 1, 6, "empty token"),
    ("conv_c3_c3", "c3", 1, 9, "a second 'c'"),
    ("conv_k3_c3_k{5,7}", "k{5,7}", 1, 12, "a second 'k'"),
    ("conv_c3_q7", "q7", 1, 9, "takes only r, k, s, c, g, a; nearest valid token"),
    ("conv_C32", "C32", 1, 6, "nearest valid token 'c32'"),
    ("conv_c3_e6", "e6", 1, 9, "conv takes only"),
    ("basic_c8_g2", "g2", 1, 10, "basic takes only"),
    ("basic_c8_e6", "e6", 1, 10, "basic takes only r, k, s, c, se, a; nearest valid token"),
    ("{mbconv,basic}_c8_g2", "g2", 1, 19, "mbconv/basic takes only"),
    ("maxpool_c4", "c4", 1, 9, "maxpool takes only k, s; nearest valid token 's4'"),
    ("maxpool_r2", "r2", 1, 9, "maxpool takes only"),
    ("conv_c3_k", "k", 1, 9, "nearest valid token 'k3'"),
    ("conv_c3_k4", "k4", 1, 9, "an odd number from 1 to 11, not '4'; nearest valid token 'k3'"),
    ("conv_c3_k0", "k0", 1, 9, "nearest valid token 'k1'"),
    ("conv_c3_k13", "k13", 1, 9, "nearest valid token 'k11'"),
    ("conv_c3_k3.0", "k3.0", 1, 9, "nearest valid token 'k3'"),
    ("conv_c3_k03", "k03", 1, 9, "nearest valid token 'k3'"),
    ("conv_c3_k+3", "k+3", 1, 9, "nearest valid token 'k3'"),
    ("conv_c3_k٣", "k٣", 1, 9, "kernel is"),
    ("conv_c3_kernel5", "kernel5", 1, 9, "nearest valid token 'k5'"),
    ("conv_c3_s0", "s0", 1, 9, "from 1 to 4, not '0'; nearest valid token 's1'"),
    ("conv_c3_s5", "s5", 1, 9, "nearest valid token 's4'"),
    ("conv_c0", "c0", 1, 6, "filters is a whole number of at least 1, not '0'; nearest valid token 'c1'"),
    ("conv_c-8", "c-8", 1, 6, "nearest valid token 'c1'"),
    ("conv_c1e3", "c1e3", 1, 6, "filters is a whole number"),
    ("conv_c" + "9" * 5000, "c" + "9" * 5000, 1, 6, "filters is a whole number"),
    ("conv_g0_c8", "g0", 1, 6, "nearest valid token 'g1'"),
    ("bottleneck_c256_w0", "w0", 1, 17, "nearest valid token 'w1'"),
    ("mbconv_c8_e0.5", "e0.5", 1, 11, "expansion is a number of at least 1, not '0.5'; nearest valid token 'e1'"),
    ("mbconv_c8_enan", "enan", 1, 11, "nearest valid token 'e6'"),
    ("mbconv_c8_e.5", "e.5", 1, 11, "expansion is"),
    ("basic_c8_se1.5", "se1.5", 1, 10, "from 0 to 1, not '1.5'; nearest valid token 'se1'"),
    ("basic_c8_se", "se", 1, 10, "squeeze ratio is"),
    ("basic_c8_aReLU", "aReLU", 1, 10, "nearest valid token 'arelu'"),
    ("basic_c8_aswihs", "aswihs", 1, 10, "nearest valid token 'aswish'"),
    ("conv_k{}_c3", "k{}", 1, 6, "empty choice"),
    ("conv_k{3,}_c3", "k{3,}", 1, 6, "empty value"),
    ("conv_k{3,3}_c3", "k{3,3}", 1, 6, "repeats '3'"),
    ("mbconv_e{6,6.0}_c8", "e{6,6.0}", 1, 8, "repeats '6'"),
    ("conv_k{3, 5}_c3", "k{3, 5}", 1, 6, "not ' 5'; nearest valid token 'k5'"),
    ("conv_k{3,4}_c3", "k{3,4}", 1, 6, "not '4'; nearest valid token 'k3'"),
    ("conv_k{3,5_c3", "k{3,5_c3", 1, 6, "never closed"),
    ("conv_k3,5}_c3", "k3,5}_c3", 1, 6, "'}' without '{'"),
    ("conv_k{3,{5}}_c3", "k{3,{5}}_c3", 1, 6, "brace inside a brace"),
    ("conv_k1{3,5}_c3", "k1{3,5}", 1, 6, "a brace holds whole values"),
    ("conv_k{3,5}7_c3", "k{3,5}7", 1, 6, "a brace holds whole values"),
    ("conv_{k3,k5}_c3", "{k3,k5}", 1, 6, "conv takes only"),
    ("conv_c3 | conv_r0_c3", "r0", 2, 16, "r0 may stand only in a choice"),
    ("conv_c3 | conv_r{0}_c3", "r{0}", 2, 16, "r0 may stand only in a choice"),
    ("conv_c3 | conv_r{0,0}_c3", "r{0,0}", 2, 16, "repeats '0'"),
    ("conv_r{0,1}_c3", "r{0,1}", 1, 6, "where c equals the stage before"),
    ("maxpool | conv_r{0,1}_c3", "r{0,1}", 2, 16, "where c equals the stage before"),
    ("conv_c3 | conv_r{0,1}_c4", "r{0,1}", 2, 16, "where c equals the stage before"),
    ("conv_c3 | conv_r{0,1}_c{3,4}", "r{0,1}", 2, 16, "where c equals the stage before"),
    ("conv_c{3,4} | conv_r{0,1}_c{3,4}", "r{0,1}", 2, 20, "where c equals the stage before"),
    ("conv_c3 | {maxpool,conv}_c4 | conv_r{0,1}_c4", "r{0,1}", 3, 36, "where c equals the stage before"),
    ("conv_c3 | conv_r{0,1}_s2_c3", "r{0,1}", 2, 16, "where the stride is 1"),
    ("conv_c3 | conv_r{0,1}_s{1,2}_c3", "r{0,1}", 2, 16, "where the stride is 1"),
    ("mbconv_e{1,3}_c4", "e{1,3}", 1, 8, "e1"),
    ("conv_c8_g3", "g3", 1, 9, "3 groups do not divide 8 filters"),
    ("conv_c{8,9}_g{2,4}", "g{2,4}", 1, 13, "2 groups do not divide 9 filters"),
    ("bottleneck_c3", "c3", 1, 12, "mid width"),
    ("bottleneck_c64_w2_g8", "c64", 1, 12, "mid width"),
    ("bottleneck_c{3,256}", "c{3,256}", 1, 12, "mid width"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "token", "stage", "position", "part"), WRONG, ids=[row[0][:40] for row in WRONG])
def test_a_wrong_string_is_refused_with_its_place(text: str, token: str, stage: int, position: int, part: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        parse(text)
    message = str(caught.value)
    assert (caught.value.token, caught.value.stage, caught.value.position) == (token, stage, position)
    assert part in message
    if stage:
        assert f"stage {stage}, character {position}" in message
        assert token in message or repr(token) in message
        assert text[position - 1 :].startswith(token)
    assert "\n" not in message


SUGGESTING = [row for row in WRONG if "nearest valid token" in row[4] and "{" not in row[1]]


@pytest.mark.parametrize("row", SUGGESTING, ids=[row[0] for row in SUGGESTING])
def test_following_a_suggestion_helps(row: tuple[str, str, int, int, str]) -> None:
    text, token, _, position, _ = row
    with pytest.raises(ArchitectureError) as caught:
        parse(text)
    near = str(caught.value).split("nearest valid token '")[1].split("'")[0]
    mended = text[: position - 1] + near + text[position - 1 + len(token) :]
    try:
        parse(mended)
    except ArchitectureError as error:  # the string had a second fault
        assert re.search("a second|needs its number", str(error)), mended


@pytest.mark.parametrize("value", [None, 3, b"conv_c3", ["conv_c3"]])
def test_only_text_is_parsed(value: object) -> None:
    with pytest.raises(ArchitectureError, match="an architecture is a string"):
        parse(value)  # type: ignore[arg-type]


def test_r0_is_allowed_where_size_and_filters_stay() -> None:
    for text in (
        "conv_c8 | conv_r{0,1}_c8",
        "conv_c8 | conv_r{0,1}_c8 | mbconv_r{0,2}_k{3,5}_c8",
        "conv_c8 | maxpool | {mbconv,basic}_r{0,1}_c8",
        "conv_c{8,16} | conv_s2_c8 | mbconv_r{0,1,3}_c8",
        "conv_c8 | {maxpool,conv}_c8 | {maxpool,conv}_r{0,1}_s1_c8",
    ):
        assert str(parse(text)) == text


def test_an_architecture_is_frozen_hashable_and_picklable() -> None:
    architecture = parse(GRAMMAR_EXAMPLE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        architecture.stages = ()  # type: ignore[misc]
    assert architecture.size  # so that the cached count is pickled along
    assert pickle.loads(pickle.dumps(architecture)) == architecture
    assert len({architecture, parse(GRAMMAR_EXAMPLE)}) == 1
    assert repr(architecture) == f"parse({GRAMMAR_EXAMPLE!r})"


def test_an_error_survives_pickling() -> None:
    with pytest.raises(ArchitectureError) as caught:
        parse("conv_c3_k4")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.token, copy.stage, copy.position) == (str(caught.value), "k4", 1, 9)


def test_hundreds_of_stages() -> None:
    text = " | ".join(["conv_c8"] * 3000)
    assert str(parse(text)) == text
    assert parse(text).size == 1
