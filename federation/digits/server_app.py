"""The server: rounds that follow a plan, and the last model as a file."""

from __future__ import annotations

import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from digits.task import images, new_model
from edgebook.federated import FedAvg, RoundPlan, to_arrays
from edgebook.networks import accuracy

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, say which answers were lost, and keep the model."""
    config = context.run_config
    seed, held = config["seed"], images()
    strategy = FedAvg(RoundPlan(config["clients"], seed=seed, tolerated=config["tolerated"], wait=config["wait"]))

    def look(number: int, arrays: ArrayRecord) -> MetricRecord:
        net = new_model(seed)
        net.load_state_dict(arrays.to_torch_state_dict())
        found = accuracy(net, held.test_x, held.test_y)
        print(f"round {number}: {found:.1f} % of the test images", flush=True)
        return MetricRecord({"accuracy": found})

    start = ArrayRecord(new_model(seed).state_dict())
    result = strategy.start(
        grid, start, num_rounds=config["num-server-rounds"], timeout=config["timeout"], evaluate_fn=look
    )
    for failure in strategy.failures:
        print(f"lost: client {failure.client} in round {failure.round}, {failure.reason}", flush=True)
    context.state["arrays"] = result.arrays
    if config["output"]:
        np.savez(str(config["output"]), **to_arrays(result.arrays))
