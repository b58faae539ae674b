"""`python -m tools.documents`, which is `make docs`: write every generated page."""

from __future__ import annotations

from tools.documents.pages import pages

if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content)
