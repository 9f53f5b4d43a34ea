"""Local SGD against its formulas in NumPy, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgebook.federated import train_locally


def test_steps_are_those_of_sgd_with_momentum_and_decay() -> None:
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(7, 3, generator=g, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    model = nn.Linear(3, 2, bias=False).double()
    w = model.weight.detach().numpy().copy()
    result = train_locally(model, x, y, epochs=2, batch_size=3, lr=0.1, weight_decay=0.01, seed=4)

    order, velocity, losses = torch.Generator().manual_seed(4), np.zeros_like(w), []
    for _ in range(2):
        places = torch.randperm(7, generator=order).numpy()
        losses.clear()
        for batch in (places[:3], places[3:6]):  # the seventh image is dropped
            logits = x.numpy()[batch] @ w.T
            p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            hot = np.eye(2)[y.numpy()[batch]]
            losses.append(-np.log((p * hot).sum(1)).mean())
            velocity = 0.9 * velocity + (p - hot).T @ x.numpy()[batch] / 3 + 0.01 * w
            w = w - 0.1 * velocity
    np.testing.assert_allclose(model.weight.detach(), w, rtol=1e-10)
    assert result.steps == 4
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-6)


def test_full_batches_alone_are_trained_on() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    x, y = torch.randn(9, 2), torch.zeros(9, dtype=torch.int64)
    for size, steps in [(4, 2), (6, 1), (9, 1), (3, 3)]:
        assert train_locally(model, x, y, epochs=1, batch_size=size, lr=0.1).steps == steps


def test_a_client_that_would_train_on_nothing_is_refused() -> None:
    x, y = torch.randn(3, 2), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match="3 images has no full batch of 4"):
        train_locally(nn.Linear(2, 2), x, y, epochs=1, batch_size=4, lr=0.1)
    with pytest.raises(ValueError, match="one label each"):
        train_locally(nn.Linear(2, 2), x, y[:2], epochs=1, batch_size=2, lr=0.1)
