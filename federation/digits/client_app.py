"""The client: trains the model that it receives on its own images."""

from __future__ import annotations

import time

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits.task import new_model, own_images
from edgebook.federated import announce_partition, client_seed, train_locally

app = announce_partition(ClientApp())


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer with the trained model; all randomness comes from seed, partition and round."""
    torch.set_num_threads(1)  # the order of a sum depends on how many threads share it
    config, node = context.run_config, context.node_config
    partition, number = int(node["partition-id"]), int(message.content["config"]["server-round"])
    time.sleep(float(config["pause"]))
    x, y = own_images(partition, int(node["num-partitions"]), int(config["seed"]))
    net = new_model(int(config["seed"]))
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    drawn = client_seed(int(config["seed"]), partition, number)
    done = train_locally(net, x, y, epochs=1, batch_size=20, lr=float(config["lr"]), seed=drawn)
    metrics = MetricRecord({"num-examples": len(x), "loss": done.loss})
    content = {"arrays": ArrayRecord(net.state_dict()), "metrics": metrics}
    return Message(RecordDict(content), reply_to=message)
