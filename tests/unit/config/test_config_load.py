"""What a configuration file means, and how mistakes in it are reported."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingest.config.load import load
from ingest.domain.mailbox import Deadlines, Deletion, Limits, Server, Tls
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ingest.config import Config

    Write = Callable[..., Path]

MINIMAL = "store: file:///srv/mail\nledger: embedded\n"
AUTH = "auth: {type: password, username: u, password: env:P}"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration file, with a store and a ledger unless `whole`."""

    def write(text: str, *, name: str = "mailhaul.yaml", whole: bool = False) -> Path:
        path = tmp_path / name
        path.write_text(text if whole else MINIMAL + text)
        return path

    return write


def problems(path: Path | None, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(path, environ or {})
    assert raised.value.__cause__ is None
    assert all("\n" not in problem for problem in raised.value.problems)
    return raised.value.problems


def problem(path: Path | None, environ: Mapping[str, str] | None = None) -> str:
    (only,) = problems(path, environ)
    return only


def with_mailbox(options: str = "", defaults: str = "{}") -> str:
    lines = "".join(f"    {line}\n" for line in options.splitlines())
    return f"defaults: {defaults}\nmailboxes:\n  - id: a\n    host: pop.example.org\n    {AUTH}\n{lines}"


def test_a_mailbox_gets_the_defaults_of_the_domain(write: Write) -> None:
    box = load(write(with_mailbox()), {}).mailboxes_by_id()["a"]
    assert box.server == Server("pop.example.org", 995, Tls.IMPLICIT)
    assert (box.interval, box.enabled, box.deletion) == (60.0, True, Deletion())
    assert (box.deadlines, box.limits, box.labels, box.folder) == (Deadlines(), Limits(), {}, "a")


def test_a_mailbox_takes_from_the_defaults_what_it_does_not_say_itself(write: Write, tmp_path: Path) -> None:
    text = with_mailbox(
        "limits: {listed_messages: 7}\ndeadlines: {reply: 9s}\nlabels: {b: own}",
        "{interval: 5m, policy: delete, tls: starttls, port: 1110, ca: ca.pem, limits: {message_bytes: 1MiB},"
        " deadlines: {reply: 1s, poll: 1h}, labels: {a: '1', b: '2'}}",
    )
    box = load(write(text), {}).mailboxes_by_id()["a"]
    assert box.server == Server("pop.example.org", 1110, Tls.STARTTLS, str(tmp_path / "ca.pem"))
    assert (box.interval, box.deletion) == (300.0, Deletion(0.0))
    assert box.limits == Limits(message_bytes=2**20, listed_messages=7)
    assert box.deadlines == Deadlines(reply=9.0, poll=3600.0)
    assert box.labels == {"a": "1", "b": "own"}


@pytest.mark.parametrize(
    ("options", "defaults", "port"),
    [
        ("", "{}", 995),
        ("tls: starttls", "{}", 110),
        ("tls: none", "{}", 110),
        ("", "{tls: none}", 110),
        ("", "{port: 1995}", 1995),
        ("tls: implicit", "{port: 1995}", 1995),
        ("tls: starttls", "{port: 1995}", 110),
        ("port: 7", "{port: 1995}", 7),
    ],
)
def test_the_port_follows_from_tls_unless_it_is_given(write: Write, options: str, defaults: str, port: int) -> None:
    assert load(write(with_mailbox(options, defaults)), {}).mailboxes_by_id()["a"].server.port == port


def test_fingerprints_are_written_as_tools_show_them(write: Write) -> None:
    text = with_mailbox(f"fingerprint: sha256:{':'.join(['AB'] * 32)}")
    assert load(write(text), {}).mailboxes_by_id()["a"].server.fingerprint == "ab" * 32


@pytest.mark.parametrize(
    ("written", "folder", "url"),
    [
        ("embedded", "mailhaul-ledger", ""),
        ("{embedded: elsewhere/x}", "elsewhere/x", ""),
        ("valkey://h/1", None, "valkey://h/1"),
        ("unix:///run/l.sock?db=1", None, "unix:///run/l.sock?db=1"),
    ],
)
def test_a_ledger_is_embedded_beside_the_file_or_a_server(
    write: Write, tmp_path: Path, written: str, folder: str | None, url: str
) -> None:
    config = load(write(f"store: file:///s\nledger: {written}\n", whole=True), {})
    assert config.ledger_folder == (tmp_path / folder if folder else None)
    assert config.ledger_url == url
    assert config.broker_url("redis://ledger") == "redis://ledger"


def test_sinks_without_a_name_are_called_by_their_type(write: Write) -> None:
    lines = "".join(f"  - {{type: jsonl, path: p{n}{', name: jsonl-2' if n == 2 else ''}}}\n" for n in range(4))
    assert [sink.name for sink in load(write(f"sinks:\n{lines}"), {}).sinks] == [
        "jsonl",
        "jsonl-3",
        "jsonl-2",
        "jsonl-4",
    ]


def test_a_key_without_a_value_counts_as_not_written(write: Write) -> None:
    config = load(write("sinks:\nmailboxes:\nmetrics:\n  port:\n"), {})
    assert (config.sinks, config.mailboxes, config.metrics.port) == ([], [], 9464)


def test_merge_keys_spare_writing_a_server_often(write: Write) -> None:
    text = f"mailboxes:\n  - &first {{id: a, host: h1, port: 7, {AUTH}}}\n  - {{<<: *first, id: b, host: h2}}\n"
    boxes = load(write(text), {}).mailboxes_by_id()
    assert [(box.id, box.server.label) for box in boxes.values()] == [("a", "h1:7"), ("b", "h2:7")]


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "place", "words"),
    [
        ("prot: 995", ":8: mailboxes[0].prot: ", "did you mean `port`?"),
        ("ssl: true", ":8: mailboxes[0].ssl: ", "did you mean `tls`?"),
        ("user: x", ":8: mailboxes[0].user: ", "possible here: auth"),
        ("servername: x", ":8: mailboxes[0].servername: ", "possible here: auth, authserv_id, ca, "),
        ("provider: gmial", ":8: mailboxes[0].provider: ", "generic, gmail, microsoft365, yahoo, zoho"),
        ("tls_minimum: 1.1", ":8: mailboxes[0].tls_minimum: ", "must be one of: 1.0, 1.2, 1.3"),
        ("tls_minimum: true", ":8: mailboxes[0].tls_minimum: ", "must be one of: 1.0, 1.2, 1.3"),
        ("ciphers: RC5-MD9", ":8: mailboxes[0].ciphers: ", "DEFAULT:@SECLEVEL=1"),
        ("client_certificate: {certificate: /x.pem}", ":8: mailboxes[0].client_certificate.certificate: ", "file:"),
        ("proxy: socks5://h:1", ":8: mailboxes[0].proxy: ", "mapping"),
        ("proxy: {url: ftp://h:1}", ":8: mailboxes[0].proxy: ", "socks5://host:1080"),
        ("proxy: {url: socks5://h}", ":8: mailboxes[0].proxy: ", "with the port"),
        ("proxy: {url: socks5://u:p@h:1}", ":8: mailboxes[0].proxy: ", "`password`"),
        ("proxy: {url: http://h:1, username: u}", ":8: mailboxes[0].proxy: ", "both username and password"),
        ("limits: {connections: 0}", ":8: mailboxes[0].limits.connections: ", "1 or more"),
        ("port: 0", ":8: mailboxes[0].port: ", "1 or more"),
        ("port: 65536", ":8: mailboxes[0].port: ", "65535 or less"),
        ("port: pop3s", ":8: mailboxes[0].port: ", "whole number"),
        ("tls: ssl", ":8: mailboxes[0].tls: ", "implicit, starttls, none"),
        ("interval: 0.5s", ":8: mailboxes[0].interval: ", "1s or longer"),
        ("interval: soon", ":8: mailboxes[0].interval: ", "60s, 5m, 1h30m"),
        ("policy: destroy", ":8: mailboxes[0].policy: ", "{delete_after: 30d}"),
        ("policy: {delete_after: never}", ":8: mailboxes[0].policy: ", "30d"),
        ("limits: {message_bytes: big}", ":8: mailboxes[0].limits.message_bytes: ", "150MiB"),
        ("limits: 5", ":8: mailboxes[0].limits: ", "mapping"),
        ("limits:\n  mesage_bytes: 5", ":9: mailboxes[0].limits.mesage_bytes: ", "did you mean `message_bytes`?"),
        ("deadlines: {poll: 0}", ":8: mailboxes[0].deadlines.poll: ", "15s"),
        ("labels: {tenant: 12}", ":8: mailboxes[0].labels.tenant: ", "quotes"),
        ("labels: [x]", ":8: mailboxes[0].labels: ", "mapping"),
        ("fingerprint: abc", ":8: mailboxes[0].fingerprint: ", "64 hex digits"),
        ("prefix: ../up", ":8: mailboxes[0].prefix: ", "slashes"),
        ("enabled: 5", ":8: mailboxes[0].enabled: ", "true or false"),
        ("tls: none\nca: x.pem", ":9: mailboxes[0].ca: ", "no effect"),
    ],
)
def test_mistake_is_reported_with_file_line_path_and_remedy(
    write: Write, options: str, place: str, words: str
) -> None:
    path = write(with_mailbox(options))
    found = problem(path)
    assert found.startswith(f"{path}{place}")
    assert words in found


@pytest.mark.parametrize(
    ("host", "words"),
    [("pop.example.org:995", "`port`"), ("pop3://h", "bare name"), ('"a b"', "bare name"), ('""', "not be empty")],
)
def test_host_must_be_a_bare_name(write: Write, host: str, words: str) -> None:
    path = write(with_mailbox().replace("pop.example.org", host))
    assert words in problem(path)


def test_addresses_of_both_families_are_hosts(write: Write) -> None:
    for host in ("192.0.2.1", '"2001:db8::1"', "localhost"):
        assert load(write(with_mailbox().replace("pop.example.org", host)), {}).mailboxes


def test_a_way_to_log_in_that_is_not_there_is_one_problem_that_says_which_are(write: Write) -> None:
    auth = "auth: {type: kerberos, username: u, tenant: 5, client_secret: env:X}"
    found = problem(write(with_mailbox().replace(AUTH, auth)))
    kinds = "password, apop, sasl-plain, sasl-login, scram-sha-256, oauth2"
    assert f"mailboxes[0].auth.type: must be one of: {kinds}" in found


@pytest.mark.parametrize(
    ("auth", "place", "words"),
    [
        ("username: u", "auth", "write client_id"),
        ("username: u, client_id: c", "auth", "client_secret, for an application"),
        ("username: u, service_account: file:x, client_id: c", "auth", "leave out client_id"),
        (
            "username: u, client_id: c, client_secret: hunter2",
            "auth.client_secret",
            "must be a reference, not the secret itself",
        ),
        ("username: u, client_id: c, client_secret: env:X", "auth.token_url", "`provider` that has one"),
        ("username: u, client_id: c, client_secret: env:X, token_url: ftp://h", "auth.token_url", "https://"),
        (
            "username: u, client_id: c, client_secret: env:X, token_url: https://h/t, tenant: t",
            "auth.tenant",
            "no effect",
        ),
        ("username: u, client_id: c, password: env:X", "auth.password", "is not an option"),
    ],
)
def test_missing_oauth2_options_are_reported(write: Write, auth: str, place: str, words: str) -> None:
    found = problem(write(with_mailbox().replace(AUTH, f"auth: {{type: oauth2, {auth}}}")))
    assert f"mailboxes[0].{place}: " in found
    assert words in found


def test_microsoft365_requires_a_tenant(write: Write) -> None:
    auth = "auth: {type: oauth2, username: u, client_id: c, client_secret: env:X}\n    provider: microsoft365"
    assert "auth.tenant: is missing" in problem(write(with_mailbox().replace(AUTH, auth)))


def test_oauth2_requires_tls(write: Write) -> None:
    auth = "auth: {type: oauth2, username: u, service_account: file:x}\n    tls: none"
    assert "in clear text" in problem(write(with_mailbox().replace(AUTH, auth)))


@pytest.mark.parametrize(
    ("auth", "found"),
    [
        ("{type: password, username: u, password: env:P, foo: 1}", "auth.foo: is not an option; possible here: pass"),
        ("{type: password, username: u, password: {foo: 1}}", "auth.password: must be a reference"),
        ("{type: oauth2, username: u, client_id: c, client_secret: env:S, foo: 1}", "possible here: ca, client_id"),
    ],
)
def test_login_whose_type_is_named_like_an_option_is_reported_at_the_right_place(
    write: Write, auth: str, found: str
) -> None:
    assert found in problem(write(with_mailbox().replace(AUTH, f"auth: {auth}")))


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (
            'mailboxes:\n  - id: a\n    auth: {username: "corp\\user"}\n',
            ":5: column ",
            "use single quotes, as in 'corp\\user'",
        ),
        ('mailboxes:\n  - id: a\n    auth: {username: "corp\\yan"}\n', ":5: column ", "use single quotes"),
        ("mailboxes:\n\t- id: a\n", ":4: column ", "indented by a tab; use spaces"),
        ("mailboxes:\n  - id: a\n  \thost: b\n", ":5: column ", "indented by a tab; use spaces"),
        ("mailboxes: [\n", "", "check indentation, brackets and quotes"),
    ],
)
def test_usual_slips_in_yaml_are_named(write: Write, text: str, place: str, words: str) -> None:
    found = problem(write(text))
    assert place in found
    assert words in found


def test_backslash_that_became_a_control_character_is_named(write: Write) -> None:
    """YAML reads the backslash and the b as a backspace."""
    auth = 'auth: {type: password, username: "corp\\bob", password: env:P}'
    assert "use single quotes" in problem(write(with_mailbox().replace(AUTH, auth)))


@pytest.mark.parametrize("written", ["1.0", "'1.0'", "1"])
def test_oldest_tls_version_is_read_with_and_without_quotes(write: Write, written: str) -> None:
    box = load(write(with_mailbox(f"tls_minimum: {written}")), {}).mailboxes_by_id()["a"]
    assert box.server.tls_minimum == "1.0"


@pytest.mark.parametrize(
    "option", ["tls_minimum: 1.0", "ciphers: DEFAULT", "client_certificate: {certificate: env:X}"]
)
def test_tls_options_need_tls(write: Write, option: str) -> None:
    found = problem(write(with_mailbox(f"tls: none\n{option}")))
    assert f"mailboxes[0].{option.partition(':')[0]}: has no effect without TLS" in found


def test_mailbox_requires_a_host_or_a_provider_that_has_one(write: Write) -> None:
    without = with_mailbox().replace("    host: pop.example.org\n", "")
    assert "mailboxes[0].host: is missing" in problem(write(without))
    assert load(write(without + "    provider: gmail\n"), {}).mailboxes


def test_unknown_sink_type_is_one_problem_that_lists_the_types(write: Write) -> None:
    found = problem(write("sinks:\n  - {type: carrier-pigeon, url: x}\n"))
    assert "sinks[0].type: must be one of: jsonl, webhook, sqs, sns, eventbridge, amqp, kafka" in found
    assert "sinks[0].type: is missing" in problem(write("sinks:\n  - {url: x}\n"))


def test_sink_accepts_only_options_of_its_type(write: Write) -> None:
    found = problem(write("sinks:\n  - {type: jsonl, path: x, secret: env:X}\n"))
    assert found.endswith("is not an option; possible here: name, path, quarantined, start, type, where")
    assert "sinks[0].secret: " in found


def test_all_problems_are_reported_in_the_order_of_the_file(write: Write) -> None:
    path = write("metric: {}\nsinks: {}\nmailboxes:\n  - id: A\n    host: h\n")
    found = [line.removeprefix(f"{path}:") for line in problems(path)]
    assert [line[: line.index(": ", 4)] for line in found] == [
        "3: metric",
        "4: sinks",
        "6: mailboxes[0].id",
        "6: mailboxes[0].auth",
    ]


def test_missing_sections_are_reported(write: Write) -> None:
    path = write("log: {level: debug}\n", whole=True)
    assert problems(path) == [f"{path}:1: store: is missing; add it", f"{path}:1: ledger: is missing; add it"]


@pytest.mark.parametrize(
    "store",
    [
        "s3://",
        "s3://key:hunter2@bucket/x",
        "file://relative",
        "/srv/mail",
        "{url: file:///s, region: x}",
        "gs://",
        "gs://hunter2@bucket",
        "az://account",
        "az://account//prefix",
        "{url: gs://b, region: x}",
        "{url: gs://b, account_key: env:A}",
        "{url: az://a/c, kms_key: x}",
        "{url: az://a/c, account_key: env:A, sas_token: env:B}",
        "{url: s3://b, credentials: env:A}",
        "file:///s?x",
    ],
)
def test_a_store_must_be_an_address_we_know(write: Write, store: str) -> None:
    found = problem(write(f"store: {store}\nledger: embedded\n", whole=True))
    assert ":1: store: " in found
    assert "hunter2" not in found


def test_option_of_another_store_is_named_with_its_stores(write: Write) -> None:
    found = problem(write("store: {url: az://a/c, kms_key: x}\nledger: embedded\n", whole=True))
    assert "kms_key is an option for s3://, gs:// only; leave it out" in found


@pytest.mark.parametrize(
    ("store", "module", "extra"),
    [
        ("gs://b", "google.auth", "gcs"),
        ("{url: gs://b, endpoint: https://gcs.example.org}", "google.auth", "gcs"),
        ("{url: gs://b, endpoint: http://127.0.0.1:1}", "google.auth", None),
        ("az://a/c", "azure.identity", "azure"),
        ("{url: az://a/c, account_key: env:A}", "azure.identity", None),
        ("{url: az://a/c, sas_token: env:A}", "azure.identity", None),
        ("s3://b", "google.auth", None),
    ],
)
def test_store_that_needs_access_tokens_names_the_extra_for_them(
    write: Write, monkeypatch: pytest.MonkeyPatch, store: str, module: str, extra: str | None
) -> None:
    monkeypatch.setattr("ingest.config.rules.find_spec", lambda name: None if name == module else object())
    path = write(f"store: {store}\nledger: embedded\n", whole=True)
    if extra is None:
        assert load(path, {}).store.url
    else:
        assert f"pip install 'mailhaul[{extra}]'" in problem(path)


def test_half_a_pair_of_keys_is_none(write: Write) -> None:
    text = "store: {url: s3://b, access_key: env:A}\nledger: embedded\n"
    assert "both access_key and secret_key" in problem(write(text, whole=True))


@pytest.mark.parametrize("url", ["https://u:hunter2@h/", "ftp://h/", "https:///x", "https://h:port/", "https://[/"])
def test_webhook_url_must_not_contain_a_password(write: Write, url: str) -> None:
    found = problem(write(f"sinks:\n  - {{type: webhook, url: '{url}', secret: env:S}}\n"))
    assert "sinks[0].url: " in found
    assert "hunter2" not in found


# --- YAML --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("store: [file:///x\nledger: embedded\n", 2),
        ("store: x\n\tledger: y\n", 2),
        ("a: b: c\n", 1),
        ("password: *hunter2\n", 1),
        ("password: !hunter2 x\n", 1),
        ("when: 2026-99-99\n", 1),
        ("- a list\n", 1),
        ("? {a: b}\n: x\n", 1),
        ("a: &x [*x]\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
    ],
)
def test_invalid_yaml_is_one_problem_with_its_line(write: Write, text: str, line: int) -> None:
    path = write(text, whole=True)
    found = problem(path)
    assert found.startswith(f"{path}:{line}: ")
    assert "hunter2" not in found


@pytest.mark.parametrize("data", [b"a: \xff\xfe\xfa", b"a: \x00", b"\xff"])
def test_file_that_is_not_utf8_is_reported(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    assert "UTF-8" in problem(path)


def test_repeated_key_is_reported(write: Write) -> None:
    path = write(with_mailbox("port: 1\nport: 2"))
    assert problem(path) == f"{path}:9: mailboxes[0].port: is written twice, first in line 8; remove one"


def test_missing_file_is_reported(tmp_path: Path) -> None:
    assert str(tmp_path / "none.yaml") in problem(tmp_path / "none.yaml")
    assert "no file that ends in .yaml" in problem(tmp_path)


def test_empty_file_misses_the_required_sections(write: Write) -> None:
    assert len(problems(write("", whole=True))) == 2


# --- a folder of files -------------------------------------------------------------------------------------------


def test_files_of_a_folder_are_joined(write: Write, tmp_path: Path) -> None:
    write("sinks:\n  - {type: jsonl, path: one}\n", name="a.yaml")
    write(f"mailboxes:\n  - {{id: a, host: h, {AUTH}}}\n", name="b.yml", whole=True)
    write(
        f"mailboxes:\n  - {{id: b, host: h2, {AUTH}}}\nsinks:\n  - {{type: jsonl, path: two}}\n",
        name="c.yaml",
        whole=True,
    )
    write("nonsense: [", name=".hidden.yaml", whole=True)
    write("nonsense: [", name="notes.txt", whole=True)
    config = load(tmp_path, {})
    assert list(config.mailboxes_by_id()) == ["a", "b"]
    assert [sink.path for sink in config.sinks if sink.type == "jsonl"] == [tmp_path / "one", tmp_path / "two"]
    assert config.ledger_folder == tmp_path / "mailhaul-ledger"


def test_folder_that_cannot_be_listed_is_reported_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def iterdir(self: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert problem(tmp_path) == (
        f"{tmp_path}: cannot be read (Permission denied); make it readable for the service's user"
    )


def test_problem_in_a_folder_names_its_own_file_and_line(write: Write, tmp_path: Path) -> None:
    write(f"mailboxes:\n  - {{id: a, host: h, {AUTH}}}\n", name="a.yaml")
    second = write(f"mailboxes:\n  - id: b\n    host: h2\n    {AUTH}\n    prot: 1\n", name="b.yaml", whole=True)
    assert problem(tmp_path).startswith(f"{second}:5: mailboxes[0].prot: ")


def test_section_in_two_files_is_reported(write: Write, tmp_path: Path) -> None:
    first = write("", name="a.yaml")
    second = write("log: {}\nstore: file:///other\n", name="b.yaml", whole=True)
    assert problem(tmp_path) == f"{second}:2: store: is also at {first}:1: store; remove one"


@pytest.mark.parametrize(
    ("other", "place", "words"),
    [
        (
            f"{{id: a, host: h2, {AUTH}}}",
            "mailboxes[0].id",
            "is already the id of the mailbox at {first}:4: mailboxes[0].id",
        ),
        (f"{{id: b, host: H, {AUTH}}}", "mailboxes[0].auth.username", "is the same maildrop as at {first}:4: "),
        (
            f"{{id: b, host: h, port: 110, tls: starttls, {AUTH}}}",
            "mailboxes[0].auth.username",
            "is the same maildrop as at {first}:4: ",
        ),
        (
            f"{{id: b, host: h2, prefix: a, {AUTH}}}",
            "mailboxes[0].prefix",
            "is already the folder of the mailbox at {first}:4: ",
        ),
    ],
)
def test_conflicting_mailboxes_are_both_named(
    write: Write, tmp_path: Path, other: str, place: str, words: str
) -> None:
    first = write(f"mailboxes:\n  - {{id: a, host: h, {AUTH}}}\n", name="a.yaml")
    second = write(f"mailboxes:\n  - {other}\n", name="b.yaml", whole=True)
    found = problem(tmp_path)
    assert found.startswith(f"{second}:2: {place}: ")
    assert words.format(first=first) in found


@pytest.mark.parametrize("defaults", ["", "defaults: {port: 2995}\n"])
def test_same_user_behind_other_ports_of_a_host_is_another_maildrop(write: Write, defaults: str) -> None:
    """Tunnels end at other ports of one host, and lead to different servers."""
    boxes = [f"  - {{id: a, host: h, {AUTH}}}\n"]
    boxes += [f"  - {{id: b{port}, host: h, port: {port}, {AUTH}}}\n" for port in (1995, 1996)]
    assert len(load(write(f"{defaults}mailboxes:\n{''.join(boxes)}"), {}).mailboxes) == 3


def test_two_sinks_of_one_name_are_a_mistake(write: Write) -> None:
    found = problem(write("sinks:\n  - {type: jsonl, path: a, name: x}\n  - {type: jsonl, path: b, name: x}\n"))
    assert "sinks[1].name: is already the name of the sink at" in found


# --- variables ---------------------------------------------------------------------------------------------------


def test_variables_go_over_files(write: Write) -> None:
    environ = {
        "MAILHAUL_STORE": "s3://bucket",
        "MAILHAUL_LEDGER": "redis://:secret@h/2",
        "MAILHAUL_METRICS__PORT": "1234",
        "mailhaul_defaults__interval": "5m",
        "MAILHAUL_DEFAULTS__LIMITS__MESSAGE_BYTES": "1MiB",
        "MAILHAUL_DEFAULTS__POLICY": "delete",
        "MAILHAUL_DEFAULTS__LABELS": '{"tenant": "de"}',
        "MAILHAUL_METRICS__MAILBOX_LABEL": "false",
        "MAILHAUL_LOG__LEVEL": "",
    }
    config = load(
        write(with_mailbox(defaults="{interval: 1h, tls: none}") + "metrics: {address: 0.0.0.0}\n"), environ
    )
    assert (config.store.url, config.ledger_url) == ("s3://bucket", "redis://:secret@h/2")
    assert (config.metrics.address, config.metrics.port, config.metrics.mailbox_label) == ("0.0.0.0", 1234, False)  # noqa: S104 - never bound
    assert config.log.level == "info"
    box = config.mailboxes_by_id()["a"]
    assert (box.interval, box.server.tls, box.limits.message_bytes) == (300.0, Tls.NONE, 2**20)
    assert (box.deletion, box.labels) == (Deletion(0.0), {"tenant": "de"})


def test_variables_alone_are_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mailboxes = '[{"id": "a", "host": "h", "auth": {"type": "password", "username": "u", "password": "env:P"}}]'
    environ = {"MAILHAUL_STORE": "file:///s", "MAILHAUL_LEDGER": "embedded", "MAILHAUL_MAILBOXES": mailboxes}
    config = load(None, environ)
    assert list(config.mailboxes_by_id()) == ["a"]
    assert config.ledger_folder == tmp_path / "mailhaul-ledger"


def test_variables_that_others_make_are_left_alone(write: Write) -> None:
    """Kubernetes makes these from services named mailhaul and mailhaul-ledger."""
    environ = {"MAILHAUL_PORT": "tcp://10.0.0.1:80", "MAILHAUL_LEDGER_PORT": "tcp://10.0.0.2:6379", "MAILHAUL_X": "y"}
    assert load(write(""), environ).ledger_folder is not None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MAILHAUL_METRICS__PORT", "hunter2", "MAILHAUL_METRICS__PORT: must be a whole number"),
        ("MAILHAUL_METRICS__PROT", "hunter2", "MAILHAUL_METRICS__PROT: is not an option; did you mean `port`?"),
        ("MAILHAUL_LEDGER", "http://:hunter2@h", "MAILHAUL_LEDGER: write `embedded`"),
        ("MAILHAUL_BROKER", "http://:hunter2@h", "MAILHAUL_BROKER: write an address"),
        ("MAILHAUL_MAILBOXES", "[hunter2", "MAILHAUL_MAILBOXES: must be a list"),
        ("MAILHAUL_SINKS", '[{"type": "hunter2"}]', "MAILHAUL_SINKS (sinks[0].type): must be one of"),
    ],
)
def test_mistake_in_a_variable_names_it_without_its_value(write: Write, name: str, value: str, words: str) -> None:
    found = problem(write(""), {name: value})
    assert found.startswith(f"environment variable {words}")
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "console: {tokens: [{name: a, role: viewer, sha256: zz}]}\n",
            "write the 64 hex digits that `mailhaul token",
        ),
        ("parse: {passwords: [{password: 'env:A', senders: [ann]}]}\n", "write addresses such as billing@"),
        ("sinks: [{type: kafka, brokers: 'a:1', topic: 'a b'}]\n", "write at most 249 letters"),
        ("retention: [{name: A B, keep: 3y}]\n", "write at most 64 lower-case letters"),
    ],
)
def test_text_of_another_form_is_reported_with_the_form_of_its_option(write: Write, text: str, words: str) -> None:
    assert words in problem(write(text))


def test_a_missing_value_is_reported_as_the_variable_to_set() -> None:
    assert problems(None, {"MAILHAUL_LOG__LEVEL": "debug"}) == [
        "environment variable MAILHAUL_STORE: is missing; add it",
        "environment variable MAILHAUL_LEDGER: is missing; add it",
    ]


def test_nothing_at_all_is_reported_with_the_three_ways_to_configure() -> None:
    (found,) = problems(None, {"PATH": "/bin", "MAILHAUL_DEBUG": "1"})
    assert all(way in found for way in ("--config", "MAILHAUL_*", "mailhaul init"))


# --- secrets in the file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written", ["hunter2", "4711", "hunter2:x", "env:", "env:hunter2-x", "file:", "!!binary aHVu"]
)
def test_a_password_written_out_is_refused_and_not_shown(write: Write, written: str) -> None:
    found = problem(write(with_mailbox().replace("env:P", f"'{written}'" if ":" in written else written)))
    assert "mailboxes[0].auth.password: " in found
    assert "env:NAME" in found
    assert "hunter2" not in found
    assert "4711" not in found


ADDRESSES = [
    "redis://:hunter2@h/0",
    "redis+sentinel://:hunter2@h:1,h:2/service",
    "redis+sentinel://h/service?sentinel_password=hunter2",
]
CLUSTER = "redis+cluster://:hunter2@h:1,h:2"


@pytest.mark.parametrize(
    ("name", "address"), [("ledger", CLUSTER), *itertools.product(["ledger", "broker"], ADDRESSES)]
)
def test_address_with_a_password_must_be_a_reference(write: Write, tmp_path: Path, name: str, address: str) -> None:
    other = "ledger: embedded\n" if name == "broker" else ""
    base = f"store: file:///s\n{other}{name}: "
    found = problem(write(f"{base}{address}\n", whole=True))
    assert f"{name}: must not contain a password" in found
    assert "hunter2" not in found
    (tmp_path / "address").write_text(f"{address}\n")
    for reference in ("file:address", "env:ADDRESS"):
        config = load(write(f"{base}{reference}\n", whole=True), {"ADDRESS": address})
        assert (config.ledger_url if name == "ledger" else config.broker_url("")) == address
        assert "hunter2" not in repr(config)
    assert "env:NOWHERE: there is no secret" in problem(write(f"{base}env:NOWHERE\n", whole=True))


@pytest.mark.parametrize("address", ["redis+sentinel://h1,h2", "redis+sentinel://h/s?ssl=1", "redis+sentinel:///s"])
def test_invalid_sentinel_address_is_reported_with_the_form(write: Write, address: str) -> None:
    found = problem(write(f"store: file:///s\nledger: {address}\n", whole=True))
    assert "write redis+sentinel://user:password@host:26379,host:26379/service/0" in found


@pytest.mark.parametrize("address", ["redis+cluster://h1,", "redis+cluster://h/3", "rediss+cluster://h?ssl=1"])
def test_invalid_cluster_address_is_reported_with_the_form(write: Write, address: str) -> None:
    found = problem(write(f"store: file:///s\nledger: {address}\n", whole=True))
    assert "write redis+cluster://user:password@host:6379,host:6379" in found


def test_broker_may_not_be_a_cluster(write: Write) -> None:
    config = "store: file:///s\nledger: redis+cluster://h1,h2\nbroker: {broker}\n"
    found = problem(write(config.format(broker="redis+cluster://h1,h2"), whole=True))
    assert "broker: Celery cannot use a Redis Cluster as its broker; write the address of a Redis" in found
    loaded = load(write(config.format(broker="redis://h3/0"), whole=True), {})
    assert (loaded.ledger_url, loaded.broker_url(loaded.ledger_url)) == ("redis+cluster://h1,h2", "redis://h3/0")


# --- the schedule ------------------------------------------------------------------------------------------------


def test_schedule_digest_depends_only_on_what_is_scheduled(write: Write) -> None:
    def digest(options: str = "", extra: str = "") -> str:
        config: Config = load(write(with_mailbox(options) + extra), {})
        return config.schedule_digest()

    plain = digest()
    assert digest("labels: {x: y}\nport: 7") == plain
    changed = [
        digest("interval: 5m"),
        digest("enabled: false"),
        digest(extra=f"  - {{id: b, host: h, {AUTH}}}\n"),
        digest(extra="sinks:\n  - {type: jsonl, path: x}\n"),
    ]
    assert len({plain, *changed}) == 5
