"""Sweeps: a grid of parameters for one notebook, its points, what became of each, and one table.

Where there is no sweep of a name, or its file asks for something wrong, a `ValueError` says so in one sentence with the
name of the file.
"""
