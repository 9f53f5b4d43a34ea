"""Sweeps: a grid of parameters for one notebook, its points, what became of each, and one table."""
