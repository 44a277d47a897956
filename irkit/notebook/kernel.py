"""The kernel that runs irkit's notebooks: like any other, but quiet, and reached by sockets in a folder of its own.

A kernel inherits the terminal and talks to it when it starts and ends; among the lines of a response that is noise.
What cells print travels in the notebook and is kept. jupyter_client names local sockets after the working directory, so
that a kernel which starts while another ends can wait for ever at its sockets; and parameters and evidence cross them.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop

_here = threading.local()


@contextmanager
def limited(seconds: float) -> Iterator[threading.Event]:
    """Kill the kernels that this thread starts in the block once `seconds` have passed, and say so by the event.

    A time limit of cells would not do: nobody would end the cells that come after the one that took long.
    """
    started: list[QuietKernelManager] = []
    too_late, over = threading.Event(), threading.Event()

    def watch() -> None:
        if over.wait(seconds):
            return
        too_late.set()
        while not over.wait(0.2):  # again: a kernel may have been about to start
            for manager in started:
                manager.kill()

    threading.Thread(target=watch, name="irkit-time-limit", daemon=True).start()
    _here.started = started
    try:
        yield too_late
    finally:
        over.set()
        _here.started = None


@contextmanager
def own_loop() -> Iterator[None]:
    """Close the event loop that Jupyter makes for this thread, which would keep three files open after the thread."""
    if threading.current_thread() is threading.main_thread():
        yield
        return
    loop = ensure_event_loop()
    try:
        yield
    finally:
        if not loop.is_running():
            loop.close()
            asyncio.set_event_loop(None)


class QuietKernelManager(AsyncKernelManager):
    """Starts kernels whose standard output and error are not ours, on sockets that only this user can reach."""

    def __init__(self, **options: Any) -> None:
        # Short on purpose: a Unix socket's path has room for about a hundred characters.
        self._sockets = Path(tempfile.mkdtemp(prefix="irkit-"))
        super().__init__(**(options | {"transport": "ipc", "ip": str(self._sockets / "k")}))

        started = getattr(_here, "started", None)
        if started is not None:
            started.append(self)

    def kill(self) -> None:
        """End the kernel's process at once, from any thread."""
        process = getattr(self.provisioner, "process", None)
        if process is not None:
            process.kill()

    async def _async_pre_start_kernel(self, **kw: Any) -> tuple[list[str], dict[str, Any]]:
        command, options = await super()._async_pre_start_kernel(**kw)
        if "ipykernel_launcher" in command:
            # A kernel that someone registered as "python3" may be of another environment, without irkit.
            command = [sys.executable, *command[1:]]
        return command, options | {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    pre_start_kernel = _async_pre_start_kernel

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart=restart)
        if not restart:
            shutil.rmtree(self._sockets, ignore_errors=True)

    cleanup_resources = _async_cleanup_resources
