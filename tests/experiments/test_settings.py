"""Configs check themselves, and what they say names the field and the remedy."""

import dataclasses
from typing import Any

import pytest

from ssl_keras.experiments import options, settings
from ssl_keras.experiments.checks import ConfigError, nearest
from ssl_keras.experiments.options import Evaluate
from ssl_keras.experiments.settings import Crops, Objective, Optimization, Pretrain

KINDS = [
    kind
    for module in (settings, options)
    for kind in vars(module).values()
    if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_fields_are_documented_and_frozen(kind: type[Any]) -> None:
    assert kind.__dataclass_params__.frozen
    assert kind.__doc__ and kind.__doc__.split("\n")[0].endswith(".")
    source = __import__("inspect").getsource(kind)
    own = [field for field in dataclasses.fields(kind) if field.name in kind.__annotations__]  # not what is inherited
    for field in own:
        if not dataclasses.is_dataclass(field.default_factory):
            line = source.index(f"    {field.name}: ")
            assert source[line:].split("\n")[1].strip().startswith('"""'), field.name


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Pretrain(batch_size="big"), "Pretrain.batch_size is 'big': it must be a whole number"),  # type: ignore[arg-type]
        (lambda: Pretrain(batch_size=1), "Pretrain.batch_size is 1: it must be at least 2"),
        (lambda: Pretrain(epochs="atuo"), "did you mean 'auto'"),  # type: ignore[arg-type]
        (lambda: Pretrain(epochs=0), "Pretrain.epochs is 0"),
        (lambda: Pretrain(epochs=5, minutes=3.0), "give one"),
        (lambda: Pretrain(minutes=-1.0), "Pretrain.minutes is -1.0: it must lie in [0.1,"),
        (lambda: Pretrain(image_size=4), "Pretrain.image_size is 4"),
        (lambda: Pretrain(views=3), "it must be a Crops(...)"),  # type: ignore[arg-type]
        (lambda: Pretrain(batch_size=8, loss=Objective(negatives=8)), "a batch of 8 has 7 other images"),
        (lambda: Crops(large=1), "nothing to agree with"),
        (lambda: Objective(temperature=float("nan")), "Objective.temperature is nan"),
        (lambda: Objective(same_view_pairs=1), "True or False"),  # type: ignore[arg-type]
        (lambda: Optimization(optimizer="adam"), "'sgd' or 'lars'"),  # type: ignore[arg-type]
        (lambda: Evaluate("run", scenarios=()), "scenarios is empty"),
        (lambda: Evaluate("run", yardsticks=("pixel",)), "Evaluate.yardsticks"),  # type: ignore[arg-type]
    ],
)
def test_bad_values(make: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_whole_numbers_pass_for_numbers() -> None:
    assert Optimization(learning_rate=1).learning_rate == 1


def test_nearest() -> None:
    assert nearest("bacth_size", ["seed", "batch_size"]) == "did you mean 'batch_size'?"
    assert nearest("zzz", ["seed", "out"]) == "valid are seed, out"
