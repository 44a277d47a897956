"""Logs of a made-up company for benchmarks: CloudTrail and flow logs of any size, with a planted incident.

The bytes follow from the seed alone, whatever the number of processes. Each kind writes a `truth.json` that says what
was planted, so that a benchmark can check answers as well as time them. Addresses are private, for documentation
(RFC 5737) or for benchmarks (RFC 2544).
"""

from __future__ import annotations
