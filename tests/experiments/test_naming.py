"""Names that people type."""

from pathlib import Path

import pytest

from ssl_keras.architecture import families
from ssl_keras.architecture.grammar import ArchitectureError, parse
from ssl_keras.experiments.naming import encoder_file, named_architecture, run_name


def test_a_family_with_and_without_a_width() -> None:
    assert named_architecture("resnet18", 224) == families.get("resnet18")
    assert named_architecture("resnet18@0.25", 224) == families.get("resnet18", 0.25)
    assert named_architecture("mobilenet_v2@0.5", 96) == families.get("mobilenet_v2", 0.5)


def test_small_images_take_the_small_stem() -> None:
    assert named_architecture("resnet18", 64) == families.get("resnet18", small_images=True)
    assert named_architecture("resnet18", 65) == families.get("resnet18")


def test_a_string_of_the_grammar() -> None:
    assert named_architecture("conv_c8 | basic_s2_c16", 32) == parse("conv_c8 | basic_s2_c16")
    assert named_architecture("conv_c8", 32) == parse("conv_c8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resnet19", "did you mean 'resnet18'"),
        ("resnet18@wide", "must be a number, not 'wide'"),
        ("conv_c8@2", "no family"),
        ("conv_q8", "conv"),
    ],
)
def test_neither(text: str, said: str) -> None:
    with pytest.raises(ArchitectureError, match=said):
        named_architecture(text, 32)


def test_run_names_tell_runs_apart(tmp_path: Path) -> None:
    (tmp_path / "my photos").mkdir()
    assert run_name("tfds:cifar10:train", "resnet18@0.25", 0) == "cifar10-resnet18@0.25-seed0"
    assert run_name("digits", "conv_c8", 0, "simclr") == "digits-conv_c8-simclr-seed0"
    assert run_name(str(tmp_path / "my photos"), "conv_c8 | basic_c8", 3) == "my_photos-net-seed3"


def test_encoder_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no encoder\.keras"):
        encoder_file(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no encoder at"):
        encoder_file(str(tmp_path / "absent"))
    (tmp_path / "encoder.h5").touch()
    with pytest.raises(FileNotFoundError, match=r"is not a \.keras file"):
        encoder_file(str(tmp_path / "encoder.h5"))
    (tmp_path / "encoder.keras").touch()
    assert encoder_file(str(tmp_path)) == tmp_path / "encoder.keras"
