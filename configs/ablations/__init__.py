"""Comparisons: one base experiment, and cells that change one field of it. Run by ``tools/ablate.py``."""
