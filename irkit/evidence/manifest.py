"""The manifest: what the case holds, rendered from the journal so that the two can be held against each other.

`manifest.json` has every item with all that is known of it and the journal's head at the time; `manifest-sha256.txt`
is the same in the form that `sha256sum --check` and BagIt (RFC 8493, section 2.1.3) read, so that a stranger can verify
the files with nothing of irkit at hand.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from irkit.durable import replace
from irkit.evidence.items import Item

MANIFEST = "manifest.json"
SUMS = "manifest-sha256.txt"


def rendered(case_id: str, items: Sequence[Item], head: tuple[int, str]) -> tuple[bytes, bytes]:
    """The bytes of `manifest.json` and of `manifest-sha256.txt`."""
    document: dict[str, Any] = {
        "schema": "irkit/manifest/1",
        "case": case_id,
        "journal": {"entries": head[0] + 1, "head": head[1]},
        "items": [i.to_dict() for i in items],
    }
    sums = "".join(f"{i.sha256}  {i.path}\n" for i in items)
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode("ascii"), sums.encode("ascii")


def write(root: Path, case_id: str, items: Sequence[Item], head: tuple[int, str]) -> None:
    """Put both files into the case folder, each in one move."""
    document, sums = rendered(case_id, items, head)
    replace(root / SUMS, sums)
    replace(root / MANIFEST, document)
