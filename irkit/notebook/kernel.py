"""The kernel that runs irkit's notebooks: like any other, but quiet, and reached by sockets in a folder of its own.

A kernel inherits the terminal and talks to it when it starts and ends; among the lines of a response that is noise.
What cells print travels in the notebook and is kept. jupyter_client names local sockets after the working directory, so
that a kernel which starts while another ends can wait for ever at its sockets; and parameters and evidence cross them.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager


class QuietKernelManager(AsyncKernelManager):
    """Starts kernels whose standard output and error are not ours, on sockets that only this user can reach."""

    def __init__(self, **options: Any) -> None:
        # Short on purpose: a Unix socket's path has room for about a hundred characters.
        self._sockets = Path(tempfile.mkdtemp(prefix="irkit-"))
        super().__init__(**(options | {"transport": "ipc", "ip": str(self._sockets / "k")}))

    async def _async_pre_start_kernel(self, **kw: Any) -> tuple[list[str], dict[str, Any]]:
        command, options = await super()._async_pre_start_kernel(**kw)
        return command, options | {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    pre_start_kernel = _async_pre_start_kernel

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart=restart)
        if not restart:
            shutil.rmtree(self._sockets, ignore_errors=True)

    cleanup_resources = _async_cleanup_resources
