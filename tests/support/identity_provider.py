"""A real identity provider, oidc-provider, as a process on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.servers import find_program, free_port, missing, undone_on_failure
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from types import TracebackType

CLIENT_SECRET = "the secret of the client"
_HERE = Path(__file__).resolve().parent
_LIBRARY = _HERE.parents[1] / ".tools" / "oidc-provider" / "node_modules" / "oidc-provider" / "lib" / "index.js"


@dataclass
class IdentityProvider:
    """Runs in a `with` block. `anna` is in the group `mail-admins`, `ben` is not.

    Args:
        folder: for its output.
        console: address of the console that it logs people in to.
    """

    folder: Path
    console: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        node = find_program("node")
        if node is None or not _LIBRARY.exists():
            missing("", "oidc-provider", "tests/install-oidc")
        command = [str(node), str(_HERE / "identity_provider.mjs"), str(_LIBRARY), str(self.port), self.console]
        with self._log.open("wb") as log:
            environment = {**os.environ, "CLIENT_SECRET": CLIENT_SECRET}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        with undone_on_failure(self.stop):
            eventually(self._answers, lambda: self._log.read_text()[-2000:])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            error.add_note(self._log.read_text()[-2000:])

    def stop(self) -> None:
        """Stop it; nobody can log in any more."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the provider ended by itself: {self._log.read_text()[-2000:]}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def _log(self) -> Path:
        return self.folder / "identity-provider.log"
