"""Edge and cloud as two processes: the target behind gRPC, and a client that drafts, drafts ahead and resumes."""

from edgebook.decoding.service.client import EdgeClient as EdgeClient
from edgebook.decoding.service.client import ServiceError as ServiceError
from edgebook.decoding.service.pacing import Delay as Delay
from edgebook.decoding.service.server import DecodingServer as DecodingServer
from edgebook.decoding.service.storage import load_models as load_models
from edgebook.decoding.service.storage import save_models as save_models
from edgebook.decoding.service.storage import serving as serving
