"""Comparisons with references that nobody here wrote."""
