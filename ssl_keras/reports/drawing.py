"""An architecture as a drawing made of HTML: a funnel of stages, and where the work is."""

from collections.abc import Sequence
from html import escape
from itertools import groupby

from ssl_keras.architecture import families
from ssl_keras.architecture.cost import BlockCost, cost
from ssl_keras.architecture.grammar import parse


def architecture_drawing(text: str, input_shape: tuple[int, int, int]) -> str:
    """One row per stage, from the image down: feature map as a bar, its size, the string, and its share of the MACs.

    Args:
        text: the architecture string.
        input_shape: (H, W, C) of the images.

    Returns:
        HTML that takes its colours from the page.
    """
    architecture = parse(text)
    total = cost(architecture, input_shape)
    stages = [list(blocks) for _, blocks in groupby(total.blocks, key=lambda item: item.block.stage)]
    tokens = [str(stage) for stage in architecture.stages]
    rows = [_stage(token, blocks, input_shape, total.macs) for token, blocks in zip(tokens, stages, strict=True)]
    caption = (
        f"{escape(families.name_of(architecture))}: {total.params / 1e6:.2f} M parameters, "
        f"{total.macs / 1e6:.0f} M multiply-adds on {input_shape[0]} × {input_shape[1]} pixels"
    )
    return f"""<figure class="architecture"><figcaption>{caption}</figcaption>
<div class="stage head"><span>feature map</span><span>stage</span><span>share of the work</span></div>
{"".join(rows)}<p class="string"><code>{escape(str(architecture))}</code></p></figure>"""


def _stage(token: str, blocks: Sequence[BlockCost], input_shape: tuple[int, int, int], all_macs: int) -> str:
    last = blocks[-1].block
    side = last.out_size[0] or 1
    width = 12 + 88 * side / input_shape[0]
    share = 100 * sum(item.macs for item in blocks) / all_macs if all_macs else 0.0
    params = sum(item.params for item in blocks)
    return f"""<div class="stage"><span class="map"><i style="width:{width:.0f}%"></i>
<b>{last.out_size[0]} × {last.out_size[1]} × {last.filters}</b></span>
<span><code>{escape(token)}</code> <small>{params:,} parameters</small></span>
<span class="share"><i style="width:{share:.1f}%"></i><b>{share:.0f} %</b></span></div>
"""
