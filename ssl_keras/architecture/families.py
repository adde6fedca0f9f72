"""Known architectures by name, and names for any architecture."""

import difflib
import hashlib
from functools import cache

from ssl_keras.architecture.grammar import SEPARATOR, Architecture, parse
from ssl_keras.architecture.published import MOBILENET_V2, PROXYLESS, RESNETS, multiple_of_8
from ssl_keras.architecture.study import study as study

# Widths that `name_of` recognises besides 1.
WIDTHS = (1, 0.0625, 0.125, 0.25, 0.5, 0.75, 1.25, 1.5, 2, 3, 4, 0.35, 1.2, 1.4, 1.6, 1.8, 2.2, 2.4, 2.6, 2.8)


def names() -> tuple[str, ...]:
    """Every name that `get` knows."""
    return (*RESNETS, "mobilenet_v2", "proxyless_space")


def get(name: str, width: float = 1, small_images: bool = False) -> Architecture:
    """A known architecture, or the known space "proxyless_space".

    ResNets are v1.5: stage filters 64, 128, 256, 512 (four times that for bottlenecks), the stride in the k×k
    convolution. MobileNetV2 and the ProxylessNAS space: filters round to the nearest multiple of 8, at least 8,
    never under 90 % of the wish, and the last convolution does not narrow below 1280.

    NOTE: at small images MobileNetV2 and the space keep their stem and give it stride 1; our choice.

    Args:
        name: one of `names()`.
        width: multiplies all filters; a ResNet's first 64 must stay a whole number.
        small_images: for images up to 64 px; the ResNet stem becomes a 3×3 convolution of stride 1, no pooling.

    Raises:
        ValueError: unknown name, or a width that the family cannot have.
    """
    if name not in names():
        near = difflib.get_close_matches(name.lower(), names(), 1, 0.0)[0]
        raise ValueError(f"no architecture called {name!r}; nearest is {near!r}, all are {', '.join(names())}")
    if not 0 < width < 1e4:
        raise ValueError(f"width {width} of {name} must be above 0 and below 10000; 1 is the published network")
    if name in RESNETS:
        stages = _resnet(name, width, small_images)
    else:
        body = _mobilenet_v2(width) if name == "mobilenet_v2" else _proxyless(width)
        stem = f"conv_s{1 if small_images else 2}_c{multiple_of_8(32 * width)}_arelu6"
        stages = [stem, *body, f"conv_k1_c{multiple_of_8(1280 * max(1, width))}_arelu6"]
    return parse(SEPARATOR.join(stages))


def name_of(architecture: Architecture) -> str:
    """A short name for tables: "resnet50", "resnet18-x0.25-small", else "net-" and 8 hex digits.

    The suffixes say width and small images; the digits are the SHA-256 of the canonical string.
    """
    known = _known().get(architecture)
    return known or "net-" + hashlib.sha256(str(architecture).encode()).hexdigest()[:8]


@cache
def _known() -> dict[Architecture, str]:
    """Where rounding makes two widths one architecture, the first of `WIDTHS` names it."""
    found: dict[Architecture, str] = {}
    for name in names():
        for width in WIDTHS:
            if name in RESNETS and 64 * width % 1:
                continue
            for small in (False, True):
                label = name + (f"-x{width:g}" if width != 1 else "") + ("-small" if small else "")
                found.setdefault(get(name, width, small), label)
    return found


def _resnet(name: str, width: float, small_images: bool) -> list[str]:
    op, depths = RESNETS[name]
    if 64 * width % 1:
        near = max(1, round(64 * width)) / 64
        raise ValueError(f"width {width} gives {name} {64 * width:g} filters; nearest width that fits is {near:g}")
    base = int(64 * width)
    stages = [f"conv_c{base}"] if small_images else [f"conv_k7_s2_c{base}", "maxpool"]
    for index, depth in enumerate(depths):
        filters = base * 2**index * (4 if op == "bottleneck" else 1)
        stages.append(f"{op}_r{depth}_s{2 if index else 1}_c{filters}")
    return stages


def _mobilenet_v2(width: float) -> list[str]:
    return [
        f"mbconv_r{repeats}_s{stride}_e{expansion}_c{multiple_of_8(filters * width)}_arelu6"
        for expansion, filters, repeats, stride in MOBILENET_V2
    ]


def _proxyless(width: float) -> list[str]:
    """21 blocks that decide kernel and expansion each for itself, and their presence where shape allows."""
    stages = [f"mbconv_e1_c{multiple_of_8(16 * width)}_arelu6"]
    for filters, blocks, stride in PROXYLESS:
        common = f"k{{3,5,7}}_e{{3,6}}_c{multiple_of_8(filters * width)}_arelu6"
        stages.append(f"mbconv_s{stride}_{common}")
        stages += [f"mbconv_r{{0,1}}_{common}"] * (blocks - 1)
    return stages
