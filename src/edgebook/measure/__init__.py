from edgebook.measure.attacks import fgsm, pgd
from edgebook.measure.energy import ENERGY_45NM, OperationEnergy, arithmetic_energy, layer_energy, network_energy
from edgebook.measure.frechet import frechet_distance
from edgebook.measure.in_memory import PIM_45NM, bit_plane_dot, pim_energy, supported_bits
from edgebook.measure.operations import LayerCost, Phase, count_macs, count_parameters, layer_costs, training_complexity
from edgebook.measure.overlap import bleu
from edgebook.measure.systolic import SystolicArray, Traffic, inference_traffic
