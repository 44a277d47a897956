"""Take the README's picture of a report with a headless browser, from the folder that `irkit demo --out` wrote."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).resolve().parent / "images" / "report.png"


def main() -> int:
    """Write docs/images/report.png; exit 2 when there is no report to show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", required=True, help="path of chromium or chrome")
    parser.add_argument("--demo", type=Path, required=True, help="folder that `irkit demo --out` wrote")
    parser.add_argument("--size", default="1280,1600")
    given = parser.parse_args()
    reports = sorted(given.demo.rglob("report*.html"), key=lambda path: path.stat().st_mtime)
    if not reports:
        print(f"no report in {given.demo}: run `make demo` first", file=sys.stderr)
        return 2
    PICTURE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        command = [given.browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        # The page is our own file and may not load anything; containers cannot give chromium its sandbox.
        command += ["--no-sandbox", f"--user-data-dir={profile}", f"--window-size={given.size}"]
        command += [f"--screenshot={PICTURE}", reports[-1].resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    print(f"{PICTURE} from {reports[-1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
