"""The embedded broker: starts, keeps what it was given, and is never two."""

import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.waiting import until
from worker import broker
from worker.queue import CeleryQueue, client_url
from worker.settings import embedded_socket, embedded_url


def test_it_keeps_its_messages_over_a_restart(tmp_path: Path):
    with broker.running(tmp_path) as url:
        queue = CeleryQueue(url)
        queue.wake("job-1")
        queue.close()
    assert not embedded_socket(tmp_path).exists()
    with broker.running(tmp_path) as url:
        queue = CeleryQueue(url)
        assert queue.depth() == 1
        queue.close()


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path):
    deep = tmp_path / ("long" * 30)
    assert len(str(embedded_socket(deep))) < 100
    assert embedded_socket(deep) != embedded_socket(tmp_path / ("much" * 30))
    with broker.running(deep) as url, redis.Redis.from_url(client_url(url)) as client:
        assert client.ping()
    assert embedded_socket(deep).parent.stat().st_mode & 0o077 == 0


def test_odd_characters_in_the_path(tmp_path: Path):
    with broker.running(tmp_path / "a b%20?c") as url, redis.Redis.from_url(client_url(url)) as client:
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_second_one_waits_for_the_first_to_end(tmp_path: Path):
    command = [sys.executable, "-m", "worker.broker", str(tmp_path)]
    with broker.running(tmp_path) as url, redis.Redis.from_url(client_url(url)) as client:
        first = client.info("server")["process_id"]
        second = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        assert client.ping()
    with redis.Redis.from_url(embedded_url(tmp_path)) as client:
        assert until(lambda: _process_of(client), what="the second to take over") == second.pid != first
    second.terminate()
    assert second.wait(5) == 0


def _process_of(client: redis.Redis) -> int | None:
    try:
        return int(client.info("server")["process_id"])
    except redis.RedisError:
        return None


def test_what_cannot_start_says_so(tmp_path: Path):
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "lock").mkdir()
    with pytest.raises(broker.BrokerError, match="ended with status"), broker.running(tmp_path):
        raise AssertionError("it runs")
