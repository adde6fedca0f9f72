"""Compares converted encoders with Haiku's own networks, for the seven that were released.

    pip install -e ".[cpu,convert]"
    python tools/prove_conversion.py        # a quarter of an hour on two cores; or name some: resnet50 resnet50@2

A network of Haiku's gets random weights, and BN scales, offsets and averages that differ from their initial values: the
averages are Haiku's own, of two training steps on random images. It is saved in the released layout, converted, and
both are shown the same random images. Results go to tools/results/convert.json, from which the README's table is made.
"""

import argparse
import gc
import json
import os
import pickle
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import convert_checkpoint
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

RELEASED = ("resnet50", "resnet50@2", "resnet50@4", "resnet101", "resnet152", "resnet200", "resnet200@2")
RESULT = Path(__file__).parent / "results" / "convert.json"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What the released evaluation subtracts from images in [0, 1], and divides them by."""


def compare(network: str, folder: Path, *, images: int = 2, side: int = 224, seed: int = 0) -> dict[str, Any]:
    """One row of results; differences are the largest of any component, relative to the RMS of Haiku's embeddings.

    ``Haiku's own rounding`` and ``ours`` are distances to Haiku's network in float64, ``two images`` that between the
    embeddings of two images: what a difference must be small against.

    Args:
        network: As in `RELEASED`.
        folder: For the checkpoint, which is removed again.
        images: Number of images B.
        side: Their height and width, in pixels.
        seed: Of weights and images.
    """
    rng = np.random.default_rng(seed)
    checkpoint, shown = folder / "checkpoint.pkl", pictures(rng, images, side)
    want, exact = _save_random(network, rng, checkpoint, shown)
    gc.collect()
    encoder = convert_checkpoint.convert(checkpoint, network)
    checkpoint.unlink()
    got = encoder.predict_on_batch(shown)
    return {
        "network": network,
        "parameters, M": round(sum(int(np.prod(weight.shape)) for weight in encoder.trainable_weights) / 1e6, 2),
        "embedding": encoder.embedding_size,
        "largest difference": _apart(got, want, want),
        "Haiku's own rounding": _apart(want, exact, want),
        "ours": _apart(got, exact, want),
        "two images": _apart(want[1:], want[:-1], want),
    }


def _apart(one: np.ndarray, other: np.ndarray, scale: np.ndarray) -> float:
    """The largest difference of any component, relative to the root mean square of a third array, to two digits."""
    return float(f"{np.max(np.abs(one - other), initial=0) / np.sqrt(np.mean(scale**2)):.1e}")


def pictures(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Random images (B, side, side, 3) in [0, 1]: 7 by 7 patches of random colour under noise, so that no two agree."""
    patches = rng.random((count, 7, 7, 3)).repeat(-(-side // 7), 1).repeat(-(-side // 7), 2)[:, :side, :side]
    return np.clip(patches + rng.normal(0, 0.1, patches.shape), 0, 1).astype(np.float32)


def _save_random(
    network: str, rng: np.random.Generator, checkpoint: Path, shown: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Saves a random network as the released ones are, and gives its embeddings (B, D) in float32 and in float64."""
    model = hk.without_apply_rng(hk.transform_with_state(lambda x, training: _torso(network)(x, training)))
    params, state = jax.eval_shape(lambda: model.init(jax.random.PRNGKey(0), jnp.zeros((1, 64, 64, 3)), True))
    params = {
        module: {key: _draw(rng, module, key, leaf) for key, leaf in leaves.items()}
        for module, leaves in params.items()
    }
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
    for _ in range(2):
        _, state = model.apply(params, state, _normalised(pictures(rng, 4, 112)), True)
    write_released(checkpoint, params, state)
    embeddings, _ = model.apply(params, state, _normalised(shown), False)
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (params, state, shown))
        precise, _ = model.apply(*exact[:2], _normalised(exact[2]), False)
    return np.asarray(embeddings), np.asarray(precise)


def _torso(network: str) -> Any:
    """Haiku's ResNet up to the average pool, under the module name that the released files have."""
    family, _, wide = network.partition("@")
    width, config = int(wide or 1), hk.nets.ResNet.CONFIGS[int(family.removeprefix("resnet"))]
    model = hk.nets.ResNet(
        **config | {"channels_per_group": [width * filters for filters in config["channels_per_group"]]},
        num_classes=1,
        initial_conv_config={"output_channels": 64 * width},
        name=f"res_net{family.removeprefix('resnet')}",
    )
    model.logits = lambda pooled: pooled
    return model


def _draw(rng: np.random.Generator, module: str, key: str, leaf: Any) -> Any:
    """Random weights of variance 2 / inputs, BN scales around 1 and offsets around 0.

    The last scales of the residual branches, which begin at 0 in Haiku, stay below 0.3: around 1, a random network of
    200 layers magnifies rounding, whoever computes it (Haiku in float32 is then 2.3e-3 from Haiku in float64).
    """
    if key == "w":
        spread = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return jnp.asarray(rng.standard_normal(leaf.shape, np.float32) * np.float32(spread))
    low, high = (-0.5, 0.5) if key == "offset" else (0.0, 0.3) if module.endswith("batchnorm_2") else (0.5, 1.5)
    return jnp.asarray(rng.uniform(low, high, leaf.shape), jnp.float32)


def _normalised(images: np.ndarray) -> Any:
    return (jnp.asarray(images) - jnp.asarray(MEAN)) / jnp.asarray(DEVIATION)


def write_released(checkpoint: Path, params: Any, state: Any) -> None:
    """The layout: protocol 2, a leading device axis, Haiku's mappings, heads beside the encoder.

    Weights are JAX's arrays and states NumPy's, so that both are read.
    """
    head = {"projector/linear": {"w": jnp.ones((2, 3)), "b": jnp.zeros(3)}}
    experiment = {
        "online_params": hk.data_structures.to_immutable_dict(jax.tree.map(lambda leaf: leaf[None], params | head)),
        "online_state": jax.tree.map(lambda leaf: np.asarray(leaf)[None], state),
    }
    with checkpoint.open("wb") as stream:
        pickle.dump({"experiment_state": experiment, "step": 2, "rng": jnp.zeros(2, jnp.uint32)}, stream, protocol=2)


def main() -> None:
    """Compares the networks, and writes the result file when they are all seven."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=RELEASED, help=f"of {', '.join(RELEASED)}; all when left out")
    networks, rows = parser.parse_args().networks, []
    for network in networks:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(compare(network, Path(folder)))
        print(rows[-1], flush=True)
        gc.collect()
    if tuple(networks) == RELEASED:
        packages = {name: version(name) for name in ("dm-haiku", "jax", "keras", "tensorflow-cpu")}
        about = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "images": "2 random ones of 224 px, float32",
        }
        RESULT.write_text(json.dumps(about | {"packages": packages, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
