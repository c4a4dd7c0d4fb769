from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_servers import RedisServer


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    pytest.importorskip("redis")
    server = RedisServer(tmp_path)
    yield server
    server.stop()
