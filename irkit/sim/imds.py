"""What an instance's metadata service would hand out: a session of the role in its instance profile."""

from __future__ import annotations

from typing import Any

_SESSION_SECONDS = 6 * 3600


def instance_role(instance: Any, account: str) -> Any:
    """The role in the instance's profile; None when it has none."""
    from moto.iam.models import iam_backends

    profile = instance.iam_instance_profile
    name = getattr(profile, "name", None)
    if name is None and profile:
        name = profile.get("Name") or str(profile.get("Arn", "")).rsplit("/", 1)[-1]
    profiles = iam_backends[account]["aws"].instance_profiles
    held = next((p for p in list(profiles.values()) if p.name == name), None)
    return held.roles[0] if held is not None and held.roles else None


def instance_credentials(instance_id: str, account: str, region: str) -> Any:
    """A fresh role session named after the instance, as IMDS issues them; raises ValueError without a role."""
    from moto.ec2.models import ec2_backends
    from moto.sts.models import sts_backends

    from irkit.sim.callers import session_issued

    instance = ec2_backends[account][region].get_instance(instance_id)
    role = instance_role(instance, account)
    if role is None:
        raise ValueError(f"instance {instance_id} has no role")
    session = sts_backends[account]["aws"].assume_role(
        region_name=region,
        role_session_name=instance_id,
        role_arn=role.arn,
        policy=None,  # type: ignore[arg-type]  # moto's own default
        duration=_SESSION_SECONDS,
        external_id=None,  # type: ignore[arg-type]
    )
    session_issued(session)
    session.from_instance = True  # type: ignore[attr-defined]
    return session
