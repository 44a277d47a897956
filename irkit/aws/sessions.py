"""Sessions that can be told apart from the attacker's: every call carries the case and the responder.

Session name, SourceIdentity, session tags and user agent all name the case, so irkit's own calls are recognised in the
very logs that it analyses. https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_monitor.html
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    DeferredRefreshableCredentials,
)

from irkit._version import __version__
from irkit.aws.names import arn_parts, role_arn
from irkit.aws.refusals import translating
from irkit.errors import NoCredentials

# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html: RoleSessionName and SourceIdentity
_NOT_IN_NAMES = re.compile(r"[^\w+=,.@-]", re.ASCII)
# https://docs.aws.amazon.com/STS/latest/APIReference/API_Tag.html
_NOT_IN_TAGS = re.compile(r"[^\w .:/=+@-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who AWS says we are."""

    account: str
    arn: str
    user_id: str


class _AssumedRole(CredentialProvider):
    """Gives botocore the role's credentials, and new ones before they expire."""

    METHOD = "irkit-assume-role"

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def load(self) -> DeferredRefreshableCredentials:
        """Credentials that are fetched when they are first used."""
        return DeferredRefreshableCredentials(
            method=self.METHOD, refresh_using=self._fetcher.fetch_credentials
        )


class Sessions:
    """Clients for one case. Thread-safe: clients are made under a lock and shared.

    `role` is assumed when given, with the case in the session's name and tags; otherwise the caller's own credentials
    are used (botocore's chain) and only the user agent carries the case.
    """

    def __init__(self, *, case_id: str, responder: str, region: str, role: str | None = None) -> None:
        self.case_id = case_id
        self.responder = responder
        self.region = region
        self.role = role_arn(role) if role else None
        self._many = False
        self._elsewhere: dict[tuple[str, str], Sessions] = {}
        self._lock = threading.RLock()
        self._clients: dict[tuple[str, str], Any] = {}
        self._session: boto3.Session | None = None

    @property
    def user_agent(self) -> str:
        """What irkit adds to the user agent of every request."""
        return f"irkit/{__version__} case/{self.case_id}"

    @property
    def session_name(self) -> str:
        """The role session's name: `irkit-<case>-<responder>`, cut to the 64 characters that AWS allows."""
        return _NOT_IN_NAMES.sub("-", f"irkit-{self.case_id}-{self.responder}")[:64]

    @property
    def source_identity(self) -> str:
        """The responder as SourceIdentity, which AWS wants to have 2 to 64 characters."""
        name = _NOT_IN_NAMES.sub("-", self.responder)[:64]
        return name if len(name) > 1 else f"responder-{name}"

    def client(self, service: str, *, region: str | None = None) -> Any:
        """The boto3 client for `service`; retries, timeouts and attribution are set."""
        key = (service, region or self.region)
        with self._lock:
            if key not in self._clients:
                with translating(f"sign in for {service}", region=key[1]):
                    session: Any = self.session()
                    self._clients[key] = session.client(service, region_name=key[1], config=self._config())
            return self._clients[key]

    def session(self) -> boto3.Session:
        """The boto3 session behind the clients; it renews the role's credentials by itself."""
        with self._lock:
            if self._session is None:
                self._session = (
                    boto3.Session(region_name=self.region) if self.role is None else self._assumed(self.role)
                )
            return self._session

    def identity(self) -> Identity:
        """Who AWS says we are (`sts:GetCallerIdentity`, which needs no permission)."""
        with translating("ask AWS who we are", region=self.region):
            said = self.client("sts").get_caller_identity()
        return Identity(account=said["Account"], arn=said["Arn"], user_id=said["UserId"])

    def share(self) -> None:
        """Prepare for many captures at once: when AWS asks for fewer requests, all of them slow down together.

        The client of a service is one for all of them, and in botocore's adaptive mode so is its rate. Without it each
        would go on at its own pace and they would use up the client's allowance of retries for each other.
        https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
        """
        with self._lock:
            if not self._many:
                self._many = True
                self._clients.clear()
            for other in self._elsewhere.values():
                other.share()

    def elsewhere(self, role: str, *, region: str) -> Sessions:
        """The case's sessions under another role, such as one of the forensics account: one for all who ask for it."""
        with self._lock:
            if (role, region) not in self._elsewhere:
                other = Sessions(case_id=self.case_id, responder=self.responder, region=region, role=role)
                if self._many:
                    other.share()
                self._elsewhere[role, region] = other
            return self._elsewhere[role, region]

    def _config(self) -> Config:
        return Config(
            user_agent_extra=self.user_agent,
            retries={"mode": "adaptive" if self._many else "standard", "max_attempts": 6},
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=128 if self._many else 32,
        )

    def _assumed(self, role: str) -> boto3.Session:
        base = botocore.session.get_session()
        base.set_config_variable("region", self.region)
        with translating("find credentials", region=self.region):
            source = base.get_credentials()
        if source is None:
            raise NoCredentials(
                f"no AWS credentials to assume {role} with",
                hint="sign in (aws sso login, or set AWS_PROFILE or AWS_ACCESS_KEY_ID)",
            )

        def client(name: str, **keywords: Any) -> Any:
            config = self._config().merge(keywords.pop("config", None) or Config())
            return base.create_client(name, region_name=self.region, config=config, **keywords)

        fetcher = AssumeRoleCredentialFetcher(
            client,
            source,
            role,
            extra_args={
                "RoleSessionName": self.session_name,
                "SourceIdentity": self.source_identity,
                "Tags": [
                    {"Key": "irkit:case", "Value": self.case_id},
                    {"Key": "irkit:responder", "Value": _NOT_IN_TAGS.sub("-", self.responder)[:256]},
                ],
            },
        )
        assumed = botocore.session.get_session()
        assumed.set_config_variable("region", self.region)
        assumed.get_component("credential_provider").insert_before("env", _AssumedRole(fetcher))
        return boto3.Session(botocore_session=assumed, region_name=self.region)

    def __repr__(self) -> str:
        who = arn_parts(self.role).name if self.role else "own credentials"
        return f"<Sessions {self.case_id}: {who} in {self.region}>"
