"""Released checkpoints as encoders: against a reading of Haiku's layout written here, and against Haiku itself."""

import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import convert_checkpoint
import inert_pickle
import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk

RELEASED = ("resnet50", "resnet50@2", "resnet50@4", "resnet101", "resnet152", "resnet200", "resnet200@2")
BOTTLENECKS = (
    "conv_k7_s2_c8 | maxpool | bottleneck_r2_c16 | bottleneck_r1_s2_c24 | bottleneck_r3_s2_c32 | bottleneck_r1_s2_c40"
)
TINY = {"bottleneck": BOTTLENECKS, "basic": "resnet18@0.125"}
MOMENTS = ("mean_ema", "var_ema")
Document = dict[str, Any]


def released(network: str, *, devices: int = 2, seed: int = 0) -> Document:
    """A document of the released layout with random contents; each device but the first holds other numbers.

    The shapes are those that Haiku's ResNet gives its modules, written out by hand from the architecture.
    """
    rng = np.random.default_rng(seed)
    params: Document = {"projector/linear": {"w": rng.random((devices, 2, 2))}}
    state: Document = {}

    def conv(name: str, kernel: int, inputs: int, outputs: int) -> None:
        spread = (2 / (kernel**2 * inputs)) ** 0.5
        params[name] = {"w": rng.normal(0, spread, (devices, kernel, kernel, inputs, outputs)).astype(np.float32)}

    def norm(name: str, filters: int) -> None:
        def draw(low: float, high: float) -> np.ndarray:
            return rng.uniform(low, high, (devices, 1, 1, 1, filters)).astype(np.float32)

        params[name] = {"scale": draw(0.5, 1.5), "offset": draw(-0.5, 0.5)}
        for moment, low in zip(MOMENTS, (-0.5, 0.5), strict=True):
            ages = np.full(devices, 2, np.int32)
            state[f"{name}/~/{moment}"] = {"average": draw(low, 1.5), "hidden": draw(low, 1.5), "counter": ages}

    torso = "res_net50/~/"
    stages = convert_checkpoint.named_architecture(network, 224).stages
    arriving = stages[0].number("c")
    conv(f"{torso}initial_conv", 7, 3, arriving)
    norm(f"{torso}initial_batchnorm", arriving)
    for group, stage in enumerate(stages[2:]):
        leaving = stage.number("c")
        sizes = (3, 3) if stage.op == "basic" else (1, 3, 1)
        for block in range(stage.number("r")):
            home = f"{torso}block_group_{group}/~/block_{block}/~/"
            if block == 0 and (arriving != leaving or group):
                conv(f"{home}shortcut_conv", 1, arriving, leaving)
                norm(f"{home}shortcut_batchnorm", leaving)
            for index, kernel in enumerate(sizes):
                outputs = leaving if stage.op == "basic" or index == 2 else leaving // 4
                conv(f"{home}conv_{index}", kernel, arriving, outputs)
                norm(f"{home}batchnorm_{index}", outputs)
                arriving = outputs
    return {"experiment_state": {"online_params": params, "online_state": state}, "step": 1}


def forward(document: Document, images: np.ndarray) -> np.ndarray:
    """Haiku's ResNet of version 1.5 in evaluation, on the first device's numbers, by TensorFlow's plain ops."""
    params, state = document["experiment_state"]["online_params"], document["experiment_state"]["online_state"]
    torso = "res_net50/~/"

    def conv_norm(x: Any, conv: str, norm: str, stride: int = 1) -> Any:
        x = tf.nn.conv2d(x, params[conv]["w"][0], stride, "SAME")
        mean, variance = (state[f"{norm}/~/{moment}"]["average"][0] for moment in MOMENTS)
        return (x - mean) / np.sqrt(variance + 1e-5) * params[norm]["scale"][0] + params[norm]["offset"][0]

    x = tf.constant((images - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], tf.float32)
    x = tf.nn.relu(conv_norm(x, f"{torso}initial_conv", f"{torso}initial_batchnorm", 2))
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    homes = dict.fromkeys(name.rsplit("/", 1)[0] + "/" for name in params if "/block_" in name)
    for home in homes:
        stride = 2 if home.endswith("block_0/~/") and "block_group_0" not in home else 1
        last = 2 if f"{home}conv_2" in params else 1
        short = x
        if f"{home}shortcut_conv" in params:
            short = conv_norm(x, f"{home}shortcut_conv", f"{home}shortcut_batchnorm", stride)
        for index in range(last + 1):
            strided = index == (1 if last == 2 else 0)
            x = conv_norm(x, f"{home}conv_{index}", f"{home}batchnorm_{index}", stride if strided else 1)
            x = tf.nn.relu(x if index < last else x + short)
    return np.mean(x, (1, 2))


def saved(folder: Path, document: Any) -> Path:
    file = folder / "released.pkl"
    file.write_bytes(pickle.dumps(document, 2))
    return file


def images(count: int = 2, side: int = 65) -> np.ndarray:
    return np.random.default_rng(1).random((count, side, side, 3), np.float32)


def assert_close(got: Any, want: np.ndarray) -> None:
    """To 1e-4 of the root mean square of what is wanted."""
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * float(np.sqrt(np.mean(want**2))))


@pytest.mark.parametrize("network", TINY.values(), ids=TINY)
@pytest.mark.parametrize("named", [True, False], ids=["named", "deduced"])
def test_the_encoder_is_the_network(network: str, named: bool, tmp_path: Path) -> None:
    document = released(network)
    encoder = convert_checkpoint.convert(saved(tmp_path, document), network if named else None)
    assert encoder.architecture == convert_checkpoint.named_architecture(network, 224)
    for side in (64, 65):  # where Haiku's and Keras's padding could differ
        assert_close(encoder(images(side=side)), forward(document, images(side=side)))


def test_every_variable_of_the_encoder_comes_from_the_file() -> None:
    encoder = sk.build_encoder(BOTTLENECKS, (224, 224, 3))
    variables = list(convert_checkpoint.haiku_names(encoder).values())
    assert {id(variable) for variable in variables} == {id(weight) for weight in encoder.weights}
    assert len(variables) == len(encoder.weights)


def _on_one_device(document: Document) -> Document:
    for modules in document["experiment_state"].values():
        for arrays in modules.values():
            arrays.update({key: array[0] for key, array in arrays.items()})
    return document


def test_a_file_without_device_axis(tmp_path: Path) -> None:
    encoder = convert_checkpoint.convert(saved(tmp_path, _on_one_device(released(BOTTLENECKS))))
    assert_close(encoder(images()), forward(released(BOTTLENECKS), images()))


def test_a_file_of_byols(tmp_path: Path) -> None:
    """BYOL's training cuts a checkpoint to one device before it saves it, and keeps a named tuple."""
    experiment = _on_one_device(released(BOTTLENECKS))["experiment_state"]
    state = inert_pickle.ByolState(**experiment, target_params={}, target_state={}, opt_state=[])
    content = pickle.dumps({"experiment_state": state, "step": 1}, 2)
    ours, byols = b"cinert_pickle\nByolState\n", b"cbyol.byol_experiment\n_ByolExperimentState\n"
    assert ours in content
    file = tmp_path / "byol.pkl"
    file.write_bytes(content.replace(ours, byols))
    assert_close(convert_checkpoint.convert(file)(images()), forward(released(BOTTLENECKS), images()))


@pytest.mark.parametrize("name", RELEASED)
def test_released_networks_are_read_off_their_shapes(name: str) -> None:
    architecture = convert_checkpoint.named_architecture(name, 224)
    shapes: dict[str, Any] = {}
    arriving = 3
    for group, stage in enumerate(architecture.stages):
        if stage.op == "conv":
            shapes["initial_conv/w"] = np.empty((7, 7, 3, stage.number("c")))
        for block in range(stage.number("r") if stage.op == "bottleneck" else 0):
            # Views of one number: the shapes without the memory.
            leaving = stage.number("c")
            for index, size in enumerate([(1, 1, arriving, 1), (3, 3, 1, 1), (1, 1, 1, leaving)]):
                shapes[f"block_group_{group - 2}/block_{block}/conv_{index}/w"] = np.broadcast_to(0, size)
    assert convert_checkpoint.deduce(shapes) == architecture
    assert convert_checkpoint.spelled(architecture) == name


def _without(document: Document, module: str) -> Document:
    del document["experiment_state"]["online_params"][f"res_net50/~/{module}"]
    return document


def _with_a_twin(document: Document) -> Document:
    params = document["experiment_state"]["online_params"]
    return {"experiment_state": {"online_params": {"other/~/initial_conv": params["res_net50/~/initial_conv"]} | params,
                                 "online_state": {}}}  # fmt: skip


WRONG = {
    "another network": (lambda: released(BOTTLENECKS), "resnet50", "does not hold resnet50: missing block_group_0/.*"
                        "and .* more; of another shape initial_conv/w .*; its blocks are those of conv_k7_s2_c8"),
    "a deeper one": (lambda: released(BOTTLENECKS), BOTTLENECKS.replace("r3", "r2"), "left over block_group_2/block_2"),
    "a module less": (lambda: _without(released(BOTTLENECKS), "initial_batchnorm"), None,
                      "missing initial_batchnorm/scale, initial_batchnorm/offset$"),
    "no stem": (lambda: _without(released(BOTTLENECKS), "initial_conv"), None, "0 ResNets.*must end in initial_conv"),
    "two networks": (lambda: _with_a_twin(released(BOTTLENECKS)), None, "holds 2 ResNets"),
    "no experiment": (lambda: {"weights": {}}, None, "experiment_state is missing, there is weights"),
    "no state": (lambda: {"experiment_state": {"online_params": {}}}, None, "online_state is missing"),
    "a list": (lambda: [1], None, "no released checkpoint.*there is list"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "network", "said"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_one_sentence(make: Any, network: str | None, said: str, tmp_path: Path) -> None:
    with pytest.raises(convert_checkpoint.CheckpointError, match=said) as caught:
        convert_checkpoint.convert(saved(tmp_path, make()), network)
    assert "released.pkl" in str(caught.value) and "\n" not in str(caught.value)


def test_the_command_line(tmp_path: Path) -> None:
    """The written file loads where nothing of ours was imported, and gives the converted embeddings."""
    file, out = saved(tmp_path, released(BOTTLENECKS)), tmp_path / "new" / "encoder.keras"
    command = [sys.executable, convert_checkpoint.__file__, str(file)]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=True)
    assert "M parameters, embeddings of 40" in done.stdout
    assert_close(sk.load(out)(images()), forward(released(BOTTLENECKS), images()))
    done = subprocess.run([*command, "resnet50"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "does not hold resnet50" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("network", RELEASED)
def test_the_released_networks_equal_haikus(network: str, tmp_path: Path) -> None:
    if not importlib.util.find_spec("haiku"):
        pytest.skip('dm-haiku is not installed: pip install -e ".[convert]"')
    import prove_conversion

    assert prove_conversion.RELEASED == RELEASED
    images = 1 if network in ("resnet50@4", "resnet200@2") else 2
    row = prove_conversion.compare(network, tmp_path, images=images)
    keras.utils.clear_session()
    assert row["largest difference"] < 1e-4
