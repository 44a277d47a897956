"""The promises of conftest.py, kept."""

from __future__ import annotations

import os
import socket

import pytest


def test_an_address_outside_this_machine_cannot_be_reached() -> None:
    with socket.socket() as connection, pytest.raises(RuntimeError, match="stay on loopback"):
        connection.connect(("192.0.2.1", 80))


def test_a_name_outside_this_machine_is_not_looked_up() -> None:
    with pytest.raises(RuntimeError, match="stay on loopback"):
        socket.getaddrinfo("sts.amazonaws.com", 443)


def test_loopback_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as connection:
        connection.connect(server.getsockname())


def test_no_configuration_of_the_person_who_runs_the_tests_is_read() -> None:
    assert "AWS_PROFILE" not in os.environ
    assert os.environ["AWS_EC2_METADATA_DISABLED"] == "true"
    assert not os.path.exists(os.environ["AWS_CONFIG_FILE"])  # noqa: PTH110 - the environment holds text


@pytest.mark.parametrize("round_", [1, 2])
def test_a_variable_set_in_one_test_is_gone_in_the_next(round_: int) -> None:
    assert "IRKIT_TEST_LEAK" not in os.environ
    os.environ["IRKIT_TEST_LEAK"] = str(round_)
