"""CPU seconds to start irkit, beside what it would cost to import what it stands on.

Best of several fresh processes, user and system time, bytecode compiled: on a busy machine the best is the honest one.
The promise is 0.15 s for `import irkit` and for `irkit --help`; a test holds it by what is loaded, not by the clock.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROUNDS = 7
PROMISE = 0.15
IRKIT = Path(sysconfig.get_path("scripts")) / "irkit"
COMMANDS = {
    "an empty interpreter": [sys.executable, "-c", ""],
    "import irkit": [sys.executable, "-c", "import irkit"],
    "irkit --help": [str(IRKIT), "--help"],
    "irkit capture --help": [str(IRKIT), "capture", "--help"],
    "import boto3": [sys.executable, "-c", "import boto3"],
    "import pydantic": [sys.executable, "-c", "from pydantic import BaseModel"],
    "import pandas": [sys.executable, "-c", "import pandas"],
    "aws --version": [str(IRKIT.with_name("aws")), "--version"],
}
PROMISED = {"import irkit", "irkit --help"}


def cpu_seconds(command: list[str]) -> float:
    """User and system seconds of one run; raises when the command fails."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{command} exited with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Print the table; exit 1 when the promise is broken."""
    best: dict[str, float] = {}
    for name, command in COMMANDS.items():
        if Path(command[0]).exists():
            cpu_seconds(command)  # the first run compiles
            best[name] = min(cpu_seconds(command) for _ in range(ROUNDS))
    unit = best["import irkit"]
    print(f"{'':24}{'CPU s':>8}{'x import irkit':>18}")
    for name, seconds in best.items():
        broken = "   over the promise of 0.15 s" if name in PROMISED and seconds > PROMISE else ""
        print(f"{name:24}{seconds:8.3f}{seconds / unit:18.1f}{broken}")
    return int(any(best[name] > PROMISE for name in PROMISED & set(best)))


if __name__ == "__main__":
    sys.exit(main())
