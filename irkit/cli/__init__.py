"""The command line: thin. Each group lives in its own module and is imported when it is used."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from irkit._version import __version__
from irkit.errors import IrkitError, MissingExtra, StorageError

_COMMANDS = {
    "demo": ("irkit.cli.demo:demo", "Investigate a compromise in a simulated AWS, from trigger to report."),
    "sim": ("irkit.cli.sim:sim", "A simulated AWS to practise on: up, status, down."),
    "case": ("irkit.cli.case:case", "Open, list, show, resume, undo and verify cases."),
    "preflight": ("irkit.cli.capture:preflight", "What can be captured, and what stands in the way."),
    "capture": ("irkit.cli.capture:capture", "Take evidence of an instance."),
    "image": ("irkit.cli.image:image", "Read an EBS snapshot into a hashed, sparse raw image."),
    "contain": ("irkit.cli.contain:contain", "Limit the attacker on an instance."),
    "logs": ("irkit.cli.logs:logs", "Ingest CloudTrail and flow logs; ask them questions."),
    "notebooks": ("irkit.cli.notebooks:notebooks", "List, show, copy and run the notebooks."),
    "playbooks": ("irkit.cli.playbooks:playbooks", "List, show, validate, plan and run the playbooks."),
    "workbench": (
        "irkit.cli.workbench:workbench",
        "JupyterLab in the case's folder, with the notebooks at hand.",
    ),
    "policy": ("irkit.cli.policy:policy", "Who may do what: answered offline from policies and templates."),
    "report": ("irkit.cli.report:report", "Build the report of a case."),
}

# Which extra brings the modules that only some commands need.
_EXTRAS = {
    **dict.fromkeys(
        ("duckdb", "matplotlib", "maxminddb", "numpy", "pandas", "pyarrow", "sigma", "sqlglot"), "analysis"
    ),
    **dict.fromkeys(("IPython", "ipykernel", "nbclient", "nbformat", "papermill"), "notebooks"),
    **dict.fromkeys(("cryptography", "flask", "moto", "werkzeug"), "sim"),
}


class _ReaderLeftError(Exception):
    """Whoever read our output went away (`irkit … | head`): not an error, though click calls it one."""


@contextmanager
def _noticing_who_left() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderLeftError from error


class Lazy(click.Group):
    """A group whose commands are imported when they are called; their help is in the table above."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """As click does; `--help` is printed here."""
        with _noticing_who_left():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """As click does."""
        with _noticing_who_left():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which an investigation meets them."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called `cmd_name`, imported now."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


# \b keeps click from filling the lines of a paragraph; in a docstring it would have to be a real control character.
_HELP = """Incident response and forensics on AWS.

\b
Try it without an AWS account:   irkit demo

\b
At three in the morning:
  irkit case open 2026-11-0042 --region us-east-1
  irkit preflight i-0123456789abcdef0 --case 2026-11-0042
  irkit capture   i-0123456789abcdef0 --case 2026-11-0042            shows the plan
  irkit capture   i-0123456789abcdef0 --case 2026-11-0042 --apply    runs it
  irkit contain   i-0123456789abcdef0 --case 2026-11-0042 --apply

\b
Everything at once:
  irkit playbooks run ec2-compromise --case 2026-11-0042 \\
      --set instance_id=i-0123456789abcdef0 --apply

Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 done in part, 4 refused (approval or precondition).
"""


@click.group(
    cls=Lazy, help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="irkit")
def cli() -> None:
    """Incident response and forensics on AWS."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: errors are one line on standard error, never a traceback."""
    try:
        given = list(arguments) if arguments is not None else None
        code = cli.main(args=given, prog_name="irkit", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "irkit"
        _fail(f"{error.format_message().rstrip('.')}: see `{command} --help`", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _stopped()
    except IrkitError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRAS:
            raise
        needed = _EXTRAS[error.name.partition(".")[0]]
        _fail(f"this command needs {error.name}: pip install 'irkit-aws[{needed}]'", MissingExtra.exit_code)
    except (_ReaderLeftError, BrokenPipeError):
        _forget_the_rest()
        sys.exit(0)
    except SystemExit:
        _forget_the_rest()
        raise
    except OSError as error:
        _fail(
            str(
                StorageError(
                    f"the operating system refused: {error.strerror or error}", hint=str(error.filename or "")
                )
            ),
            1,
        )
    sys.exit(code if isinstance(code, int) else 0)


def _forget_the_rest() -> None:
    """Drop what nobody will read, or Python's own flush at the end would fail with a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stopped() -> NoReturn:
    """End at once on Ctrl-C: waiting for steps that are still at work would take minutes, and the journal has them."""
    click.echo(
        "irkit: stopped; what a case had begun is in its journal, `irkit case resume` goes on", err=True
    )
    sys.stdout.flush()
    os._exit(130)


def _fail(message: str, code: int) -> NoReturn:
    from irkit.escape import for_terminal

    click.echo(f"irkit: {for_terminal(message)}", err=True)
    sys.exit(code)
