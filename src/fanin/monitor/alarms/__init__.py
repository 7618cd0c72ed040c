"""ALARMS: what is looked for while a model trains; one a file.

To add one: a file with an `ALARM`, a line here.
"""

from typing import Final

from fanin.monitor.alarm import Alarm
from fanin.monitor.alarms import (
    clipping,
    dead,
    depth,
    diverging,
    flat,
    no_gradient,
    no_update,
    non_finite,
    saturated,
    spike,
    update,
)

ALARMS: Final[tuple[Alarm, ...]] = (
    non_finite.ALARM,
    diverging.ALARM,
    flat.ALARM,
    spike.ALARM,
    depth.VANISHING,
    depth.EXPLODING,
    dead.ALARM,
    saturated.ALARM,
    update.ALARM,
    no_gradient.ALARM,
    no_update.ALARM,
    clipping.ALARM,
)

__all__ = ["ALARMS"]
