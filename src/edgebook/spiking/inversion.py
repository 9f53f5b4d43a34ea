r"""Images made from a trained classifier alone: impressions of its classes, and what one of its logits likes most.

All images are optimised in one batch, where the released code makes one after the other. They do not meet: the loss is
a sum over images, and Adam scales each pixel by itself, so that an image does not depend on those beside it, as long as
the classifier mixes no samples either (norms in evaluation mode).

Sources: Nayak et al., *Zero-shot knowledge distillation*, arXiv 1905.08114 (impressions); Kim et al., *PrivateSNN*,
arXiv 2104.03414, and its code.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from edgebook.data.vision import import_torchvision
from edgebook.measure.arguments import whole

Logits = Callable[[Tensor], Tensor]  # images (N, C, H, W) to logits (N, K)


def class_similarity(weight: Tensor) -> Tensor:
    r"""How alike the classes are to a classifier: cosines of its last weights, stretched to [0, 1] in each row.

    .. math:: c_{ij} = \cos(w_i, w_j), \qquad s_{ij} = \frac{c_{ij} - \min_k c_{ik}}{\max_k c_{ik} - \min_k c_{ik}}

    Parameters
    ----------
    weight : Tensor, (K, F), weights of the last layer, a row for each of at least two classes

    Returns
    -------
    Tensor, (K, K), with 1 on the diagonal and a 0 in each row

    Raises
    ------
    ValueError
        Weights of another shape, not finite, or classes that cannot be told apart.

    Examples
    --------
    >>> class_similarity(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    tensor([[1.0000, 0.5000, 0.0000],
            [0.0000, 1.0000, 0.0000],
            [0.0000, 0.5000, 1.0000]])
    """
    if weight.ndim != 2 or len(weight) < 2:
        raise ValueError(f"weight must be (classes, features) of at least two classes, got {tuple(weight.shape)}.")
    unit = F.normalize(weight.detach(), dim=1)  # (K, F)
    cosine = unit @ unit.T  # (K, K)
    low, high = cosine.aminmax(dim=1, keepdim=True)
    if not bool((high > low).all()):  # nor where it is NaN
        raise ValueError("Classes cannot be told apart: the weights of one are all zero, not finite, or as all others.")
    return (cosine - low) / (high - low)


def dirichlet_targets(similarity: Tensor, labels: Tensor, generator: torch.Generator, *, floor: float = 1e-2) -> Tensor:
    """Draw soft targets of each image from the Dirichlet distribution whose concentration is its class's row.

    The concentration is 1 at the class itself and below 1 elsewhere, so that a draw is sparse and puts most of its mass
    on another class about as often as on its own. The released code labels an image with its row all the same.

    Parameters
    ----------
    similarity : Tensor, (K, K), rows of concentrations, such as those of `class_similarity`
    labels : Tensor, int64 (N,), the row of each image
    generator : torch.Generator, where the draws come from; its device is where they are made
    floor : float, above 0, what smaller concentrations are raised to: a Dirichlet distribution has none of zero

    Returns
    -------
    Tensor, (N, K), rows that sum to 1, of the type and on the device of the similarity

    Raises
    ------
    ValueError
        A similarity that is not square, labels that are no rows of it, or a floor that is not above 0.

    Examples
    --------
    >>> targets = dirichlet_targets(torch.eye(3), torch.tensor([0, 0, 2]), torch.Generator().manual_seed(0))
    >>> targets.shape
    torch.Size([3, 3])
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity must be square, got {tuple(similarity.shape)}.")
    if not 0 < floor < math.inf:
        raise ValueError(f"floor must be a finite number above 0, got {floor}.")
    _check_labels(labels, len(similarity))
    concentration = similarity.clamp(min=floor)[labels].to(generator.device, torch.float64)  # (N, K)
    # What torch.distributions calls, where no generator can be given.
    return torch._sample_dirichlet(concentration, generator=generator).to(similarity)


def impressions(
    logits: Logits, targets: Tensor, start: Tensor, *, steps: int, lr: float, temperature: float = 20.0
) -> Tensor:
    r"""Images to which a classifier answers with given soft targets, all in one batch.

    Adam lowers :math:`-\sum_k q_k \log \mathrm{softmax}(f(x) / \tau)_k` of each image; what leaves [-1, 1] is cut off
    at the end, as in the released code, which also rounds to 256 levels.

    Parameters
    ----------
    logits : callable, :math:`f`, images (N, C, H, W) to logits (N, K)
    targets : Tensor, (N, K), :math:`q`, rows that sum to 1, such as those of `dirichlet_targets`
    start : Tensor, (N, C, H, W), where the images begin; uniform in [-1, 1] in the paper's code
    steps, lr : int, float, steps of Adam and their rate; 2,500 of 1e-3 in the paper's code
    temperature : float, :math:`\tau`, above 0

    Returns
    -------
    Tensor, (N, C, H, W), images in [-1, 1]

    Raises
    ------
    ValueError
        Numbers outside their range, targets that are no distributions, numbers of images that differ, logits of
        another shape or that are not finite.

    Examples
    --------
    >>> targets, start = torch.tensor([[0.9, 0.1]]), torch.zeros(1, 2, 1, 1)
    >>> found = impressions(lambda x: x.flatten(1), targets, start, steps=200, lr=1e-2, temperature=0.5)
    >>> (found.flatten(1) / 0.5).softmax(1)
    tensor([[0.9000, 0.1000]])
    """
    steps = whole("steps", steps, 0)
    _check_above_zero(lr=lr, temperature=temperature)
    if targets.ndim != 2 or len(targets) != len(start):
        raise ValueError(f"targets must be ({len(start)}, classes), a row for each image, got {tuple(targets.shape)}.")
    if not (targets.ge(0).all() and torch.allclose(targets.sum(dim=1), torch.ones_like(targets[:, 0]), atol=1e-3)):
        raise ValueError("targets must be distributions: numbers from 0 up whose rows sum to 1.")
    x = start.detach().clone().requires_grad_()
    adam = torch.optim.Adam([x], lr=lr)
    for _ in range(steps):
        with torch.enable_grad():
            outputs = _checked(logits(x), targets.shape) / temperature
            loss = F.cross_entropy(outputs, targets, reduction="sum")
        (x.grad,) = torch.autograd.grad(loss, x)
        adam.step()
    return x.detach().clamp(-1, 1)


def class_images(
    logits: Logits,
    labels: Tensor,
    start: Tensor,
    *,
    steps: int,
    rate: float,
    sigma: float = 0.0,
    blur_every: int = 4,
    decay: float = 1e-4,
) -> Tensor:
    r"""Images that raise the logit of their class, all in one batch: the attack on a network whose weights are known.

    Gradient ascent :math:`x \leftarrow x + \eta (\nabla_x f_c(x) - \lambda x)`, kept within [-1, 1] at each step, with
    a Gaussian blur before every fourth. A step goes with the scale of the logits, so that those of networks that are to
    be compared must be on one: multiply those of a converted one by the product of its thresholds.

    Parameters
    ----------
    logits : callable, :math:`f`, images (N, C, H, W) to logits (N, K)
    labels : Tensor, int64 (N,), the class :math:`c` of each image
    start : Tensor, (N, C, H, W), where the images begin
    steps, rate : int, float, steps of the ascent and their size :math:`\eta`; 150 of 6 in the collection of U. Ozbulak
    sigma : float, pixels, deviation of the blur, 0 for none
    blur_every : int, steps from one blur to the next
    decay : float, :math:`\lambda`, from 0 up

    Returns
    -------
    Tensor, (N, C, H, W), images in [-1, 1]

    Raises
    ------
    ValueError
        Numbers outside their range, labels that are no classes, numbers of images that differ, logits of another
        shape or that are not finite.

    Examples
    --------
    >>> start, labels = torch.zeros(2, 2, 1, 1), torch.tensor([0, 1])
    >>> class_images(lambda x: x.flatten(1), labels, start, steps=3, rate=1.0).flatten(1)
    tensor([[1., 0.],
            [0., 1.]])
    """
    steps, blur_every = whole("steps", steps, 0), whole("blur_every", blur_every)
    _check_above_zero(rate=rate)
    if not (0 <= sigma < math.inf and 0 <= decay < math.inf):
        raise ValueError(f"sigma and decay must be finite and not below 0, got {sigma} and {decay}.")
    if len(labels) != len(start):
        raise ValueError(f"Each of the {len(start)} images needs a label, got {len(labels)}.")
    blur = _blur(sigma)
    x = start.detach().clone()
    for step in range(1, steps + 1):
        if step % blur_every == 0:
            x = blur(x)
        with torch.enable_grad():
            outputs = _checked(logits(x.requires_grad_()), (len(x),))
            _check_labels(labels, outputs.shape[1])
            chosen = outputs.gather(1, labels[:, None]).sum()
        (slope,) = torch.autograd.grad(chosen, x)
        x = (x.detach() + rate * (slope - decay * x.detach())).clamp(-1, 1)
    return x.clamp(-1, 1)


def _blur(sigma: float) -> Callable[[Tensor], Tensor]:
    """Return a Gaussian blur of images (N, C, H, W) that reaches three deviations far, as far as the image goes."""
    if sigma == 0:
        return lambda x: x
    import_torchvision()
    from torchvision.transforms.functional import gaussian_blur  # slow to import

    def blur(x: Tensor) -> Tensor:
        reach = [min(math.ceil(3 * sigma), side - 1) for side in (x.shape[-1], x.shape[-2])]  # width first
        return gaussian_blur(x, [2 * pixels + 1 for pixels in reach], [sigma, sigma])

    return blur


def _checked(outputs: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return logits (N, K), or refuse those that are none; where K is not known, the shape is (N,)."""
    if outputs.ndim != 2 or outputs.shape[: len(shape)] != shape:
        wanted = ", ".join(map(str, (*shape, "classes")[:2]))
        raise ValueError(f"The logits must have the shape ({wanted}), got {tuple(outputs.shape)}.")
    if not bool(torch.isfinite(outputs.detach()).all()):
        raise ValueError("The logits must be finite, and some were not.")
    return outputs


def _check_labels(labels: Tensor, classes: int) -> None:
    if labels.ndim != 1 or labels.dtype != torch.int64 or not bool(((labels >= 0) & (labels < classes)).all()):
        raise ValueError(f"labels must be a row of int64 numbers from 0 to {classes - 1}, got {labels!r}.")


def _check_above_zero(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be a finite number above 0, got {value}.")
