"""Edge and cloud as two processes: the target behind gRPC, and a client that drafts, drafts ahead and resumes."""

from edgebook.decoding.service.client import EdgeClient
from edgebook.decoding.service.faults import ServiceError
from edgebook.decoding.service.pacing import Delay
from edgebook.decoding.service.server import DecodingServer
from edgebook.decoding.service.storage import load_models, save_models, serving
