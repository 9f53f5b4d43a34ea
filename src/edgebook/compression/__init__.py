"""Smaller networks: density, pruning, lottery tickets, and the widths that they are compared with."""

from edgebook.compression.allocation import random_shape, scale_to_cost
from edgebook.compression.density import DensityMeter, activation_density, saturated, shrink_widths
from edgebook.compression.early_bird import cosine_rate, is_early_bird, mask_distance
from edgebook.compression.early_time import divergence_curve, normalise_curve, pick_timestep, select_early_timestep
from edgebook.compression.holding import hold_masks
from edgebook.compression.layer_steps import SearchPhase, largest_saving, search_layer_steps
from edgebook.compression.masked_training import step_cross_entropy, train_masked
from edgebook.compression.masks import (
    count_alive,
    dense_masks,
    layer_density,
    prunable_weights,
    sparsity,
)
from edgebook.compression.mixed_precision import quantize_network, unquantize_network
from edgebook.compression.packing import pack_masks, unpack_masks
from edgebook.compression.pruning import filter_norms, keep_channels, top_channels
from edgebook.compression.quantization import MinMaxWeight, QuantizedReLU, min_max_quantize
from edgebook.compression.schedule import density_phase
from edgebook.compression.selection import keep_largest, prune_by_magnitude, random_masks
from edgebook.compression.snip import snip_scores
from edgebook.compression.threshold_operator import threshold
from edgebook.compression.thresholds import Thresholds, threshold_penalty, with_thresholds
from edgebook.compression.tickets import copy_parameters, iterative_pruning, rewind
