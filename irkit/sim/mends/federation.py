"""STS federation tokens: keys of their own for each, instead of the one pair that moto gives to everybody."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.sts.responses import TokenResponse

from irkit.sim import callers
from irkit.sim.faults import Refusal
from irkit.sim.seams import mends


@dataclass(slots=True, kw_only=True)
class FederatedUser:
    """A federated user's session, in the shape that moto keeps role sessions in."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    arn: str
    user_id: str
    policy: Any
    expiration: datetime
    role_arn: str = ""
    issued_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@mends(TokenResponse, "get_federation_token")
def get_federation_token(original: Any, self: Any) -> ActionResult:
    """Credentials for a federated user; refused to temporary credentials, as AWS does."""
    from moto.moto_api._internal import mock_random
    from moto.sts.models import sts_backends
    from moto.sts.utils import random_session_token

    caller = callers.identify(self.get_access_key(), self.current_account)
    if caller.session is not None:
        raise Refusal("AccessDenied", "Cannot call GetFederationToken with session credentials", 403)
    answer: ActionResult = original(self)
    result: Any = answer.result
    policy = self._get_param("Policy")
    user = FederatedUser(
        access_key_id="ASIA" + mock_random.get_random_string(16, include_digits=True).upper(),
        secret_access_key=mock_random.get_random_string(40),
        session_token=random_session_token(),
        arn=result["FederatedUser"]["Arn"],
        user_id=result["FederatedUser"]["FederatedUserId"],
        policy=json.loads(policy) if policy else None,
        expiration=datetime.now(UTC) + timedelta(seconds=int(self._get_param("DurationSeconds") or 43_200)),
    )
    sessions: list[Any] = sts_backends[self.current_account]["aws"].assumed_roles
    sessions.append(user)
    result["Credentials"] |= {
        "AccessKeyId": user.access_key_id,
        "SecretAccessKey": user.secret_access_key,
        "SessionToken": user.session_token,
    }
    return ActionResult(result)
