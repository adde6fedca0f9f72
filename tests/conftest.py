"""Fixtures and rules that every test shares."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture
def tfds_data_dir() -> Path:
    """The folder of prepared TFDS sets, or a skip that says what is missing."""
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder or not Path(folder, "cifar10").is_dir():
        pytest.skip("real data: TFDS_DATA_DIR is unset or holds no cifar10")
    return Path(folder)
