from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from irkit.cli import cli
from tests.cli.running import assert_refused, irkit


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


EVERY = list(commands(cli))
NAMES = [" ".join(path) or "irkit" for path, _ in EVERY]


@pytest.mark.parametrize(("path", "command"), EVERY, ids=NAMES)
def test_every_command_has_help_that_documents_what_it_takes(
    path: tuple[str, ...], command: click.Command
) -> None:
    ran = irkit(*path, "--help")

    assert ran.code == 0
    assert ran.err == ""
    assert "\\b" not in ran.out, "a mark for click is shown to people"
    assert command.help, "no sentence says what it does"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.opts[0]} is not documented"
            assert parameter.opts[0] in ran.out
        else:
            assert parameter.make_metavar(click.Context(command)).strip("[].") in ran.out


@pytest.mark.parametrize("path", [p for p, c in EVERY if not isinstance(c, click.Group)], ids=" ".join)
def test_every_command_refuses_an_option_that_it_does_not_know_in_one_line(path: tuple[str, ...]) -> None:
    assert_refused(irkit(*path, "--no-such-option"), 2, "--no-such-option", f"irkit {' '.join(path)} --help")


def test_irkit_alone_shows_its_help() -> None:
    assert "Commands:" in irkit().err


def test_a_command_that_does_not_exist_is_told_in_one_line() -> None:
    assert_refused(irkit("captrue"), 2, "captrue", "irkit --help")


def test_a_case_that_is_not_named_is_asked_for() -> None:
    assert_refused(irkit("capture", "i-0123456789abcdef0"), 2, "--case", "irkit capture --help")
