"""Experiments that ship with ssl_keras, one Python file each."""
