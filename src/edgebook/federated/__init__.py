"""Federations of simulated and of real clients: engine, rounds, averaging, partitions, local training."""

from edgebook.federated.adaptive import FedAdagrad, FedAdam, FedYogi
from edgebook.federated.averaging import average
from edgebook.federated.clients import announce_partition
from edgebook.federated.continual import current_task, for_task, forgetting, of_task, task_orders, with_tasks
from edgebook.federated.drift import dissimilarity, flat_updates, model_deviation, pairwise_cosines
from edgebook.federated.engine import Simulation, simulate
from edgebook.federated.fed_heads import FedHeads
from edgebook.federated.head_scores import head_confidence, head_weights, keep_heads, score_heads
from edgebook.federated.heads import (
    attention_paths,
    merge_heads,
    pack,
    put_heads,
    remove_heads,
    take_heads,
    unpack,
)
from edgebook.federated.local_training import train_locally
from edgebook.federated.partition import balanced_dirichlet, dirichlet, flower_partition, iid, shards
from edgebook.federated.parts import FedParts, merge_parts
from edgebook.federated.plans import RoundPlan
from edgebook.federated.randomness import client_seed
from edgebook.federated.records import count_bytes, to_arrays, to_record
from edgebook.federated.replies import ClientError
from edgebook.federated.sampling_codes import (
    ball_masks,
    centre_of,
    distance_at,
    hadamard_masks,
    pairwise_distances,
    path_credit,
    path_masks,
    plotkin_bound,
    spread_masks,
)
from edgebook.federated.selection import choose
from edgebook.federated.server_steps import FedStep, server_step
from edgebook.federated.shared import made_once
from edgebook.federated.strategies import FedAvg
from edgebook.federated.supernet import Supernet, active_cost, place_channels, slice_channels
from edgebook.federated.tailored import Path, Tailored
from edgebook.federated.tailoring import expected_complexity, path_costs, prune, teacher_loss
from edgebook.federated.traffic import traffic
