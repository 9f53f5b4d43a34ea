"""Squared norms of per-sample gradients at every horizon, mapped over samples or one sample at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from edgebook.measure.arguments import whole
from edgebook.spiking.neuron.choice import one_of

Method = Literal["auto", "vmap", "loop"]
# Logits (T, classes) of a sample and what else belongs to it, to gradients by those logits (K, T, classes).
Cotangents = Callable[[Tensor, Tensor], Tensor]


def mean_logits(outputs: Tensor) -> Tensor:
    """Return the mean of the first t of the logits (T, ...), for every t."""
    exact = torch.promote_types(outputs.dtype, torch.float32)  # half types would round sums and counts
    counts = torch.arange(1, len(outputs) + 1, device=outputs.device, dtype=exact)
    means = outputs.cumsum(0, dtype=exact) / counts.view(-1, *[1] * (outputs.ndim - 1))  # counts along the first axis
    return means.to(outputs.dtype)


def check(network: nn.Module, images: Tensor, labels: Tensor | None = None) -> None:
    """Say in one sentence why a network cannot be measured on these images and labels, if it cannot."""
    for name, module in network.named_modules():
        where = f"{type(module).__name__}{f' {name!r}' if name else ''}"
        if module.training:
            mixes = "batch norm would mix samples and dropout would draw"
            raise ValueError(f"{where} is in training mode, where {mixes}: call network.eval() first.")
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ValueError(f"{where} has no running statistics, and so mixes samples in evaluation mode too.")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError("The network has no parameter that requires a gradient.")
    if images.ndim < 1 or not len(images):
        raise ValueError(f"At least one image is needed, got the shape {tuple(images.shape)}.")
    with torch.no_grad():
        outputs = network(images[:1])
    if outputs.ndim != 3 or outputs.shape[1] != 1 or 0 in outputs.shape:
        raise ValueError(
            f"The network must return logits (steps, batch, classes), got {tuple(outputs.shape)} for one image."
        )
    if labels is None:
        return
    count, classes = len(images), outputs.shape[2]
    if labels.shape != (count,) or labels.dtype == torch.bool or labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"labels must be {count} integers, got {labels.dtype} of the shape {tuple(labels.shape)}.")
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(f"labels must lie between 0 and {classes - 1}, as the network has {classes} classes.")


def squared_norms(
    network: nn.Module, images: Tensor, extra: Tensor, cotangents: Cotangents, chunk: int, method: str
) -> Tensor:
    """Return for every sample and horizon the squared norm of the gradient, summed over cotangents: (N, T), float64."""
    chunk = whole("chunk", chunk)
    one_of("method", method, get_args(Method))
    if method == "loop":
        return _looped(network, images, extra, cotangents)
    try:
        return _mapped(network, images, extra, cotangents, chunk)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError):
        # What torch.func says of autograd functions, branches and draws that it cannot map, and copy of what it cannot
        # copy; a fault of the network itself comes back in the loop.
        if method == "vmap":
            raise
        return _looped(network, images, extra, cotangents)


def _mapped(network: nn.Module, images: Tensor, extra: Tensor, cotangents: Cotangents, chunk: int) -> Tensor:
    network = copy.deepcopy(network)  # a state that it keeps would be left holding tensors of the map
    parameters = {name: p.detach() for name, p in network.named_parameters() if p.requires_grad}

    def norms(image: Tensor, extra: Tensor) -> Tensor:
        def read_out(learned: dict[str, Tensor]) -> Tensor:
            outputs = torch.func.functional_call(network, learned, (image.unsqueeze(0),))  # (T, 1, classes)
            return mean_logits(outputs[:, 0])

        logits, pull = torch.func.vjp(read_out, parameters)
        return _pulled(logits, cotangents(logits, extra), lambda seed: pull(seed)[0].values())

    mapped = torch.func.vmap(norms)
    parts = [mapped(x, y) for x, y in zip(images.split(chunk), extra.split(chunk), strict=True)]
    return torch.cat(parts)


def _looped(network: nn.Module, images: Tensor, extra: Tensor, cotangents: Cotangents) -> Tensor:
    parameters = [p for p in network.parameters() if p.requires_grad]
    rows = []
    for x, y in zip(images, extra, strict=True):
        with torch.enable_grad():
            logits = mean_logits(network(x.unsqueeze(0))[:, 0])  # (T, classes)
        rows.append(_pulled(logits, cotangents(logits.detach(), y), _pull(logits, parameters)))
    return torch.stack(rows)


def batch_squared_norms(network: nn.Module, images: Tensor, labels: Tensor, cotangents: Cotangents) -> Tensor:
    """Return the squared norms (T,) of the mean gradients of one batch: squared after the mean, not before."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    with torch.enable_grad():
        logits = mean_logits(network(images))
    seeds = cotangents(logits.detach(), labels) / len(images)  # (K, T, B, classes)
    return _pulled(logits, seeds, _pull(logits, parameters))


def _pull(logits: Tensor, parameters: list[nn.Parameter]) -> Callable[[Tensor], Iterable[Tensor | None]]:
    return lambda seed: torch.autograd.grad(logits, parameters, seed, retain_graph=True, allow_unused=True)


def _pulled(logits: Tensor, seeds: Tensor, pull: Callable[[Tensor], Iterable[Tensor | None]]) -> Tensor:
    """Return the squared norms (T,) of the gradients of the horizons, each pulled back from its own seeds."""
    norms = []
    for t in range(len(logits)):
        here = torch.zeros(len(logits), *[1] * (logits.ndim - 1), dtype=logits.dtype, device=logits.device)
        here[t] = 1  # horizon t alone, broadcast over what follows the steps
        norm = torch.zeros((), dtype=torch.float64, device=logits.device)
        for grad in (grad for seed in seeds for grad in pull(here * seed) if grad is not None):
            norm = norm + torch.linalg.vector_norm(grad, dtype=torch.float64).square()
        norms.append(norm)
    return torch.stack(norms)
