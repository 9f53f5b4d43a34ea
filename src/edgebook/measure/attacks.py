"""Gradient attacks on images whose pixels lie between 0 and 1, by Captum, with its defaults that hide gradients off."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor
from torch.nn import functional as F

from edgebook.measure.seeding import SeededDraws

_ELEMENTWISE = partial(F.cross_entropy, reduction="none")


def fgsm(
    logits: Callable[[Tensor], Tensor],
    pixels: Tensor,
    labels: Tensor,
    eps: float,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = _ELEMENTWISE,
) -> Tensor:
    r"""One step of size `eps` along the sign of the gradient: :math:`x + \epsilon\,\mathrm{sign}\,\nabla_x L`.

    Source: Goodfellow et al. (2015), *Explaining and harnessing adversarial examples*, section 4.

    Parameters
    ----------
    logits : callable, pixels (B, C, H, W) to what the loss takes
    pixels, labels : Tensor, images (B, C, H, W) in [0, 1], and labels int64 (B,)
    eps : float, largest change of a pixel
    loss : callable, what `logits` returns and the labels to one value for each image

    Returns
    -------
    Tensor, (B, C, H, W), pixels in [0, 1] within `eps` of the given ones
    """
    from captum.robust import FGSM  # slow to import

    attack = FGSM(logits, loss, 0.0, 1.0)
    attack.zero_thresh = 0.0  # Captum takes gradients below a millionth for zero, which protects a confident network
    with _without_captums_warning():
        return attack.perturb(pixels, eps, labels)


def pgd(
    logits: Callable[[Tensor], Tensor],
    pixels: Tensor,
    labels: Tensor,
    eps: float,
    *,
    steps: int,
    seed: int,
    loss: Callable[[Tensor, Tensor], Tensor] = _ELEMENTWISE,
) -> Tensor:
    """Projected gradient descent: `steps` steps of a quarter of `eps`, from a random start.

    Source: Madry et al. (2018), *Towards deep learning models resistant to adversarial attacks*, section 2.

    Parameters
    ----------
    logits, pixels, labels, eps, loss : as for `fgsm`
    steps : int, gradient steps, each followed by a projection onto the ball of radius `eps`
    seed : int, decides the start; global random states are left as they were

    Returns
    -------
    Tensor, (B, C, H, W), pixels in [0, 1] within `eps` of the given ones
    """
    from captum.robust import PGD  # slow to import

    attack = PGD(logits, loss, 0.0, 1.0)
    attack.fgsm.zero_thresh = 0.0
    with SeededDraws(seed), _without_captums_warning():
        return attack.perturb(pixels, eps, eps / 4, steps, labels, random_start=True).detach()


@contextmanager
def _without_captums_warning() -> Iterator[None]:
    """Captum says at every step that it has switched gradients on, which is what it is asked for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input Tensor .* did not already require gradients")
        yield
