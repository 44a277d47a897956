"""CloudTrail: Event History, which moto does not have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from moto.cloudtrail.responses import CloudTrailResponse
from moto.core.responses import ActionResult

from irkit.sim import trail, world
from irkit.sim.faults import Refusal
from irkit.sim.seams import adds


@adds(CloudTrailResponse)
def lookup_events(self: Any) -> ActionResult:
    """Management events of the last 90 days, newest first, 50 a page."""
    history = world.current().trail
    size = min(int(self._get_param("MaxResults") or trail.PAGE), trail.PAGE)
    token = self._get_param("NextToken")
    if token:
        records, following = history.next_page(str(token), size)
    else:
        attributes = self._get_param("LookupAttributes") or []
        trail.check_attributes(attributes)
        start, end = _moment(self._get_param("StartTime")), _moment(self._get_param("EndTime"))
        if start and end and start > end:
            raise Refusal("InvalidTimeRangeException", "The start time is later than the end time.")
        found = history.history(
            account=self.current_account,
            region=self.region,
            attributes=attributes,
            start=start,
            end=end,
            category=self._get_param("EventCategory"),
        )
        records, following = history.page(found, size)
    answer: dict[str, Any] = {"Events": [trail.event(record) for record in records]}
    if following:
        answer["NextToken"] = following
    return ActionResult(answer)


@adds(CloudTrailResponse)
def list_public_keys(self: Any) -> ActionResult:
    """The public key that digest files are signed with."""
    delivery = world.current().delivery
    start, end = _moment(self._get_param("StartTime")), _moment(self._get_param("EndTime"))
    return ActionResult({"PublicKeyList": delivery.public_keys(start, end) if delivery is not None else []})


def _moment(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromtimestamp(float(value), UTC)
