"""The control surface under `/irkit-sim/`: another process injects faults, switches agents, reads calls, delivers."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irkit.sim.simulator import Simulator


def answer(simulator: Simulator, environ: dict[str, Any]) -> tuple[int, bytes]:
    """Status and JSON body for one control request."""
    path = str(environ["PATH_INFO"]).removeprefix("/irkit-sim/").strip("/")
    method = str(environ["REQUEST_METHOD"])
    try:
        if (method, path) == ("GET", "health"):
            return _json({"status": "ready", "world": simulator.world_id, "pid": os.getpid()})
        if (method, path) == ("GET", "world"):
            return _json(_world(simulator))
        if (method, path) == ("GET", "calls"):
            return _json([_call(call) for call in simulator.calls()])
        if (method, path) == ("POST", "faults"):
            return _json(_inject(simulator, _body(environ)))
        if (method, path) == ("POST", "agents"):
            asked = _body(environ)
            simulator.hosts.switch_agent(str(asked["instance_id"]), online=bool(asked["online"]))
            return _json(asked)
        if (method, path) == ("POST", "delays"):
            asked = _body(environ)
            simulator.faults.delay(float(asked.pop("seconds")), **asked)
            return _json({"delayed": True})
        if (method, path) == ("DELETE", "faults"):
            simulator.faults.clear()
            return _json({"pending": 0})
        if (method, path) == ("POST", "deliver"):
            return _json({"keys": simulator.trail.deliver()})
    except (TypeError, ValueError, KeyError) as error:
        return 400, json.dumps({"error": str(error)}).encode()
    return 404, json.dumps({"error": f"no such control: {method} {path}"}).encode()


def _json(value: Any) -> tuple[int, bytes]:
    return 200, json.dumps(value, default=str).encode()


def _body(environ: dict[str, Any]) -> dict[str, Any]:
    size = int(environ.get("CONTENT_LENGTH") or 0)
    body = json.loads(environ["wsgi.input"].read(size) or b"{}")
    if not isinstance(body, dict):
        raise TypeError("the body must be a JSON object")
    return body


def _world(simulator: Simulator) -> dict[str, Any]:
    hosts = [
        {
            "instance_id": h.instance_id,
            "hostname": h.hostname,
            "running": h.running,
            "agent": h.agent,
            "trouble": h.trouble,
        }
        for h in simulator.hosts
    ]
    return {
        "world": simulator.world_id,
        "endpoint": simulator.endpoint,
        "region": simulator.region,
        "account": simulator.account,
        "forensics_account": simulator.forensics_account,
        "hosts": hosts,
        "calls": len(simulator.calls()),
    }


def _call(call: Any) -> dict[str, Any]:
    return dataclasses.asdict(call) | {"at": call.at.isoformat()}


def _inject(simulator: Simulator, asked: dict[str, Any]) -> dict[str, Any]:
    known = {"service", "operation", "code", "status", "times", "message", "after"}
    if unknown := set(asked) - known:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    service, operation, code = str(asked.pop("service")), str(asked.pop("operation")), str(asked.pop("code"))
    simulator.faults.inject(service, operation, code, **asked)
    return {"pending": len(simulator.faults.pending())}
