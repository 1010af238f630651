import redis


def test_every_test_gets_an_empty_broker(broker_url):
    with redis.Redis.from_url(broker_url) as client:
        assert client.dbsize() == 0
        client.set("seen", 1)


def test_and_so_does_the_next(broker_url):
    with redis.Redis.from_url(broker_url) as client:
        assert client.dbsize() == 0
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
