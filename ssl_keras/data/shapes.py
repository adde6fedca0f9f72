"""Rendered scenes: a coloured, textured object over a cluttered background.

What the object is (its shape) and how it looks and is seen (colour, texture, lighting, pose, blur, position,
background) are drawn independently, so each is a label set of its own and rewards different features: the
direction of the light is nearly linear in the pixels, texture and background survive in unspecific features, and
shape must be learned. Every image is a function of its split and index alone.

NOTE: all sizes, strengths and counts are our choice, found by measuring the headroom that the tests assert and
what a short contrastive pre-training learns: strong light, blur and saturated backgrounds are shared by two crops
of an image and were learned in place of the shape, so here they are weak and the object is large and vivid.
"""

from collections.abc import Mapping

import numpy as np

from ssl_keras.data.outlines import OUTLINES, look_up
from ssl_keras.data.patterns import BACKGROUNDS, TEXTURES, draw, mix, uniform

SPLITS: Mapping[str, int] = {"train": 20_000, "test": 4_000}
"""Images per split."""

SIDES = (32, 64)
"""Smallest and largest side in pixels."""

LABEL_SETS: Mapping[str, tuple[str, ...]] = {
    "shape": tuple(OUTLINES),
    "texture": tuple(TEXTURES),
    "color": ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"),
    "background": tuple(BACKGROUNDS),
    "lighting": ("right", "below right", "below", "below left", "left", "above left", "above", "above right"),
    "position": tuple(
        f"{row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "centre", "right")
    ),
    "pose": ("far left", "left", "upright", "right", "far right"),
    "blur": ("sharp", "soft", "blurred"),
}
"""Class names of each factor; classes are equally likely and factors independent."""

Factors = dict[str, np.ndarray]

_CHUNK = 64  # images drawn at once, so that they stay in the cache

_HUES = np.array([0.0, 0.075, 0.15, 0.33, 0.5, 0.62, 0.76, 0.9], np.float32)
_BLUR_PASSES = (0, 1, 2)  # of the filter (1, 2, 1)/4 at 32 px: standard deviations 0, 0.7 and 1 pixel


def factors(split: str, indices: np.ndarray) -> Factors:
    """The factors of some images: class indices under the names of `LABEL_SETS`, and continuous ones.

    Rows of different images may be combined freely before `render`, for the same content in another style.

    Args:
        split: ``train`` or ``test``.
        indices: int (n,), from 0.

    Returns:
        int64 (n,) per label set; ``key`` uint64 (n,), which seeds all else; float32 (n,) otherwise: ``x`` and
        ``y`` of the object's middle and its ``size``, as fractions of the side; ``angle`` and ``light`` in
        radians; ``hue`` in [0, 1).

    Raises:
        ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"shapes has no split '{split}'; it has: {', '.join(SPLITS)}.")
    key = mix(np.asarray(indices, np.uint64), 1000 + list(SPLITS).index(split))
    found: Factors = {"key": key}
    for stream, (name, classes) in enumerate(LABEL_SETS.items()):
        found[name] = (mix(key, stream) % np.uint64(len(classes))).astype(np.int64)
    found["size"] = uniform(key, 20, 0.56, 0.76)
    found["x"] = (found["position"] % 3 - 1) * np.float32(0.13) + uniform(key, 21, -0.02, 0.02)
    found["y"] = (found["position"] // 3 - 1) * np.float32(0.13) + uniform(key, 22, -0.02, 0.02)
    found["angle"] = np.deg2rad((found["pose"] - 2) * 15.0 + uniform(key, 23, -5, 5)).astype(np.float32)
    found["light"] = (found["lighting"] * np.pi / 4 + uniform(key, 24, -0.2, 0.2)).astype(np.float32)
    found["hue"] = (_HUES[found["color"]] + uniform(key, 25, -0.02, 0.02)) % np.float32(1)
    return found


def render(scene: Factors, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Draw scenes.

    Args:
        scene: as `factors` returns them, n rows.
        side: of the images in pixels.

    Returns:
        images uint8 (n, side, side, 3) and foreground masks uint8 (n, side, side), 1 on the object.
    """
    parts = [
        _render({name: values[start : start + _CHUNK] for name, values in scene.items()}, side)
        for start in range(0, len(scene["key"]), _CHUNK)
    ]
    return np.concatenate([images for images, _ in parts]), np.concatenate([masks for _, masks in parts])


def _render(scene: Factors, side: int) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / side - np.float32(0.5)
    x, y = np.broadcast_to(axis, (side, side)), np.broadcast_to(axis[:, None], (side, side))
    towards = np.cos(scene["light"])[:, None, None] * x + np.sin(scene["light"])[:, None, None] * y
    pixels = _per_image(scene["size"]) * np.float32(side / 2)
    distance = _distance(scene, x, y, 0.0) * pixels
    inside = np.clip(np.float32(0.5) - distance, 0, 1)
    shadow = np.clip(np.float32(0.5) - _distance(scene, x, y, 0.06) * pixels / np.float32(side / 11), 0, 1)
    picture = _background(scene, x, y)
    picture *= (1 - np.float32(0.55) * shadow)[:, None]
    object_ = _object(scene, x, y, distance * np.float32(32 / side))
    picture += inside[:, None] * (object_ - picture)
    strength = _per_image(uniform(scene["key"], 30, 0.4, 0.55))
    exposure = _per_image(uniform(scene["key"], 31, 0.95, 1.1))
    # The light falls on the object; the scene behind it is lit so weakly that pixels alone do not tell from where.
    picture *= (exposure * (1 + (np.float32(0.1) + strength * inside) * towards))[:, None]
    picture = _blurred(picture, scene["blur"], side)
    images = (np.clip(picture, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)), (inside > 0.5).astype(np.uint8)


def _per_image(values: np.ndarray) -> np.ndarray:
    return values[:, None, None]


def _turned(x: np.ndarray, y: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in axes that are turned by `angle`, (n, side, side)."""
    cosine, sine = _per_image(np.cos(angle)), _per_image(np.sin(angle))
    return cosine * x + sine * y, cosine * y - sine * x


def _local(scene: Factors, x: np.ndarray, y: np.ndarray, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in the object's axes, 1 at its edge; the object moved by `shift` sides away from the light."""
    left = _per_image(scene["x"] - np.float32(shift) * np.cos(scene["light"]))
    top = _per_image(scene["y"] - np.float32(shift) * np.sin(scene["light"]))
    u, v = _turned(x - left, y - top, scene["angle"])
    half = _per_image(np.float32(2) / scene["size"])
    return u * half, v * half


def _distance(scene: Factors, x: np.ndarray, y: np.ndarray, shift: float) -> np.ndarray:
    return look_up(scene["shape"], *_local(scene, x, y, shift))


def _background(scene: Factors, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, 3, side, side): a pattern between two muted colours, and three patches that lie on it."""
    key = scene["key"]
    u, v = _turned(x, y, uniform(key, 40, 0.25, 0.55))
    periods = _per_image(uniform(key, 41, 5.5, 6.5))
    u, v = u * periods + _per_image(uniform(key, 42)), v * periods + _per_image(uniform(key, 43))
    pattern = draw(BACKGROUNDS, scene["background"], u, v, key)[:, None]
    dark, light = _muted(key, 50, 0.34, 0.44), _muted(key, 60, 0.6, 0.75)
    picture = dark + pattern * (light - dark)
    for patch in range(3):
        stream = 70 + 10 * patch
        u, v = _turned(
            x - _per_image(uniform(key, stream, -0.5, 0.5)),
            y - _per_image(uniform(key, stream + 1, -0.5, 0.5)),
            uniform(key, stream + 2, 0, 3.2),
        )
        wide, high = uniform(key, stream + 3, 0.06, 0.2), uniform(key, stream + 4, 0.06, 0.2)
        cover = np.maximum(np.abs(u) - _per_image(wide), np.abs(v) - _per_image(high))
        cover = np.float32(0.6) * np.clip(np.float32(0.5) - cover * np.float32(x.shape[0]), 0, 1)[:, None]
        picture += cover * (_muted(key, stream + 5, 0.25, 0.9) - picture)
    return picture


def _muted(key: np.ndarray, stream: int, low: float, high: float) -> np.ndarray:
    hue, saturation = uniform(key, stream), uniform(key, stream + 1, 0.0, 0.15)
    return _rgb(hue, saturation, uniform(key, stream + 2, low, high))


def _object(scene: Factors, x: np.ndarray, y: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """(n, 3, side, side): the textured surface, lit from one side, with a dark rim."""
    key = scene["key"]
    u, v = _local(scene, x, y, 0.0)
    lit = 1 + np.float32(0.22) * (
        _per_image(np.cos(scene["light"] - scene["angle"])) * u
        + _per_image(np.sin(scene["light"] - scene["angle"])) * v
    )
    rim = 1 - np.float32(0.5) * np.clip(distance + np.float32(1.6), 0, 1)
    slant = uniform(key, 44, -0.15, 0.15)
    u, v = _turned(u, v, slant)
    periods = _per_image(uniform(key, 45, 1.8, 2.0))
    texture = draw(TEXTURES, scene["texture"], u * periods + _per_image(uniform(key, 46)), v * periods, key)
    bright = _rgb(scene["hue"], uniform(key, 47, 0.55, 0.75), uniform(key, 48, 0.9, 1.0))
    deep = _rgb(scene["hue"], uniform(key, 49, 0.85, 1.0), uniform(key, 39, 0.45, 0.6))
    return (deep + texture[:, None] * (bright - deep)) * (lit * rim)[:, None]


def _rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """HSV (n,) each, to RGB (n, 3, 1, 1)."""
    ramp = np.abs((hue[:, None] * 6 + np.array([0, 4, 2], np.float32)) % 6 - 3) - 1
    chroma = 1 - saturation[:, None] * (1 - np.clip(ramp, 0, 1))
    return (value[:, None] * chroma)[..., None, None].astype(np.float32)


def _blurred(picture: np.ndarray, blur: np.ndarray, side: int) -> np.ndarray:
    for kind, passes in enumerate(_BLUR_PASSES):
        rows = np.flatnonzero(blur == kind)
        if passes and rows.size:
            some = picture[rows]
            # Variances add, and grow with the square of the scale.
            for _ in range(round(passes * (side / 32) ** 2)):
                for axis in (2, 3):
                    some = _smooth(some, axis)
            picture[rows] = some
    return picture


def _smooth(picture: np.ndarray, axis: int) -> np.ndarray:
    """The filter (1, 2, 1)/4 along an axis, the edge repeated."""
    padded = np.pad(picture, [(1, 1) if dimension == axis else (0, 0) for dimension in range(4)], mode="edge")
    before, after = np.moveaxis(padded, axis, 0)[:-2], np.moveaxis(padded, axis, 0)[2:]
    return np.float32(0.25) * np.moveaxis(before + after, 0, axis) + np.float32(0.5) * picture
