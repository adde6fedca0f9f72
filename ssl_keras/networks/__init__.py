"""Keras models of architectures."""

# Before any module of this room, because Keras, once imported, makes us register classes of all of them (saving.py).
import keras  # noqa: F401
