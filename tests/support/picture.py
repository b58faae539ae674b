"""Makes the picture in the README: the demonstration, as tmux shows it (`python -m tests.support.picture`)."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).parents[2] / "docs" / "images" / "up.svg"
COLUMNS, LINES = 100, 26
# The first mails are through, and a few have arrived while we watched.
SECONDS = 32


def main() -> None:
    """Run the demonstration in a terminal of its own and write what it shows."""
    tmux = ["tmux", "-L", "mailhaul-picture", "-f", "/dev/null"]
    with tempfile.TemporaryDirectory(prefix="mailhaul-") as folder:
        command = f"{sys.executable} -m ingest.cli up"
        subprocess.run(
            [*tmux, "new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), "-c", folder, command], check=True
        )
        try:
            time.sleep(SECONDS)
            shown = subprocess.run(
                [*tmux, "capture-pane", "-p", "-e"], check=True, capture_output=True, text=True
            ).stdout
        finally:
            subprocess.run([*tmux, "send-keys", "C-c"], check=True)
            time.sleep(8)
            subprocess.run([*tmux, "kill-server"], check=False, stderr=subprocess.DEVNULL)
    shown = shown.replace(folder, "/home/you")
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown.rstrip("\n")))
    svg = console.export_svg(title="make run").replace("<svg ", '<svg xml:space="preserve" ', 1)
    # A picture that fetches nothing: the viewer's own monospaced font serves.
    TARGET.write_text(
        re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", "DejaVu Sans Mono")
    )


if __name__ == "__main__":
    main()
