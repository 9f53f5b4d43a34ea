"""Networks that several wings train, and the loop that trains them."""

from edgebook.networks.convolutional import POOL as POOL
from edgebook.networks.convolutional import Architecture as Architecture
from edgebook.networks.convolutional import initialised as initialised
from edgebook.networks.convolutional import parse_plan as parse_plan
from edgebook.networks.convolutional import resnet_architecture as resnet_architecture
from edgebook.networks.convolutional import vgg_architecture as vgg_architecture
from edgebook.networks.decoder import CharacterDecoder as CharacterDecoder
from edgebook.networks.training import accuracy as accuracy
from edgebook.networks.training import fit as fit
