"""Addresses of a ledger in a Redis Cluster: what they contain, and what is refused."""

from __future__ import annotations

import pytest

from ingest.domain.clusters import Cluster, read_cluster
from ingest.domain.sentinels import Login

NOBODY = Login(None, None)


def test_an_address_may_name_several_nodes_and_all_it_takes() -> None:
    url = "valkeys+cluster://us%40er:p%3Aw@h1:1,[::1]:2,h3/0?ssl_ca_certs=/ca.pem"
    assert read_cluster(url) == Cluster(
        hosts=(("h1", 1), ("::1", 2), ("h3", 6379)), login=Login("us@er", "p:w"), tls=True, ca_file="/ca.pem"
    )


@pytest.mark.parametrize(("scheme", "tls"), [("redis", False), ("rediss", True), ("valkey", False)])
def test_one_host_is_enough(scheme: str, tls: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert read_cluster(f"{scheme}+cluster://h") == Cluster((("h", 6379),), NOBODY, tls, None)


@pytest.mark.parametrize("url", ["redis://h/0", "redis+sentinel://h/s", "amqp://h//", "unix:///s.sock", ""])
def test_other_schemes_are_not_addresses_of_clusters(url: str) -> None:
    assert read_cluster(url) is None


@pytest.mark.parametrize("rest", ["", "h,", "h:0", "h:65536", "h:x", "h/1", "h/service", "h?ssl=1", "h?x"])
def test_an_incomplete_address_is_refused_with_the_form_and_without_the_password(rest: str) -> None:
    with pytest.raises(ValueError, match=r"redis\+cluster://user:password@host") as raised:
        read_cluster(f"redis+cluster://:hunter2@{rest}")
    assert "hunter2" not in str(raised.value)
