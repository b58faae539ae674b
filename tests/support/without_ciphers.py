"""The reader of PDFs where nothing is installed that knows AES: a module for `ingest.containers.guard` to start."""

from __future__ import annotations

import sys

from ingest.containers import confined, pdfreader

MODULE = "tests.support.without_ciphers"

if __name__ == "__main__":
    for name in ("cryptography", "Crypto"):
        sys.modules[name] = None  # type: ignore[assignment]  # how Python writes down that an import fails
    confined.run(pdfreader._work)
