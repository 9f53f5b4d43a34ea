"""Resistive crossbars: exact circuits, devices, mapping of networks, and what batch norm can mend."""

from edgebook.crossbar.adaptation import norm_parameters as norm_parameters
from edgebook.crossbar.adaptation import with_statistics as with_statistics
from edgebook.crossbar.calibration import calibrated as calibrated
from edgebook.crossbar.chip import CrossbarConfig as CrossbarConfig
from edgebook.crossbar.chip import FoldedWeights as FoldedWeights
from edgebook.crossbar.chip import fold as fold
from edgebook.crossbar.devices import WIRES as WIRES
from edgebook.crossbar.devices import Device as Device
from edgebook.crossbar.distortion import Distortion as Distortion
from edgebook.crossbar.distortion import weight_distortion as weight_distortion
from edgebook.crossbar.distortion import weight_pairs as weight_pairs
from edgebook.crossbar.layers import CrossbarConv2d as CrossbarConv2d
from edgebook.crossbar.layers import CrossbarLinear as CrossbarLinear
from edgebook.crossbar.layers import crossbar_layers as crossbar_layers
from edgebook.crossbar.layers import on_crossbar as on_crossbar
from edgebook.crossbar.layers import restart_reads as restart_reads
from edgebook.crossbar.mapping import Layout as Layout
from edgebook.crossbar.noise import power_law_drift as power_law_drift
from edgebook.crossbar.noise import relative_deviation as relative_deviation
from edgebook.crossbar.solver.circuit import effective_conductance as effective_conductance
from edgebook.crossbar.solver.wiring import Wiring as Wiring
from edgebook.crossbar.tuning_cost import TuningCost as TuningCost
from edgebook.crossbar.tuning_cost import tuning_cost as tuning_cost
