"""What the stages before decide, block by block."""

import pytest

from ssl_keras.architecture.grammar import ArchitectureError, parse
from ssl_keras.architecture.layout import Block, layout


def last(text: str, shape: tuple[int | None, int | None, int] = (32, 32, 3)) -> Block:
    return layout(parse(text), shape)[-1]


def test_repeats_are_unrolled_and_the_stride_acts_in_the_first() -> None:
    blocks = layout(parse("conv_c16 | basic_r3_s2_c32 | maxpool | mbconv_c40"), (33, 20, 3))
    assert [block.name for block in blocks] == [
        "stage1_block1",
        "stage2_block1",
        "stage2_block2",
        "stage2_block3",
        "stage3_block1",
        "stage4_block1",
    ]
    assert [(block.stage, block.repeat) for block in blocks] == [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (3, 0)]
    assert [block.stride for block in blocks] == [1, 2, 1, 1, 2, 1]
    assert [(block.in_filters, block.filters) for block in blocks] == [
        (3, 16),
        (16, 32),
        (32, 32),
        (32, 32),
        (32, 32),
        (32, 40),
    ]
    assert [block.out_size for block in blocks] == [(33, 20), (17, 10), (17, 10), (17, 10), (9, 5), (9, 5)]
    assert [block.in_size for block in blocks[1:]] == [block.out_size for block in blocks[:-1]]


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [1, 2, 7, 32])
def test_same_padding(side: int, stride: int) -> None:
    kept = len(range(0, side, stride))
    assert last(f"conv_s{stride}_c8", (side, 12, 3)).out_size[0] == kept


def test_open_sizes_stay_open() -> None:
    blocks = layout(parse("conv_s2_c8 | maxpool"), (None, 9, 3))
    assert [block.out_size for block in blocks] == [(None, 5), (None, 3)]


@pytest.mark.parametrize(
    ("stage", "shortcut"),
    [
        ("conv_c16", "none"),
        ("maxpool_s1", "none"),
        ("basic_c16", "identity"),
        ("basic_c24", "projection"),
        ("basic_s2_c16", "projection"),
        ("bottleneck_c16", "identity"),
        ("bottleneck_c32", "projection"),
        ("bottleneck_s2_c16", "projection"),
        ("mbconv_c16", "identity"),
        ("mbconv_e1_c16", "identity"),
        ("mbconv_c24", "none"),
        ("mbconv_s2_c16", "none"),
    ],
)
def test_shortcuts(stage: str, shortcut: str) -> None:
    assert last(f"conv_c16 | {stage}").shortcut == shortcut


@pytest.mark.parametrize(
    ("stage", "mid"),
    [
        ("bottleneck_c256", 64),
        ("bottleneck_c256_w128", 128),
        ("bottleneck_c256_w32_g4", 128),  # int(256/4 · 32/64) · 4
        ("bottleneck_c256_w4_g32", 128),
        ("bottleneck_c100_w48_g3", 54),  # int(18.75) · 3
        ("mbconv_c8", 96),
        ("mbconv_e1_c8", 16),
        ("mbconv_e2.5_c8", 40),
        ("mbconv_e1.1_c8", 17),  # int(17.6)
        ("basic_c24", 24),
        ("conv_c24", 24),
        ("maxpool", 16),
    ],
)
def test_widths_in_the_middle(stage: str, mid: int) -> None:
    assert last(f"conv_c16 | {stage}").mid_filters == mid


@pytest.mark.parametrize(
    ("stage", "squeeze"),
    [
        ("basic_c64", 0),
        ("basic_c64_se0.25", 4),  # of the 16 filters that arrive
        ("bottleneck_c64_se1", 16),
        ("mbconv_c64_se0.25", 4),
        ("mbconv_c64_se0.3", 4),  # int(4.8)
        ("mbconv_c64_se0.01", 1),
        ("conv_c64", 0),
    ],
)
def test_squeeze_widths_follow_the_input_filters(stage: str, squeeze: int) -> None:
    assert last(f"conv_c16 | {stage}").squeeze_filters == squeeze


def test_squeeze_widths_change_within_a_stage() -> None:
    blocks = layout(parse("conv_c16 | basic_r2_c64_se0.25"), (8, 8, 3))
    assert [block.squeeze_filters for block in blocks] == [0, 4, 16]


def test_the_rest_is_taken_over() -> None:
    block = last("conv_c16 | bottleneck_k5_s2_c64_g2_w32_agelu")
    assert (block.op, block.kernel, block.groups, block.activation) == ("bottleneck", 5, 2, "gelu")
    assert (last("conv_c16_g1").expansion, last("mbconv_c16").expansion, last("mbconv_e3_c16").expansion) == (1, 6, 3)
    assert (last("maxpool").activation, last("maxpool").kernel, last("maxpool").stride) == ("linear", 3, 2)
    assert last("conv_c16").activation == "relu"


@pytest.mark.parametrize(
    ("text", "token", "stage", "position"),
    [
        ("conv_c8_g2", "g2", 1, 9),
        ("conv_c8 | conv_k1_s2_c12_g3_arelu6", "g3", 2, 26),
        ("conv_c9 | maxpool | conv_c8_g4", "g4", 3, 29),
        ("conv_c9 | conv_c12_g3 | conv_r2_c10_g5", "g5", 3, 37),
    ],
)
def test_groups_must_divide_what_arrives(text: str, token: str, stage: int, position: int) -> None:
    with pytest.raises(ArchitectureError, match=r"do not divide the .* filters that arrive") as caught:
        layout(parse(text), (8, 8, 3))
    assert (caught.value.token, caught.value.stage, caught.value.position) == (token, stage, position)
    assert text[position - 1 :].startswith(token)


def test_groups_that_divide_are_fine() -> None:
    assert last("conv_c9_g3 | conv_r2_c18_g9").groups == 9


def test_a_space_has_no_layout() -> None:
    with pytest.raises(ArchitectureError, match=r"stage2\.k is open .*freeze or sample"):
        layout(parse("conv_c8 | mbconv_k{3,5}_c8"), (8, 8, 3))


@pytest.mark.parametrize(
    "shape", [(), (32,), (32, 32), (1, 32, 32, 3), (0, 32, 3), (32, -1, 3), (8, 8, 0), (8, 8, None)]
)
def test_wrong_shapes(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(ValueError, match=r"input shape .*\(32, 32, 3\)"):
        layout(parse("conv_c8"), shape)
