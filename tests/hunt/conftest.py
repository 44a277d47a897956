from __future__ import annotations

from collections.abc import Iterator

import pytest

from irkit.tables import Tables
from tests.hunt import world


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    with Tables.open(world.build(tmp_path_factory.mktemp("world"))) as opened:
        yield opened
