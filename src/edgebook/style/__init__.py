"""The shared look of figures and tables: legible on a light page, a dark page and a phone."""

from edgebook.style.figures import (
    BLUE,
    CYCLE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    YELLOW,
    heat,
    include,
    legend_below,
    log_ticks,
    reference,
    use,
)
from edgebook.style.samples import FEWEST, effects, means
from edgebook.style.tables import table
from edgebook.style.trips import player
