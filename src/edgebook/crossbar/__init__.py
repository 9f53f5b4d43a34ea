"""Resistive crossbars: exact circuits, devices, mapping of networks, and what batch norm can mend."""

from edgebook.crossbar.circuit import effective_conductance as effective_conductance
from edgebook.crossbar.iterative import device_currents as device_currents
from edgebook.crossbar.iterative import output_currents as output_currents
from edgebook.crossbar.nodes import Nodes as Nodes
from edgebook.crossbar.nodes import dissipation as dissipation
from edgebook.crossbar.nodes import node_voltages as node_voltages
