"""What every test can rely on: a clean AWS environment, no network but loopback, and skips that are counted.

A test that needs something of the machine says so with a marker (`needs_chromium`, `needs_mke2fs`,
`needs_user_namespaces`); where that is missing the test is skipped and named at the end of the run, never silently.
"""

from __future__ import annotations

import functools
import importlib.util
import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile(
    "irkit", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("irkit")


# --- environment --------------------------------------------------------------------------------------------

_LEAKING = ("AWS_", "IRKIT_", "MOTO_", "PAPERMILL_", "BOTO")
_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy"}


def _clean_environment(scratch: Path) -> None:
    for name in list(os.environ):
        if name.startswith(_LEAKING) or name.lower() in _PROXIES:
            del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE",
        AWS_SECRET_ACCESS_KEY="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=str(scratch / "no-aws-config"),
        AWS_SHARED_CREDENTIALS_FILE=str(scratch / "no-aws-credentials"),
        MOTO_EC2_LOAD_DEFAULT_AMIS="false",
        MPLBACKEND="agg",
        MPLCONFIGDIR=str(scratch / "matplotlib"),
        IPYTHONDIR=str(scratch / "ipython"),
    )
    # A test starts programs as a person would: with bytecode, or each start compiles boto3 again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


_SCRATCH = tempfile.TemporaryDirectory(prefix="irkit-tests-", ignore_cleanup_errors=True)
_clean_environment(Path(_SCRATCH.name))


@pytest.fixture(autouse=True)
def same_environment_after_each_test() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def service_models_are_read_once() -> Iterator[None]:
    """Every case has a boto3 session of its own, and each would read EC2's description anew: a second a test."""
    import botocore.session

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield


# --- network ------------------------------------------------------------------------------------------------


class OutsideConnectionError(RuntimeError):
    """A test tried to talk to something that is not on this machine."""


def _is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in {None, "", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return str(host).endswith(".localhost") or str(host) == socket.gethostname()


def _refuse_outside(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"}:
        connection, address = arguments
        if connection.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address[0]):
            raise OutsideConnectionError(f"{event} to {address}: tests stay on loopback")
    elif event == "socket.getaddrinfo" and not _is_loopback(arguments[0]):
        raise OutsideConnectionError(f"look-up of {arguments[0]!r}: tests stay on loopback")


# An audit hook sees every socket of the process, whichever library opens it, and no test can undo it.
sys.addaudithook(_refuse_outside)


# --- the machine --------------------------------------------------------------------------------------------


_WORKBENCH = ("jupyterlab", "jupyterlab_templates", "playwright")


def _program(*names: str) -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def _no_chromium() -> str | None:
    if _program("chromium", "chromium-browser", "google-chrome"):
        return None
    return "no chromium: apt-get install chromium"


def _no_jupyterlab() -> str | None:
    absent = [name for name in _WORKBENCH if importlib.util.find_spec(name) is None]
    return f"no {absent[0]}: `make test-workbench` has an environment with it" if absent else None


def _no_mke2fs() -> str | None:
    return None if _program("mke2fs") and _program("debugfs") else "no mke2fs: apt-get install e2fsprogs"


def _no_user_namespaces() -> str | None:
    unshare = _program("unshare")
    if unshare is None:
        return "no unshare: apt-get install util-linux"
    sandbox = [unshare, "--user", "--map-root-user", "--mount", "--pid", "--net", "--fork", "true"]
    if subprocess.run(sandbox, capture_output=True, timeout=20, check=False).returncode == 0:
        return None
    return "this kernel or container forbids user namespaces (sysctl kernel.unprivileged_userns_clone)"


_NEEDS = {
    "needs_chromium": functools.cache(_no_chromium),
    "needs_jupyterlab": functools.cache(_no_jupyterlab),
    "needs_mke2fs": functools.cache(_no_mke2fs),
    "needs_user_namespaces": functools.cache(_no_user_namespaces),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, missing in _NEEDS.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section("not tested on this machine")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:4d} skipped: {reason}")


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path; ask for it together with the `needs_chromium` marker."""
    path = _program("chromium", "chromium-browser", "google-chrome")
    if path is None:
        pytest.skip("no chromium: apt-get install chromium")
    return path


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The top of the git checkout that the tests stand in; skips where they were copied out of one."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not in a git checkout")
    return here


@pytest.fixture(scope="session")
def tracked(checkout: Path) -> list[str]:
    """Every file that git tracks and that is there, as paths relative to the checkout."""
    listed = subprocess.run(
        ["git", "-C", str(checkout), "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout
    return [name for name in listed.split("\0") if name and (checkout / name).is_file()]
