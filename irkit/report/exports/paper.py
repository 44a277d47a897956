"""The report on paper: the HTML report, printed to PDF by a headless chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from irkit.errors import IrkitError, Refused
from irkit.escape import for_terminal

if TYPE_CHECKING:
    from datetime import datetime

    from irkit.report.casebook import Casebook

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE = 180  # seconds; a report of a thousand items takes about ten


def made(book: Casebook, at: datetime) -> bytes:
    """The report of the case as it stands, as PDF.

    Raises `Refused` where no chromium is installed (IRKIT_CHROMIUM names one that is not on the path).
    """
    from irkit.report import gallery, page

    browser = _browser()
    pictures, lacking = gallery.drawn(book)
    with tempfile.TemporaryDirectory(prefix="irkit-pdf-") as scratch:
        source = Path(scratch) / "report.html"
        source.write_text(page.rendered(book, pictures, lacking, at=at), encoding="utf-8")
        return _printed(browser, source, Path(scratch))


def _browser() -> str:
    named = os.environ.get("IRKIT_CHROMIUM")
    found = next((path for name in ([named] if named else BROWSERS) if (path := shutil.which(name))), None)
    if found is None:
        raise Refused(
            "the report cannot be printed: there is no chromium here",
            hint="install chromium (Debian: apt-get install chromium), or name one with IRKIT_CHROMIUM",
        )
    return found


def _printed(browser: str, source: Path, scratch: Path) -> bytes:
    target = scratch / "report.pdf"
    command = [
        browser, "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-extensions", "--no-pdf-header-footer",
        # The page is ours, says so in its content security policy, and has no scripts; it needs nobody else.
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={scratch / 'profile'}",
        f"--print-to-pdf={target}",
    ]  # fmt: skip
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # chromium refuses to sandbox root
    try:
        ran = subprocess.run(  # noqa: S603  the browser is the user\'s own, the page ours
            [*command, source.as_uri()], capture_output=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise IrkitError(
            f"{browser} did not print the report within {_PATIENCE} s", hint="open report.html and print it"
        ) from None
    if not target.is_file():
        said = for_terminal(ran.stderr.decode(errors="replace").strip()[-300:])
        raise IrkitError(
            f"{browser} could not print the report: {said}", hint="open report.html and print it"
        )
    return target.read_bytes()
