"""Addresses of a ledger behind Sentinel: what they contain, and what is refused."""

from __future__ import annotations

import pytest

from ingest.adapters.ledger.address import Broker, broker
from ingest.domain.sentinels import Login, Sentinels, read_sentinels

NOBODY = Login()


def test_an_address_may_name_several_sentinels_and_all_it_takes() -> None:
    url = (
        "valkeys+sentinel://us%40er:p%3Aw@h1:1,[::1]:2,h3/the%20service/5"
        "?sentinel_username=s&sentinel_password=t%26u&ssl_ca_certs=/ca.pem"
    )
    assert read_sentinels(url) == Sentinels(
        hosts=(("h1", 1), ("::1", 2), ("h3", 26379)),
        service="the service",
        database=5,
        login=Login("us@er", "p:w"),
        sentinel_login=Login("s", "t&u"),
        tls=True,
        ca_file="/ca.pem",
    )


def test_optional_parts_of_the_address_may_be_left_out() -> None:
    assert read_sentinels("redis+sentinel://h/s") == Sentinels((("h", 26379),), "s", 0, NOBODY, NOBODY, False, None)


@pytest.mark.parametrize("url", ["redis://h/0", "amqp://h//", "h", ""])
def test_other_schemes_are_not_sentinel_addresses(url: str) -> None:
    assert read_sentinels(url) is None


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "h",
        "h/",
        "/s",
        "h:x/s",
        "h:70000/s",
        "h:0x1/s",
        "h,/s",
        "[::1/s",
        "h/s/x",
        "h/s?db=1",
        "h/s?x",
    ],
)
def test_incomplete_address_is_refused_without_quoting_it(rest: str) -> None:
    with pytest.raises(ValueError, match=r"redis\+sentinel://user:password@host") as raised:
        read_sentinels(f"redis+sentinel://:hunter2@{rest}")
    assert "hunter2" not in str(raised.value)


def test_kombu_gets_the_same_sentinels() -> None:
    made = broker("rediss+sentinel://u:p%2Fw@h1:1,[::1]/s/5?sentinel_password=t&ssl_ca_certs=/ca.pem")
    tls = {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca.pem"}
    assert made == Broker(
        "sentinel://u:p%2Fw@h1:1/5;sentinel://u:p%2Fw@[::1]:26379/5",
        {"master_name": "s", "sentinel_kwargs": {"password": "t", "ssl": True, **tls}},
        tls,
    )
    assert "p%2Fw" not in repr(made)
