"""The shared look of figures and tables: legible on a light page, a dark page and a phone."""

from edgebook.style.figures import (
    BLUE,
    CYCLE,
    FEWEST,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    YELLOW,
    effects,
    heat,
    include,
    legend_below,
    log_ticks,
    means,
    reference,
    use,
)
from edgebook.style.tables import table
