"""A boto3 session whose clients talk to the simulator, whatever the environment says."""

from __future__ import annotations

from typing import Any

import boto3
import botocore.loaders
import botocore.session

_LOADER = (
    botocore.loaders.create_loader()
)  # shared: every session would otherwise read the service models again


class SimulatedSession(boto3.Session):
    """Like `boto3.Session`; clients and resources get the simulator's endpoint unless they are given another."""

    def __init__(self, *, endpoint: str, **options: Any) -> None:
        core = botocore.session.Session()
        core.register_component("data_loader", _LOADER)
        super().__init__(botocore_session=core, **options)
        self._endpoint = endpoint or None

    def client(self, *args: Any, **options: Any) -> Any:
        """A client of the simulator."""
        options.setdefault("endpoint_url", self._endpoint)
        return super().client(*args, **options)

    def resource(self, *args: Any, **options: Any) -> Any:
        """A resource of the simulator."""
        options.setdefault("endpoint_url", self._endpoint)
        return super().resource(*args, **options)
