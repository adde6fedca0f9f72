"""What families of networks are made of, as published."""

# Blocks per stage.
RESNETS = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
    "resnet200": ("bottleneck", (3, 24, 36, 3)),
}

# (expansion, filters, repeats, stride) per stage.
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

# (filters, blocks, stride of the first) per group of ProxylessNAS.
PROXYLESS = ((24, 4, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 4, 2), (320, 1, 1))


def multiple_of_8(wish: float) -> int:
    """Filters of a MobileNet: the nearest multiple of 8, at least 8, never under 90 % of the wish."""
    rounded = max(8, int(wish + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wish else rounded
