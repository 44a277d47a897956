"""Execute a notebook for a case: checked parameters, papermill in this process, and the outcome read back.

papermill would write to S3 after every cell, reports only 0 or 1, and lets the kernel listen on TCP. Here the output is
a local file, sockets are local files, and what went wrong has a type. https://papermill.readthedocs.io
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irkit.errors import IrkitError, MissingExtra
from irkit.escape import for_terminal
from irkit.notebook.catalog import find
from irkit.notebook.models import model_of
from irkit.notebook.parameters import checked
from irkit.notebook.results import MIME


class NotebookFailed(IrkitError):
    """A cell raised, ran out of time, or the kernel died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A notebook that ran to its end: where its output is, and what its last cell reported."""

    notebook: str
    output: Path
    status: str
    missing: tuple[str, ...]
    written: tuple[Mapping[str, Any], ...]


def execute(notebook: str, parameters: Mapping[str, Any], output: Path, *, timeout: float) -> Execution:
    """Run `notebook` with `parameters`; its output is at `output` also when it fails (`NotebookFailed`).

    `timeout` is in seconds, for the whole notebook: its kernel is killed when they have passed. Parameters are checked
    before a kernel starts (`InvalidParameter`). A notebook that ends without the result of `irkit.notebook.finish`
    is done in part, for nobody knows what it did.
    """
    source = find(notebook)
    given = checked(model_of(notebook), dict(parameters)).model_dump(mode="json")
    try:
        with warnings.catch_warnings():
            # papermill 2.7 still uses what its own dependencies deprecate.
            warnings.simplefilter("ignore", DeprecationWarning)
            import papermill
            from nbclient.exceptions import DeadKernelError
            from papermill.exceptions import PapermillException, PapermillExecutionError

            from irkit.notebook.kernel import limited, own_loop
    except ImportError as error:
        raise MissingExtra(
            f"cannot run notebooks: {error.name} is not installed", hint="pip install 'irkit-aws[notebooks]'"
        ) from error
    output.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill").setLevel(logging.ERROR)
    # When a run is cut off, by a full disk or by Ctrl-C, asyncio laments each task of nbclient's that ends with it.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with limited(timeout) as too_late, own_loop():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                ran = papermill.execute_notebook(
                    str(source.path),
                    str(output),
                    parameters=given,
                    kernel_name="python3",
                    progress_bar=False,
                    log_output=False,
                    start_timeout=60,
                    kernel_manager_class="irkit.notebook.kernel.QuietKernelManager",
                )
        except PapermillExecutionError as error:
            raise NotebookFailed(
                f"notebook {notebook}, cell {error.cell_index}: {error.ename}: {for_terminal(error.evalue)}"
            ) from None
        # RuntimeError: no kernel came up in time
        except (DeadKernelError, PapermillException, RuntimeError) as error:
            if too_late.is_set():
                raise NotebookFailed(
                    f"notebook {notebook}: not finished after {timeout:.0f} s",
                    hint="raise the timeout of the step or of the run",
                ) from error
            raise NotebookFailed(
                f"notebook {notebook}: {type(error).__name__}: {for_terminal(error)}", hint="run it again"
            ) from error
    result = _result(ran) or {
        "status": "partial",
        "missing": (f"{notebook} ended without saying what it did",),
    }
    return Execution(
        notebook=notebook,
        output=output,
        status=str(result.get("status", "partial")),
        missing=tuple(str(m) for m in result.get("missing", ())),
        written=tuple(result.get("written", ())),
    )


def _result(notebook: Any) -> Mapping[str, Any]:
    outputs = (o for cell in reversed(notebook.cells) for o in cell.get("outputs", ()))
    return next((o["data"][MIME] for o in outputs if MIME in o.get("data", {})), {})
