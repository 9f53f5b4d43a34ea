"""Reusable kernels and the claims ledger behind the book "Efficient Edge AI, Reproduced"."""

__version__ = "0.1.0"
