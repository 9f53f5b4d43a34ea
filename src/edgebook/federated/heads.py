"""Attention heads of a T5 as parts: taken out of the network, sent alone, merged one by one.

Of the LoRA of queries, keys and values, :math:`BA`, the rows of :math:`B` belong to heads and :math:`A` is shared by
all of them; of that of outputs the columns of :math:`A` belong to heads and :math:`B` is shared.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from edgebook.federated.averaging import average
from edgebook.federated.records import Arrays

_OF_HEADS = re.compile(r"(.+)\.(?:([qkv])\.lora_B|o\.lora_A)\.")


def attention_paths(model: nn.Module) -> list[str]:
    """Return where the attentions of a T5 are, in the order in which scores and masks have them.

    Parameters
    ----------
    model : torch.nn.Module
        Perhaps with LoRA.

    Returns
    -------
    list of str
        Names of modules: those of the encoder, then in each block of the decoder its own and the one that looks at
        the encoder.
    """
    return [name for name, part in model.named_modules() if {"q", "k", "v", "o"} <= dict(part.named_children()).keys()]


def remove_heads(model: nn.Module, keep: ArrayLike) -> nn.Module:
    """Return a copy of a T5 without some heads, smaller and with the outputs of one in which these heads say nothing.

    Rows of queries, keys and values and columns of outputs go, with what LoRA adds to them. A T5 computes the bias of
    positions once, for the heads of its first block, and hands it on; as blocks keep different heads, each gets one.

    Parameters
    ----------
    model : torch.nn.Module
        With `attention_paths`.
    keep : array-like of bool, (attentions, heads)
        At least one in each attention.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    ValueError
        Masks of another shape, or an attention that would have no head.
    """
    paths, keep = attention_paths(model), np.asarray(keep, bool)
    heads = [model.get_submodule(path).n_heads for path in paths]
    if keep.shape != (len(paths), max(heads, default=0)) or len(set(heads)) != 1 or not keep.any(axis=1).all():
        raise ValueError(f"Of {heads} heads at least one in each attention must be kept, got a mask of {keep.shape}.")
    small = copy.deepcopy(model)
    biases: dict[str, nn.Embedding] = {}  # stack -> the bias of its first block
    for path, kept in zip(paths, keep, strict=True):
        attention, stack = small.get_submodule(path), path.partition(".block.")[0]
        values = np.flatnonzero(np.repeat(kept, attention.key_value_proj_dim))
        for layer in (attention.q, attention.k, attention.v):
            _cut(layer, values, axis=0)
        _cut(attention.o, values, axis=1)
        attention.n_heads, attention.inner_dim = int(kept.sum()), len(values)
        if attention.has_relative_attention_bias:
            biases[stack] = copy.deepcopy(attention.relative_attention_bias)
        if path.endswith(".SelfAttention"):
            attention.relative_attention_bias = copy.deepcopy(biases[stack])
            attention.relative_attention_bias.weight = _some(biases[stack].weight, np.flatnonzero(kept), axis=1)
            attention.has_relative_attention_bias = True
        attention.register_forward_pre_hook(_own_bias, with_kwargs=True)
    return small


def take_heads(state: Mapping[str, NDArray], keep: ArrayLike, paths: Sequence[str]) -> Arrays:
    """Return the LoRA of a whole model as that of a model without some heads.

    Parameters
    ----------
    state : mapping of str to ndarray
        As `peft.get_peft_model_state_dict` names them; what belongs to no head stays whole.
    keep : array-like of bool, (attentions, heads)
    paths : sequence of str
        `attention_paths` of the model.

    Returns
    -------
    dict of str to ndarray

    Examples
    --------
    >>> state = {"block.q.lora_A.weight": np.ones((1, 3)), "block.q.lora_B.weight": np.arange(4.0).reshape(4, 1)}
    >>> take_heads(state, [[False, True]], ["block"])["block.q.lora_B.weight"].tolist()  # two heads of two values
    [[2.0], [3.0]]
    """
    return {
        name: array if (of := _of_heads(name, paths)) is None else np.compress(_values(keep, of, array), array, of[1])
        for name, array in state.items()
    }


def put_heads(
    part: Mapping[str, NDArray], keep: ArrayLike, paths: Sequence[str], like: Mapping[str, NDArray]
) -> Arrays:
    """Return the LoRA of a model without some heads in the shapes of the whole, masked where heads are missing.

    Parameters
    ----------
    part, keep, paths
        What `take_heads` returns, and was given.
    like : mapping of str to ndarray
        Arrays of the whole model.

    Returns
    -------
    dict of str to ndarray
        Masked arrays where values belong to heads.

    Examples
    --------
    >>> part, like = {"block.v.lora_B.weight": np.ones((1, 1))}, {"block.v.lora_B.weight": np.zeros((2, 1))}
    >>> put_heads(part, [[False, True]], ["block"], like)["block.v.lora_B.weight"].tolist()
    [[None], [1.0]]
    """
    whole: Arrays = {}
    for name, array in like.items():
        if (of := _of_heads(name, paths)) is None:
            whole[name] = part[name]
            continue
        kept = np.broadcast_to(_along(_values(keep, of, array), of[1], array.ndim), array.shape)
        values = np.zeros_like(array)
        values[kept] = np.ravel(part[name])
        whole[name] = np.ma.MaskedArray(values, ~kept)
    return whole


def pack(arrays: Mapping[str, NDArray]) -> NDArray[np.float32]:
    """Return arrays as one vector, whose message has one name and one header.

    Parameters
    ----------
    arrays : mapping of str to ndarray

    Returns
    -------
    ndarray of float32, (values,)
    """
    return np.concatenate([np.asarray(array, np.float32).ravel() for array in arrays.values()])


def unpack(vector: NDArray, like: Mapping[str, NDArray]) -> Arrays:
    """Return what `pack` was given.

    Parameters
    ----------
    vector : ndarray, (values,)
    like : mapping of str to ndarray
        Arrays of the names and shapes.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        Another number of values.

    Examples
    --------
    >>> unpack(pack({"a": np.ones((1, 2)), "b": np.zeros(1)}), {"a": np.zeros((1, 2)), "b": np.zeros(1)})
    {'a': array([[1., 1.]], dtype=float32), 'b': array([0.], dtype=float32)}
    """
    ends = np.cumsum([np.size(array) for array in like.values()])
    if len(vector) != ends[-1]:
        raise ValueError(f"These arrays have {ends[-1]} values, got {len(vector)}.")
    parts = np.split(vector, ends[:-1])
    return {name: part.reshape(np.shape(array)) for (name, array), part in zip(like.items(), parts, strict=True)}


def merge_heads(
    parts: Sequence[Arrays], weights: NDArray, shares: Sequence[float], current: Arrays, paths: Sequence[str]
) -> Arrays:
    """Average each head over clients with weights of its own; what nobody kept stays as it is.

    Parameters
    ----------
    parts : sequence of dict of str to ndarray
        What `put_heads` returns for each client.
    weights : ndarray, (clients, attentions, heads)
        What `head_weights` returns.
    shares : sequence of float
        Weights of what belongs to no head, which add up to 1.
    current : dict of str to ndarray
        The server's arrays.
    paths : sequence of str
        `attention_paths` of the model.

    Returns
    -------
    dict of str to ndarray
    """
    merged: Arrays = {}
    for name, array in current.items():
        held = [part[name] for part in parts]
        if (of := _of_heads(name, paths)) is None:
            merged |= average([{name: one} for one in held], shares, {name: array})
            continue
        number, axis = of
        share = weights[:, number]  # (clients, heads)
        shape = (*array.shape[:axis], share.shape[1], -1, *array.shape[axis + 1 :])  # an axis of heads before theirs
        filled = [np.ma.filled(one, 0).reshape(shape) for one in held]
        mean = sum(_along(w, axis, len(shape)) * one for w, one in zip(share, filled, strict=True))
        known = np.broadcast_to(_along(share.sum(0) > 0, axis, len(shape)), mean.shape)
        merged[name] = np.where(known, mean, array.reshape(shape)).reshape(array.shape).astype(array.dtype)
    return merged


def _of_heads(name: str, paths: Sequence[str]) -> tuple[int, int] | None:
    """Return the attention and the axis of an array whose values belong to heads, None for any other array."""
    found = _OF_HEADS.match(name)
    if found is None or found[1] not in paths:
        return None
    return paths.index(found[1]), 0 if found[2] else 1


def _values(keep: ArrayLike, of: tuple[int, int], array: NDArray) -> NDArray[np.bool_]:
    """Return which values along the axis of heads are kept."""
    kept = np.asarray(keep, bool)[of[0]]
    return np.repeat(kept, array.shape[of[1]] // len(kept))


def _along(values: NDArray, axis: int, axes: int) -> NDArray:
    """Return values in a shape that stretches along one of so many axes."""
    return values.reshape([-1 if k == axis else 1 for k in range(axes)])


def _some(weight: nn.Parameter, places: NDArray, axis: int) -> nn.Parameter:
    return nn.Parameter(weight.detach().index_select(axis, weight.new_tensor(places, dtype=int)), weight.requires_grad)


def _cut(layer: nn.Module, places: NDArray, axis: int) -> None:
    """Keep some rows (0) or columns (1) of a linear layer, and the same of what LoRA adds to it."""
    plain = getattr(layer, "base_layer", layer)
    plain.weight = _some(plain.weight, places, axis)
    for adapter in (getattr(layer, "lora_B", {}) if axis == 0 else getattr(layer, "lora_A", {})).values():
        adapter.weight = _some(adapter.weight, places, axis)


def _own_bias(attention: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Have an attention compute its own bias instead of taking that of the first block."""
    return args, kwargs | {"position_bias": None}
