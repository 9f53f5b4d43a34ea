"""Networks that several wings train, and the loop that trains them."""

from edgebook.networks.convolutional import (
    POOL,
    Architecture,
    initialised,
    parse_plan,
    resnet_architecture,
    vgg_architecture,
)
from edgebook.networks.decoder import CharacterDecoder
from edgebook.networks.training import accuracy, fit
