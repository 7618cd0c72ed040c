"""What a code means, before training and while it runs."""

from __future__ import annotations

from typing import Any

from fanin.diagnosis import CHECKS
from fanin.errors import UnknownName
from fanin.monitor.alarms import ALARMS


def explained(code: str) -> dict[str, Any]:
    """The page of a check, of an alarm, or of both, by a code or a name such as "vanishing gradients".

    Raises:
        UnknownName: neither has it; the message names the nearest.

    Example:
        >>> page = explained("t02")
        >>> page["name"], page["page"], "median" in page["watch"]
        ('gradient spike', None, True)
    """
    alarms = {alarm.code: alarm for alarm in ALARMS}
    names = {c.name: c.code for c in CHECKS.values()} | {a.name: a.code for a in ALARMS}
    found = names.get(code.lower(), code.upper())
    check, alarm = CHECKS.get(found), alarms.get(found)
    known = check or alarm
    if known is None:
        raise UnknownName("finding", code, [*CHECKS, *(a for a in alarms if a not in CHECKS), *names])
    return {
        "code": known.code,
        "name": known.name,
        "summary": known.summary,
        "needs": check.needs if check else None,
        "start_helps": check is not None and check.remedy is not None,
        "page": check.page if check else None,
        "watch": alarm.page if alarm else None,
    }
