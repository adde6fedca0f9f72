"""The one contract of everything that Keras serialises: built again from its config, it is the same thing."""

import inspect
from typing import Any

import keras


def assert_serialisable(thing: Any) -> Any:
    """The config names every constructor argument, survives Keras's own serialisation, and gives an equal thing."""
    config = thing.get_config()
    named = [
        name
        for name, parameter in inspect.signature(type(thing).__init__).parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    missing = [name for name in named if name not in config]
    assert not missing, f"{type(thing).__name__}.get_config() lacks {missing}"
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(thing))
    assert type(again) is type(thing)
    assert again.get_config() == config
    return again
