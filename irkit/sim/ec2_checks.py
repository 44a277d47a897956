"""What EC2 answers before it acts: malformed ids, instances that do not exist, and dry runs."""

from __future__ import annotations

import re
from typing import Any

from moto.core.utils import camelcase_to_underscores, method_names_from_class

from irkit.sim.faults import Refusal

_ID = re.compile(r"^[0-9a-f]{8}(?:[0-9a-f]{9})?$")
_INSTANCE = re.compile(r"^InstanceId(?:s?\.\d+|s)?$|^InstanceSpecification\.InstanceId$")
_SNAPSHOT = re.compile(r"^(?:Source)?SnapshotId(?:s?\.\d+|s)?$")


def refuse(operation: str, response: Any) -> Refusal | None:
    """The refusal, if there is one; `DryRunOperation` means that the call would have been allowed."""
    dry = False
    instance_ids = []
    for name, values in response.querystring.items():
        value = str(values[0]) if isinstance(values, list) else str(values)
        if name == "DryRun":
            dry = value.lower() == "true"
        elif _INSTANCE.match(name):
            if not _well_formed(value, "i-"):
                return Refusal("InvalidInstanceID.Malformed", f'Invalid id: "{value}"')
            instance_ids.append(value)
        elif _SNAPSHOT.match(name) and not _well_formed(value, "snap-"):
            return Refusal("InvalidSnapshotID.Malformed", f'Invalid id: "{value}" (expecting "snap-...")')
    if not dry or camelcase_to_underscores(operation) not in method_names_from_class(type(response)):
        return None
    known = {instance.id for instance in response.ec2_backend.all_instances()}
    for instance_id in instance_ids:
        if instance_id not in known:
            return Refusal("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
    return Refusal("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)


def _well_formed(value: str, prefix: str) -> bool:
    return value.startswith(prefix) and bool(_ID.match(value.removeprefix(prefix)))
