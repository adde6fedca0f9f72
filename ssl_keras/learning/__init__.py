"""How an encoder learns."""

# Before any module of this room, as in `networks`.
import keras  # noqa: F401
