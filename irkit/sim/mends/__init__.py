"""What moto lacks or gets wrong, one module a service; importing a module puts its mends in place."""

from __future__ import annotations

import importlib

SERVICES = ("ebs", "cloudtrail", "ec2", "ssm")


def install() -> None:
    """Put all mends in place."""
    for service in SERVICES:
        importlib.import_module(f"irkit.sim.mends.{service}")
