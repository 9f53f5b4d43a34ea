"""Resistive crossbars: exact circuits, devices, mapping of networks, and what batch norm can mend."""

from edgebook.crossbar.adaptation import norm_parameters, with_statistics
from edgebook.crossbar.calibration import calibrated
from edgebook.crossbar.chip import CrossbarConfig, FoldedWeights, fold
from edgebook.crossbar.devices import WIRES, Device
from edgebook.crossbar.distortion import Distortion, weight_distortion, weight_pairs
from edgebook.crossbar.layers import CrossbarConv2d, CrossbarLinear, crossbar_layers, on_crossbar, restart_reads
from edgebook.crossbar.mapping import Layout
from edgebook.crossbar.noise import power_law_drift, relative_deviation
from edgebook.crossbar.solver.circuit import effective_conductance
from edgebook.crossbar.solver.wiring import Wiring
from edgebook.crossbar.tuning_cost import TuningCost, tuning_cost
