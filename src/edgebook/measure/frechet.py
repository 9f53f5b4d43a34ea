r"""How far two clouds of features lie apart, as if both were Gaussian.

Source: Dowson and Landau (1982), *The Fréchet distance between multivariate normal distributions*; as a score of
images, Heusel et al. (2017), arXiv 1706.08500, who report its square, as is done here.
"""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(a: Tensor, b: Tensor) -> float:
    r"""Squared Fréchet distance of the Gaussians with the means and covariances of two sets of features.

    .. math:: |\mu_a - \mu_b|^2 + \mathrm{tr}\left(\Sigma_a + \Sigma_b - 2 (\Sigma_a \Sigma_b)^{1/2}\right)

    No root of a matrix is taken: with centred features :math:`A` and :math:`B`, whose products with themselves are the
    covariances, the trace of the root is the sum of the singular values of :math:`A B^\top`, also where there are fewer
    samples than features. A small sample makes the distance too large: compare distances of equal numbers alone.

    Parameters
    ----------
    a, b : Tensor, (N, D) and (M, D), features of at least two samples each

    Returns
    -------
    float, from 0 up, in squared units of the features

    Raises
    ------
    ValueError
        Features of another shape, too few of them, or some that are not finite.

    Examples
    --------
    >>> a = torch.tensor([[-1.0], [1.0]])
    >>> round(frechet_distance(a, 2 * a + 3), 6)  # 3 squared, and the square of a difference of deviations, 2
    11.0
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1:] != b.shape[1:] or min(len(a), len(b)) < 2 or not a.shape[1]:
        raise ValueError(
            "Features must be (samples, features), two samples or more and as many features in both, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}."
        )
    means, roots = zip(*(_mean_and_root(x.detach().to("cpu", torch.float64)) for x in (a, b)), strict=True)
    apart = (means[0] - means[1]).square().sum() + sum(root.square().sum() for root in roots)
    distance = float(apart - 2 * torch.linalg.svdvals(roots[0] @ roots[1].T).sum())
    return max(distance, 0.0)  # equal sets, to a rounding


def _mean_and_root(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) of features (N, D), and R (at most D, D) with the covariance as R^T R."""
    if not bool(torch.isfinite(x).all()):
        raise ValueError("Features must be finite, and some were not.")
    mean = x.mean(dim=0)
    return mean, torch.linalg.qr((x - mean) / (len(x) - 1) ** 0.5, mode="r").R
