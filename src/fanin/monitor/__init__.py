"""WATCH: what a model does while it trains, and a warning when something begins to go wrong.

A `Watch` is what was seen: records, and onsets, each a `Finding` with the step at which it began. `Watching` is the
open watch of a loop. To add a warning: a file in `alarms/` with an `Alarm`, a line in `ALARMS`.
"""

from fanin.monitor.account import Onset, Record, Watch
from fanin.monitor.alarm import Alarm
from fanin.monitor.alarms import ALARMS
from fanin.monitor.keeper import replay
from fanin.monitor.lines import read_lines
from fanin.monitor.watching import Watching

__all__ = ["ALARMS", "Alarm", "Onset", "Record", "Watch", "Watching", "read_lines", "replay"]
