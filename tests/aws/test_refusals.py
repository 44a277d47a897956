from __future__ import annotations

from typing import Any

import botocore.exceptions as aws
import pytest

from irkit.aws.refusals import error_code, explained, translating
from irkit.errors import (
    AwsError,
    InvalidName,
    IrkitError,
    NoCredentials,
    NotFound,
    Refused,
    RegionDisabled,
    WrongState,
)

INSTANCE = "i-0123456789abcdef0"


def said(code: str, message: str = "AWS's words", **more: Any) -> IrkitError:
    """irkit's error for AWS's code."""
    error = aws.ClientError({"Error": {"Code": code, "Message": message}}, "DescribeInstances")
    return explained(error, **({"doing": "describe", "resource": INSTANCE} | more))


@pytest.mark.parametrize(
    ("code", "kind", "exit_code", "words"),
    [
        (
            "InvalidInstanceID.NotFound",
            NotFound,
            2,
            "does not exist (InvalidInstanceID.NotFound): check the id",
        ),
        ("InvalidInstanceID.Malformed", NotFound, 2, "is not an instance id"),
        ("NoSuchEntity", NotFound, 2, "does not exist"),
        ("NoSuchBucket", NotFound, 2, "does not exist"),
        ("404", NotFound, 2, "does not exist"),
        (
            "AccessDenied",
            Refused,
            4,
            "not allowed to describe i-0123456789abcdef0 (AccessDenied: AWS's words)",
        ),
        ("UnauthorizedOperation", Refused, 4, "ask for the permission, or use the responder role"),
        ("403", Refused, 4, "not allowed"),
        ("ExpiredToken", NoCredentials, 4, "have expired"),
        ("RequestExpired", NoCredentials, 4, "sign in (aws sso login"),
        ("InvalidClientTokenId", NoCredentials, 4, "AWS does not know the credentials"),
        ("AuthFailure", NoCredentials, 4, "AWS does not know the credentials"),
        ("SignatureDoesNotMatch", NoCredentials, 4, "AWS does not know the credentials"),
        ("OptInRequired", RegionDisabled, 4, "is not enabled in this account"),
        ("IncorrectInstanceState", WrongState, 4, "AWS's words"),
        ("IncorrectState", WrongState, 4, "look at its state"),
        ("NotSimulated", AwsError, 1, "the simulated AWS cannot describe"),
        (
            "RequestLimitExceeded",
            AwsError,
            1,
            "asks for fewer requests (RequestLimitExceeded): wait a minute",
        ),
        ("SlowDown", AwsError, 1, "asks for fewer requests"),
        ("InternalError", AwsError, 1, "has an error of its own"),
        ("SomethingNew", AwsError, 1, "cannot describe i-0123456789abcdef0 (SomethingNew: AWS's words)"),
        ("", AwsError, 1, "cannot describe"),
    ],
)
def test_each_code_has_its_error_its_exit_code_and_its_words(
    code: str, kind: type, exit_code: int, words: str
) -> None:
    error = said(code)
    assert type(error) is kind
    assert error.exit_code == exit_code
    assert words in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(("region", "kind"), [("me-south-1", RegionDisabled), ("us-east-1", NoCredentials)])
@pytest.mark.parametrize("code", ["AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException"])
def test_a_key_that_a_region_does_not_know_may_mean_that_the_region_is_off(
    code: str, region: str, kind: type
) -> None:
    assert type(said(code, region=region)) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aws.NoCredentialsError(), NoCredentials),
        (aws.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), NoCredentials),
        (aws.CredentialRetrievalError(provider="sso", error_msg="x"), NoCredentials),
        (aws.TokenRetrievalError(provider="sso", error_msg="x"), NoCredentials),
        (aws.UnauthorizedSSOTokenError(), NoCredentials),
        (aws.SSOTokenLoadError(error_msg="x"), NoCredentials),
        (aws.ProfileNotFound(profile="nobody"), NoCredentials),
        (aws.EndpointConnectionError(endpoint_url="https://ec2.nowhere-1.amazonaws.com"), AwsError),
        (aws.ConnectTimeoutError(endpoint_url="https://x"), AwsError),
        (aws.ReadTimeoutError(endpoint_url="https://x"), AwsError),
        (aws.SSLError(endpoint_url="https://x", error="bad"), AwsError),
        (aws.ParamValidationError(report="a\nb"), AwsError),
        (aws.NoRegionError(), AwsError),
        (ValueError("x\ny"), AwsError),
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_never_reached_aws_is_told_in_one_line_too(error: Exception, kind: type) -> None:
    found = explained(error, doing="describe", resource=INSTANCE, region="us-east-1")
    assert type(found) is kind
    assert "describe" in str(found)
    assert found.hint
    assert "\n" not in str(found)


def test_an_error_of_irkit_stays_what_it_is() -> None:
    ours = InvalidName("x")
    assert explained(ours, doing="describe") is ours


def test_what_aws_or_an_attacker_wrote_is_shown_harmless() -> None:
    shown = str(said("AccessDenied", "\x1b[2J\u202eevil", resource="role\x1b[31m\nname"))
    assert shown.isprintable()


def test_the_cause_is_kept() -> None:
    cause = aws.NoCredentialsError()
    with pytest.raises(NoCredentials) as caught, translating("describe", INSTANCE):
        raise cause
    assert caught.value.__cause__ is cause


def test_what_is_not_of_aws_passes_through() -> None:
    with pytest.raises(KeyError), translating("describe"):
        raise KeyError("x")


def test_a_code_is_told_from_the_lack_of_one() -> None:
    assert error_code(aws.ClientError({"Error": {"Code": "X"}}, "Y")) == "X"
    assert error_code(aws.ClientError({}, "Y")) == ""
    assert error_code(ValueError()) == ""
