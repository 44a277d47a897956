"""Whether an instance is the machine that irkit itself runs on; whoever contains that locks themselves out.

Three things tell, any one of them is enough: the credentials in use are that instance's own; the firmware of this
machine names the instance, as Nitro machines do in the board's asset tag; the metadata service that this machine
reaches names it. Addresses are no proof: 10.0.0.5 is in many networks.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

from __future__ import annotations

import functools
import http.client
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from irkit.case import Case

ASSET_TAG = Path("/sys/devices/virtual/dmi/id/board_asset_tag")
_METADATA = "http://169.254.169.254"
_SECONDS = 0.5


def told_by(case: Case, instance: str) -> str | None:
    """What shows that irkit runs on `instance`; None when nothing does."""
    # aws:userid of a session from an instance's metadata service ends in the instance id
    if case.aws.identity().user_id.rpartition(":")[2] == instance:
        return "its own role session is in use"
    with suppress(OSError):
        if ASSET_TAG.read_text(errors="replace").strip() == instance:
            return "its firmware says so"
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
        endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _METADATA
        if _metadata_says(endpoint) == instance:
            return "its metadata service says so"
    return None


@functools.cache
def _metadata_says(endpoint: str) -> str | None:
    """The instance id that the metadata service (IMDSv2) at `endpoint` gives; None when there is no such service."""
    where = urlsplit(endpoint)
    with suppress(
        OSError, ValueError, http.client.HTTPException
    ):  # whatever answers there, it is no such service
        connection = http.client.HTTPConnection(where.hostname or "", where.port or 80, timeout=_SECONDS)
        try:
            lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
            connection.request("PUT", "/latest/api/token", headers=lifetime)
            token = connection.getresponse().read(4096).decode("ascii", "replace")
            connection.request(
                "GET", "/latest/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token}
            )
            said = connection.getresponse()
            return said.read(64).decode("ascii", "replace").strip() if said.status == 200 else None
        finally:
            connection.close()
    return None
