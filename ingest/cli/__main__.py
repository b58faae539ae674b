"""`python -m ingest.cli`, which is how Mailhaul starts its own processes."""

from __future__ import annotations

from ingest.cli import main

if __name__ == "__main__":
    main()
