"""Our signatures are botocore's: the same request, credentials and moment give the same header."""

from __future__ import annotations

import datetime as dt
from datetime import UTC, datetime
from typing import Any

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from irkit.capture.image.signing import Signer, block_request

HOST = "ebs.eu-central-1.amazonaws.com"
KEYS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=24)
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=44)
TOKENS = st.none() | st.text("abcXYZ019+/=", min_size=4, max_size=400)
FIRST = datetime(2020, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 20 * 365 * 86400).map(lambda seconds: FIRST + dt.timedelta(seconds=seconds))


def botocores(credentials: Credentials, region: str, path: str, query: str, at: datetime) -> dict[str, str]:
    """The headers that botocore signs the request with."""
    request = AWSRequest("GET", f"https://{HOST}{path}?{query}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(botocore.auth, "get_current_datetime", lambda: at)
        SigV4Auth(credentials, "ebs", region).add_auth(request)
    return dict(request.headers.items())


@given(
    key=KEYS,
    secret=SECRETS,
    token=TOKENS,
    region=st.sampled_from(["eu-central-1", "us-gov-west-1", "cn-north-1"]),
    index=st.integers(0, 2**25),
    block_token=st.text("abcXYZ019+/=", min_size=8, max_size=80),
    at=MOMENTS,
)
def test_a_signed_request_has_the_headers_that_botocore_would_give_it(
    key: str, secret: str, token: str | None, region: str, index: int, block_token: str, at: datetime
) -> None:
    path, query = block_request("snap-0123456789abcdef0", index, block_token)
    credentials = Credentials(key, secret, token)
    ours = Signer(credentials, region=region, service="ebs", host=HOST).headers(
        path, query, moment=at.timestamp()
    )
    assert ours.pop("Host") == HOST
    assert ours == botocores(credentials, region, path, query, at)


def test_the_key_of_the_day_follows_the_day_and_the_credentials() -> None:
    class Renewed:
        """Credentials that are others each time, as those of a role are after an hour."""

        secret = "one"

        def get_frozen_credentials(self) -> Any:
            return Credentials("AKIAIOSFODNN7EXAMPLE", self.secret).get_frozen_credentials()

    given_by = Renewed()
    signer = Signer(given_by, region="us-east-1", service="ebs", host=HOST)
    path, query = block_request("snap-0123456789abcdef0", 1, "t")
    for secret, day in (("one", 1), ("one", 2), ("two", 2), ("one", 1)):
        given_by.secret = secret
        at = datetime(2026, 11, day, 23, 59, 59, tzinfo=UTC)
        expected = botocores(Credentials("AKIAIOSFODNN7EXAMPLE", secret), "us-east-1", path, query, at)
        assert (
            signer.headers(path, query, moment=at.timestamp())["Authorization"] == expected["Authorization"]
        )
