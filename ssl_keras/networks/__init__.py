"""Keras models of an architecture."""
