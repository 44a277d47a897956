"""The same questions at a size that no machine holds: Athena over the buckets where the logs lie.

References:
    https://docs.aws.amazon.com/athena/latest/ug/what-is.html
"""

from __future__ import annotations

from irkit.hunt.athena.asking import ask_lake
from irkit.hunt.athena.emission import emitted
from irkit.hunt.athena.lake import Estimate, Lake
from irkit.hunt.athena.setup import setup
from irkit.hunt.athena.sources import Source

__all__ = ["Estimate", "Lake", "Source", "ask_lake", "emitted", "setup"]
