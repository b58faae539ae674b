"""The images of the cluster, built without a registry: the one that keeps a pod's namespaces, and two of Mailhaul."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.node import PAUSE
from tests.support.image import NAME, build, buildah
from tests.support.kubernetes import BUILT

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY = "mailhaul.test/mailhaul"
# Both hold the same program, and are two images to the cluster.
TAGS = ("first", "second")


def build_images(folder: Path) -> list[Path]:
    """Build everything below a folder; return the archives."""
    work = folder / "buildah"
    work.mkdir()
    buildah(work, "from", "--name", "pause", "scratch")
    buildah(work, "add", "pause", str(BUILT / "pause"), "/pause")
    buildah(work, "config", "--entrypoint", '["/pause"]', "pause")
    buildah(work, "commit", "--rm", "pause", PAUSE)
    build(work)
    names = [PAUSE]
    for tag in TAGS:
        buildah(work, "from", "--name", tag, NAME)
        buildah(work, "config", "--label", f"test.build={tag}", tag)
        buildah(work, "commit", "--rm", tag, f"{REPOSITORY}:{tag}")
        names.append(f"{REPOSITORY}:{tag}")
    return [_archive(work, name, folder / f"image-{number}.tar") for number, name in enumerate(names)]


def _archive(work: Path, name: str, path: Path) -> Path:
    buildah(work, "push", name, f"docker-archive:{path}:{name}")
    return path
