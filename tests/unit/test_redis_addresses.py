"""Addresses of Redis: what each means, and that no password is shown where one is wrong."""

import pytest

from ordinaut.events.address import Address, parse

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", Address(False, (("localhost", 6379),))),
        ("redis://cache", Address(False, (("cache", 6379),))),
        ("redis://cache:1/2", Address(False, (("cache", 1),), database=2)),
        ("redis://cache?db=3", Address(False, (("cache", 6379),), database=3)),
        ("redis://[::1]:7", Address(False, (("::1", 7),))),
        ("rediss://ada:p%40ss%2F@cache", Address(True, (("cache", 6379),), username="ada", password="p@ss/")),
        ("redis://:pass@cache", Address(False, (("cache", 6379),), password="pass")),
        ("unix:///run/redis.sock?db=1", Address(False, path="/run/redis.sock", database=1)),
        ("unix://ada:pass@/run/r.sock", Address(False, path="/run/r.sock", username="ada", password="pass")),
        (
            "redis+sentinel://ada:pass@one:1,two/events/4?sentinel_username=bob&sentinel_password=word",
            Address(
                False,
                (("one", 1), ("two", 26379)),
                service="events",
                database=4,
                username="ada",
                password="pass",
                sentinel_username="bob",
                sentinel_password="word",
            ),
        ),
        ("rediss+sentinel://[::1]:1,two/events", Address(True, (("::1", 1), ("two", 26379)), service="events")),
        (
            "rediss://cache?ssl_certfile=/a.crt&ssl_check_hostname=false&protocol=2",
            Address(
                True,
                (("cache", 6379),),
                more={"ssl_certfile": "/a.crt", "ssl_check_hostname": False, "protocol": 2},
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_of_address_is_understood(url: str, expected: Address) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"cache:{SECRET}", "this is no address of a Redis server, as redis://host:6379/0"),
        (f"http://:{SECRET}@cache", "this is no address of a Redis server, as redis://host:6379/0"),
        (f"redis://:{SECRET}", "redis://…: not host or host:port"),
        (f"redis://:{SECRET}@cache:many", "redis://…: not host or host:port"),
        (f"redis://:{SECRET}@cache:99999", "redis://…@cache:99999: ports go from 1 to 65535"),
        (f"redis://:{SECRET}@cache/first", "redis://…@cache/first: the database is no number"),
        (f"redis://:{SECRET}@cache/1/2", "redis://…@cache/1/2: written like one of sentinels"),
        (f"redis://:{SECRET}@cache/1?db=2", "redis://…@cache/1: two databases"),
        (f"redis://:{SECRET}@one,two", "redis://…@one,two: several servers: only sentinels can be several"),
        (f"redis://:pass/{SECRET}@cache", "redis://…@cache: "),
        (f"redis://:pass#{SECRET}@cache", "redis://…@cache: a sign in the password ends it"),
        (f"redis://:pass?{SECRET}=1@cache", "redis://…@cache: "),
        (f"redis://:12?{SECRET}=1@cache", "redis://…@cache: a sign in the password ends it"),
        (f"redis://:pass@{SECRET}@cache/x", "redis://…@cache/x: the database is no number"),
        (f"redis://cache?password={SECRET}", "redis://cache: unknown behind the ?: password; known are "),
        (f"redis://:{SECRET}@cache?ssl_certfile=a", "redis://…@cache: ssl_certfile: nothing is encrypted by it"),
        (f"redis://:{SECRET}@cache?protocol=4", "redis://…@cache: protocol: 2 or 3"),
        (f"redis+sentinel://:{SECRET}@one,two", "redis+sentinel://…@one,two: it must name the service"),
        (f"redis+sentinel://:{SECRET}@one,/events", "redis+sentinel://…@one,/events: a sentinel without a name"),
        (f"redis+sentinel://one/events/x?sentinel_password={SECRET}", "redis+sentinel://one/events/x: the database"),
        (f"redis://one?sentinel_password={SECRET}", "redis://one: written like one of sentinels"),
        ("unix://", "unix://: no socket: write its path, as unix:///run/redis.sock"),
        (f"redis://[:{SECRET}", "this is no address of a Redis server, as redis://host:6379/0"),
    ],
    ids=lambda value: value.replace("/", "-"),
)
def test_what_is_wrong_is_said_without_the_password(url: str, said: str) -> None:
    with pytest.raises(ValueError, match="redis") as refused:
        parse(url)

    assert str(refused.value).startswith(said)
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)
