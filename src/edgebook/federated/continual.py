"""Clients that meet the same tasks in orders of their own: who is at which, what is kept for each, what fades."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebook.federated.checks import finite
from edgebook.federated.records import Arrays
from edgebook.measure.arguments import whole

ORDERS = 100  # a purpose of its own for the seed, beyond those of `randomness.derived_rng`


def task_orders(clients: int, tasks: int, shared: float, *, seed: int) -> NDArray[np.int64]:
    """Draw in which order each client meets the tasks, each of them once.

    Orders of a seed nest: the order that is shared is that of client 0, clients join it in the order of their numbers
    as the share grows, and all others keep the order that they have at a share of 0.

    Parameters
    ----------
    clients, tasks, seed : int
    shared : float
        Share of the clients that have the common order, 0 to 1, rounded to whole clients.

    Returns
    -------
    ndarray of int, (clients, tasks)

    Raises
    ------
    ValueError, TypeError
        No client, no task, a negative seed, or a share outside its range.

    Examples
    --------
    >>> task_orders(4, 3, 0.5, seed=8)
    array([[1, 2, 0],
           [1, 2, 0],
           [1, 0, 2],
           [1, 0, 2]])
    """
    clients, tasks, seed = whole("clients", clients), whole("tasks", tasks), whole("seed", seed, least=0)
    if not 0 <= finite("shared", shared) <= 1:
        raise ValueError(f"shared must lie between 0 and 1, got {shared}.")
    orders = np.stack([np.random.default_rng([seed, ORDERS, k]).permutation(tasks) for k in range(clients)])
    orders[: int(shared * clients + 0.5)] = orders[0]
    return orders


def current_task(orders: NDArray[np.int64], client: int, server_round: int, rounds_per_task: int) -> int:
    """Return the task that a client is at in a round; rounds count from 1.

    Raises a ValueError for a client or a round for which there is no task.

    Parameters
    ----------
    orders : ndarray of int, (clients, tasks)
        As `task_orders` draws them.
    client, server_round, rounds_per_task : int

    Returns
    -------
    int

    Examples
    --------
    >>> current_task(np.array([[2, 0, 1]]), client=0, server_round=5, rounds_per_task=4)  # the first round of stage two
    0
    """
    clients, tasks = orders.shape
    client, stages = whole("client", client, 0, clients - 1), tasks * whole("rounds_per_task", rounds_per_task)
    return int(orders[client, (whole("server_round", server_round, 1, stages) - 1) // rounds_per_task])


def with_tasks(arrays: Arrays, tasks: int, own: Callable[[str], bool]) -> Arrays:
    """Return what a server keeps: arrays that all tasks share once, and others for each task as `task/name`.

    Parameters
    ----------
    arrays : dict of str to ndarray
        What a client trains, as it is before the first round.
    tasks : int
    own : callable
        Name to whether each task has that array to itself; `str.isascii`, say, for all, or only those of the head.

    Returns
    -------
    dict of str to ndarray

    Examples
    --------
    >>> kept = with_tasks({"proxy": np.zeros(1), "linear.bias": np.zeros(2)}, 2, lambda name: name.startswith("linear"))
    >>> list(kept)
    ['proxy', '0/linear.bias', '1/linear.bias']
    >>> list(of_task(kept, 1))
    ['proxy', 'linear.bias']
    >>> list(for_task(of_task(kept, 1), 1, kept))
    ['proxy', '1/linear.bias']
    """
    common = {name: array for name, array in arrays.items() if not own(name)}
    per_task = range(whole("tasks", tasks))
    return common | {f"{task}/{name}": array.copy() for task in per_task for name, array in arrays.items() if own(name)}


def of_task(kept: Arrays, task: int) -> Arrays:
    """Return what a client at a task is sent, under the names of its network; the inverse of `for_task`.

    Parameters
    ----------
    kept : dict of str to ndarray
        What `with_tasks` returned, or an answer's arrays in its names.
    task : int

    Returns
    -------
    dict of str to ndarray
    """
    found = {}
    for name, array in kept.items():
        owner, separator, inner = name.partition("/")
        if not separator or owner == str(task):
            found[inner or name] = array
    return found


def for_task(answer: Arrays, task: int, kept: Arrays) -> Arrays:
    """Return an answer under the names that the server keeps; see `with_tasks`.

    Parameters
    ----------
    answer : dict of str to ndarray
        In the names of the client's network.
    task : int
    kept : dict of str to ndarray
        All that the server keeps.

    Returns
    -------
    dict of str to ndarray
    """
    return {f"{task}/{name}" if f"{task}/{name}" in kept else name: array for name, array in answer.items()}


def forgetting(accuracy: ArrayLike) -> NDArray[np.float64]:
    r"""Return how far each task has fallen from its best: :math:`\max_s A_{s,j} - A_{T,j}`.

    Parameters
    ----------
    accuracy : array, (moments, tasks)
        In the order of time; NaN before a task has been seen.

    Returns
    -------
    ndarray of float, (tasks,)
        At least 0, NaN for a task that has not been seen at the end.

    Raises
    ------
    ValueError
        Another number of axes, or no moment.

    Examples
    --------
    >>> forgetting([[80, np.nan], [70, 60], [75, 65]])
    array([5., 0.])
    """
    told = np.asarray(accuracy, np.float64)
    if told.ndim != 2 or not len(told):
        raise ValueError(f"accuracy must have the shape (moments, tasks), got {told.shape}.")
    return np.fmax.reduce(told) - told[-1]
