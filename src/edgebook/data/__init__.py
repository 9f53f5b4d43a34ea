"""Data that needs no network, and the papers' own data sets where they are on the machine."""

from edgebook.data.documentation import SOURCES, docstrings
from edgebook.data.images import Images, load_images
from edgebook.data.photos import BLOCK, PHOTOS, block_split, photograph
from edgebook.data.sentences import LABELS, entailment, records
from edgebook.data.splits import split
from edgebook.data.text import Text, load_text
from edgebook.data.vision import import_torchvision
