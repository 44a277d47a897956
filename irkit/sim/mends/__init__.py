"""What moto lacks or gets wrong, one module a service; importing a module puts its mends in place."""

from __future__ import annotations

import importlib

SERVICES = (
    "ebs",
    "ebs_direct",
    "cloudtrail",
    "ec2",
    "network",
    "endpoints",
    "volumes",
    "locks",
    "nodes",
    "ssm",
    "iam",
    "iam_limits",
    "sts",
    "federation",
    "kms",
    "s3",
    "autoscaling",
    "elbv2",
    "detection",
    "athena",
)


def install() -> None:
    """Put all mends in place."""
    for service in SERVICES:
        importlib.import_module(f"irkit.sim.mends.{service}")
