"""Spiking networks: neurons over sequences, coding, batch norm, whole networks, their operations and information."""

from edgebook.spiking.activity import LayerActivity, NetworkActivity, NeuronActivity, Operations
from edgebook.spiking.cell_networks import cell_network, feedback_cut
from edgebook.spiking.cells import Cell, random_cell, repaired, turned_forward, without_feedback
from edgebook.spiking.classifier import SpikingNetwork
from edgebook.spiking.coded import CodedNetwork
from edgebook.spiking.coding import direct_coding, poisson_coding
from edgebook.spiking.conversion import balance_thresholds, rescaled_weights, without_spikes
from edgebook.spiking.horizons import horizon_loss
from edgebook.spiking.information import batch_squared_fisher, empirical_fisher, information_centroid, true_fisher
from edgebook.spiking.inversion import class_images, class_similarity, dirichlet_targets, impressions
from edgebook.spiking.leaky import LeakyLoop, from_leaky, to_leaky
from edgebook.spiking.networks import VGG9, spiking_resnet, spiking_vgg
from edgebook.spiking.neuron.lif import LIF, beta_of, integrate, lif
from edgebook.spiking.neuron.surrogates import Surrogate, atan, fast_sigmoid, triangular
from edgebook.spiking.operations import measure_activity
from edgebook.spiking.search import KINDS, Diversity, Patterns, diversity_score, pattern_distances, pattern_kernel
from edgebook.spiking.stepping import lif_step
