"""`mailhaul init`: write a first configuration, and try it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingest.cli.common import FAILED, UNUSABLE, print_error, print_lines
from ingest.cli.importing import fast_imports

if TYPE_CHECKING:
    from ingest.config.providers import Provider
    from ingest.config.starter import Application, FirstMailbox

# As `ingest.config.providers.Provider`, which `mailhaul --help` does not need.
_PROVIDERS = ("gmail", "microsoft365", "yahoo", "zoho", "generic")
_SECRET_WORDS = {
    "gmail": "App password (needs 2-step verification; see https://myaccount.google.com/apppasswords)",
    "yahoo": "App password (account security page of Yahoo)",
    "zoho": "Password, or app password with two-factor authentication",
}

FileOption = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="The file to write; it must not exist yet.")
]
AddressOption = Annotated[
    str | None,
    typer.Option(metavar="USER", help="User name of the maildrop, usually the address.", show_default=False),
]
ProviderOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help=f"Who runs the server: {', '.join(_PROVIDERS)}.", show_default=False),
]
HostOption = Annotated[
    str | None,
    typer.Option(metavar="HOST", help="The server; not with a provider that knows it.", show_default=False),
]
SecretOption = Annotated[
    str | None,
    typer.Option(
        "--secret",
        metavar="REFERENCE",
        help="Where the password, or the application's secret, is: env:NAME or file:PATH. Without it, it is asked "
        "for, and written to a file that only you can read.",
        show_default=False,
    ),
]
ClientIdOption = Annotated[
    str | None, typer.Option(metavar="ID", help="OAuth2: the application's id.", show_default=False)
]
TenantOption = Annotated[
    str | None, typer.Option(metavar="ID", help="Microsoft 365: directory or domain.", show_default=False)
]
DataOption = Annotated[Path, typer.Option(metavar="DIR", help="Where mail, ledger and events are.")]
NoCheckOption = Annotated[bool, typer.Option("--no-check", help="Do not try the configuration.")]


def init(
    *,
    file: FileOption = Path("mailhaul.yaml"),
    address: AddressOption = None,
    provider: ProviderOption = None,
    host: HostOption = None,
    secret: SecretOption = None,
    client_id: ClientIdOption = None,
    tenant: TenantOption = None,
    data: DataOption = Path("mailhaul-data"),
    no_check: NoCheckOption = False,
) -> None:
    """Write a first configuration with comments, for one mailbox and everything on this machine, and try it.

    What is not given as an option is asked for. Nothing is fetched and nothing is deleted.
    """
    if file.exists():
        print_error(f"{file} exists already; name another file with --config, or try it: mailhaul check -c {file}")
        raise typer.Exit(UNUSABLE)
    given = {"address": address, "provider": provider, "host": host, "secret": secret}
    try:
        first = _Questions(file, given).first_mailbox(client_id, tenant, data)
        _write(file, first)
    except OSError as error:
        print_error(f"{error.filename}: cannot be written ({error.strerror}); name another file with --config")
        raise typer.Exit(UNUSABLE) from None
    if not no_check:
        sys.exit(_try(file))


class _Questions:
    """Asks for what was not given."""

    def __init__(self, file: Path, given: dict[str, str | None]) -> None:
        self._file = file
        self._given = given

    def first_mailbox(self, client_id: str | None, tenant: str | None, data: Path) -> FirstMailbox:
        """Return all that a first configuration needs."""
        from ingest.config.providers import PRESETS
        from ingest.config.rules import console_installed
        from ingest.config.starter import FirstMailbox, provider_of

        address = self._answer("address", "Address of the mailbox")
        provider = self._provider(provider_of(address))
        host = self._given["host"]
        if PRESETS[provider].host is not None and host is not None:
            print_error(
                f"--host does not go with --provider {provider}, whose server is known; write --provider generic"
            )
            raise typer.Exit(UNUSABLE)
        if PRESETS[provider].host is None:
            host = self._answer("host", "POP3 server", default=f"pop.{address.rpartition('@')[2]}")
        application = self._application(provider, client_id, tenant)
        secret = self._secret(address, _SECRET_WORDS.get(provider, "Password"), is_password=application is None)
        return FirstMailbox(address, secret, provider, host, application, str(data.absolute()), console_installed())

    def _answer(self, name: str, text: str, **how: Any) -> str:
        value = self._given[name]
        if value is None:
            self._require_terminal(f"--{name}")
            value = str(typer.prompt(text, err=True, **how))
        return value.strip()

    def _require_terminal(self, option: str) -> None:
        if not sys.stdin.isatty():
            print_error(f"{option} is missing, and there is no terminal to ask for it")
            raise typer.Exit(UNUSABLE)

    def _provider(self, likely: Provider) -> Provider:
        from ingest.config.providers import Provider

        name = self._given["provider"]
        if name is None and (self._given["host"] is not None or not sys.stdin.isatty()):
            return likely
        if name is None:
            name = typer.prompt(f"Provider ({', '.join(_PROVIDERS)})", default=str(likely), err=True)
        if name not in _PROVIDERS:
            print_error(f"there is no provider {name}; write one of {', '.join(_PROVIDERS)}")
            raise typer.Exit(UNUSABLE)
        return Provider(name)

    def _application(self, provider: str, client_id: str | None, tenant: str | None) -> Application | None:
        """Return the application of OAuth2, without which Microsoft 365 lets nobody in."""
        from ingest.config.starter import Application

        if provider != "microsoft365":
            return None if client_id is None else Application(client_id)
        return Application(self._required("client-id", client_id), self._required("tenant", tenant))

    def _required(self, name: str, value: str | None) -> str:
        texts = {"client-id": "Application (client) id", "tenant": "Directory (tenant) id"}
        self._given[name] = value
        return self._answer(name, texts[name])

    def _secret(self, address: str, text: str, *, is_password: bool) -> str:
        from ingest.config.secrets import is_reference
        from ingest.config.starter import mailbox_id

        reference = self._given["secret"]
        if reference is not None:
            if not is_reference(reference):
                print_error("--secret is a reference, not the secret itself: write env:NAME or file:PATH")
                raise typer.Exit(UNUSABLE)
            return reference
        self._require_terminal("--secret")
        value = typer.prompt(text if is_password else "Secret of the application", hide_input=True, err=True)
        path = self._file.parent / "secrets" / mailbox_id(address)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as secret_file:
            secret_file.write(value)
        return f"file:secrets/{path.name}"


def _write(file: Path, first: FirstMailbox) -> None:
    from ingest.config.starter import first_configuration

    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x") as target:
        target.write(first_configuration(first).replace("--config FILE", f"--config {shlex.quote(str(file))}"))
    typer.echo(f"wrote {file}: mailbox {first.id}, data in {first.data}")


def _try(file: Path) -> int:
    """Check the configuration; return the exit code."""
    with fast_imports():
        from ingest.cli import reports, runtime

    report = runtime.check(file, [])
    print_lines(reports.check_lines(report))
    if not report.ok:
        typer.echo(f"edit {file}, and try it again: mailhaul check -c {file}")
        return FAILED
    typer.echo(f"what a first run would do:  mailhaul drain -c {file} --dry-run")
    typer.echo(f"fetch everything once:      mailhaul drain -c {file}")
    typer.echo(f"run the service:            mailhaul up -c {file}")
    return 0
