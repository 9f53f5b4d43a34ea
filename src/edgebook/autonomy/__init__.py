"""Loops from sensing to action: a world to drive in, sensing at a cost, planning, monitors, events, teams."""

from edgebook.autonomy.completion import Completer, range_nll, seen
from edgebook.autonomy.control import commands, plan
from edgebook.autonomy.events import camera_events, changed_tiles, clusters, dotie
from edgebook.autonomy.koopman import Koopman, lqr
from edgebook.autonomy.memory import Memory, held, interpolate, no_memory, remember
from edgebook.autonomy.monitor import ScanVAE, alarms, corrupt, likelihood_regret, residual_score, threshold_at
from edgebook.autonomy.sensing import best_beams, cone, random_beams, sensing_energy, stride
from edgebook.autonomy.team import age_of_information, assign, views
from edgebook.autonomy.world import World, beam_angles, cast, clearance, make_worlds, step

try:
    from edgebook.autonomy.environment import SenseNav, SenseNavVector
    from edgebook.autonomy.loop import Arm, Fault, Trip, best_way, drive, straight
except ModuleNotFoundError as missing:
    if missing.name != "gymnasium":
        raise


def __getattr__(name: str) -> object:
    """Say what a name that is not here would need."""
    if name in ("SenseNav", "SenseNavVector"):
        needs = f"edgebook.autonomy.{name} needs Gymnasium: pip install 'edgebook[autonomy]'."
        raise ModuleNotFoundError(needs, name="gymnasium")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
