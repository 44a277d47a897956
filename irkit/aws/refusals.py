"""What AWS says when it says no, as irkit's errors: what, which resource, what to do next.

Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and the common errors of each
service. A code without a rule here becomes `AwsError` and keeps AWS's own words.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import botocore.exceptions as aws

from irkit.errors import AwsError, IrkitError, NoCredentials, NotFound, Refused, RegionDisabled, WrongState
from irkit.escape import for_terminal

_SIGN_IN = "sign in (aws sso login, or set AWS_PROFILE or AWS_ACCESS_KEY_ID) and run the same command again"
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN_KEY = frozenset(
    {
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "AuthFailure",
        "SignatureDoesNotMatch",
    }
)
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "Client.UnauthorizedOperation",
        "AuthorizationError",
        "403",
    }
)
_ABSENT = ("NotFound", "NoSuchEntity", "NoSuchBucket", "NoSuchKey", "InvalidInstanceId", "404")
_STATE = frozenset(
    {"IncorrectState", "IncorrectInstanceState", "InvalidInstanceState", "OperationNotPermitted"}
)

_BUSY = frozenset(
    {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown"}
)
_THEIRS = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ServiceUnavailable",
        "Unavailable",
        "500",
        "503",
    }
)

# On in every account and impossible to switch off, so that there a key that AWS does not know is a wrong key.
# https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html
_ALWAYS_ON = frozenset({
    "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
    "ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1",
    "us-east-2", "us-west-1", "us-west-2",
})  # fmt: skip


def error_code(error: BaseException) -> str:
    """The error code that AWS gave, or '' when `error` did not come from an AWS service."""
    if isinstance(error, aws.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def explained(error: Exception, *, doing: str, resource: str = "", region: str = "") -> IrkitError:
    """The irkit error for `error`, met while `doing` something to `resource` in `region`."""
    resource = for_terminal(resource)
    where = f" in {region}" if region else ""
    what = f"{doing} {resource}".strip() + where
    if isinstance(error, IrkitError):
        return error
    if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError | aws.CredentialRetrievalError):
        return NoCredentials(f"no usable AWS credentials to {what}", hint=_SIGN_IN)
    if isinstance(error, aws.TokenRetrievalError | aws.SSOTokenLoadError | aws.UnauthorizedSSOTokenError):
        return NoCredentials(f"the single sign-on session has ended; cannot {what}", hint=_SIGN_IN)
    if isinstance(error, aws.ProfileNotFound):
        return NoCredentials(f"cannot {what}: {for_terminal(error)}", hint=_SIGN_IN)
    if isinstance(
        error,
        aws.EndpointConnectionError | aws.ConnectTimeoutError | aws.ReadTimeoutError | aws.ConnectionError,
    ):
        return AwsError(
            f"cannot reach AWS to {what} ({type(error).__name__})",
            hint="check the network, the region's name and AWS_ENDPOINT_URL, then run it again",
        )
    if not isinstance(error, aws.ClientError):
        return AwsError(
            f"cannot {what}: {type(error).__name__}: {for_terminal(error)}", hint="see the journal"
        )
    said = for_terminal(error.response.get("Error", {}).get("Message", ""))
    return _answered(error_code(error), said, what=what, resource=resource, region=region)


def _answered(code: str, said: str, *, what: str, resource: str, region: str) -> IrkitError:
    """The irkit error for an answer of AWS, whose words are `said`."""
    where = f" in {region}" if region else ""
    if code in _EXPIRED:
        return NoCredentials(f"the AWS credentials have expired; cannot {what}", hint=_SIGN_IN)
    if code == "OptInRequired" or (code in _UNKNOWN_KEY and region and region not in _ALWAYS_ON):
        return RegionDisabled(
            f"cannot {what} ({code})",
            hint=f"{region or 'the region'} is not enabled in this account, "
            "or the credentials are not valid; enable it, choose another region or sign in again",
        )
    if code in _UNKNOWN_KEY:
        return NoCredentials(f"AWS does not know the credentials; cannot {what} ({code})", hint=_SIGN_IN)
    if code in _DENIED:
        return Refused(
            f"not allowed to {what} ({code}: {said})",
            hint="ask for the permission, or use the responder role (--role)",
        )
    if code.startswith("InvalidInstanceID.Malformed"):
        return NotFound(f"{resource} is not an instance id", hint="it looks like i-0123456789abcdef0")
    if code == "NoSuchBucket":
        return NotFound(
            f"cannot {what}: the bucket does not exist ({code})", hint="check its name and the account"
        )
    if any(mark in code for mark in _ABSENT):
        return NotFound(
            f"{resource or 'it'} does not exist{where} ({code})",
            hint="check the id, the account and the region",
        )
    if code in _STATE:
        return WrongState(f"cannot {what} ({code}: {said})", hint="look at its state with `irkit preflight`")
    if code in _BUSY | _THEIRS:
        fault = "asks for fewer requests" if code in _BUSY else "has an error of its own"
        return AwsError(
            f"cannot {what}: AWS {fault} ({code})", hint="wait a minute and run the same command again"
        )
    if code == "NotSimulated":
        return AwsError(
            f"the simulated AWS cannot {what}: {said}", hint="see the fidelity table in the documentation"
        )
    return AwsError(f"cannot {what} ({code}: {said})", hint="see the journal for the request id")


@contextmanager
def translating(doing: str, resource: str = "", *, region: str = "") -> Iterator[None]:
    """Raise irkit's error, in words, in place of botocore's. `doing` reads after "cannot", as in "describe"."""
    try:
        yield
    except (aws.BotoCoreError, aws.ClientError) as error:
        raise explained(error, doing=doing, resource=resource, region=region) from error
