"""Costs and statistics: counted, not estimated, wherever they can be."""

from edgebook.measure.energy import ENERGY_45NM as ENERGY_45NM
from edgebook.measure.energy import OperationEnergy as OperationEnergy
from edgebook.measure.energy import arithmetic_energy as arithmetic_energy
from edgebook.measure.energy import layer_energy as layer_energy
from edgebook.measure.energy import network_energy as network_energy
from edgebook.measure.equivalence import equivalence_p_value as equivalence_p_value
from edgebook.measure.operations import LayerCost as LayerCost
from edgebook.measure.operations import Phase as Phase
from edgebook.measure.operations import count_macs as count_macs
from edgebook.measure.operations import count_parameters as count_parameters
from edgebook.measure.operations import layer_costs as layer_costs
from edgebook.measure.operations import training_complexity as training_complexity
from edgebook.measure.statistics import Interval as Interval
from edgebook.measure.statistics import holm as holm
from edgebook.measure.statistics import mean_exceeds as mean_exceeds
from edgebook.measure.statistics import mean_interval as mean_interval
