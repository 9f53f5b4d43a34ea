"""Federations of simulated and of real clients: engine, rounds, averaging, partitions, local training."""

from edgebook.federated.averaging import average as average
from edgebook.federated.clients import announce_partition as announce_partition
from edgebook.federated.engine import Simulation as Simulation
from edgebook.federated.engine import simulate as simulate
from edgebook.federated.local_training import train_locally as train_locally
from edgebook.federated.partition import balanced_dirichlet as balanced_dirichlet
from edgebook.federated.partition import dirichlet as dirichlet
from edgebook.federated.partition import flower_partition as flower_partition
from edgebook.federated.partition import iid as iid
from edgebook.federated.partition import shards as shards
from edgebook.federated.plans import RoundPlan as RoundPlan
from edgebook.federated.randomness import client_seed as client_seed
from edgebook.federated.records import count_bytes as count_bytes
from edgebook.federated.records import to_arrays as to_arrays
from edgebook.federated.records import to_record as to_record
from edgebook.federated.replies import ClientError as ClientError
from edgebook.federated.shared import made_once as made_once
from edgebook.federated.strategies import FedAdagrad as FedAdagrad
from edgebook.federated.strategies import FedAdam as FedAdam
from edgebook.federated.strategies import FedAvg as FedAvg
from edgebook.federated.strategies import FedYogi as FedYogi
from edgebook.federated.traffic import traffic as traffic
