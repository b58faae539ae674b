"""Hand out what is stored of a message: bytes with ranges, and HTML that is safe to show."""

from __future__ import annotations

import re
import tempfile
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from ingest.errors import Fault, MailhaulError
from ingest.texts import safe
from ingest.texts.convert import READ_BYTES, Conversions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from starlette.requests import Request

    from ingest.domain.manifest import Attachment, Manifest
    from ingest.domain.record import ObjectRef
    from ingest.ports.store import Store

CHUNK = 64 * 1024
# More digits than the size of any object has are no range.
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.IGNORECASE)
# What a mail's own HTML may do in its frame: nothing.
MAIL_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox"
)
# Types that a browser shows without running anything.
SHOWN_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
SHOWN = SHOWN_PICTURES | {"application/pdf"}
# Bytes of images that are put into a text that is shown.
_IMAGE_BYTES, _SAFE_BYTES = 8 * 2**20, 24 * 2**20
_TEXT_BYTES = 512 * 1024


class OutOfRangeError(MailhaulError):
    """A Range lies outside the object, which has `size` bytes."""

    fault = Fault.OPERATOR
    code = "range"

    def __init__(self, size: int) -> None:
        super().__init__(f"the range lies outside: there are {size} bytes")
        self.size = size


def send_object(
    store: Store, ref: ObjectRef, request: Request, *, media_type: str, filename: str, inline: bool = False
) -> Response:
    """Return an object as an answer, or the range of it that was asked for.

    Args:
        store: where it is.
        ref: the object.
        request: may carry Range, If-Range and If-None-Match.
        media_type: as detected.
        filename: for saving.
        inline: whether the browser may show it; anything else it saves.

    Raises:
        OutOfRangeError: the range begins behind the end.
        ObjectMissingError: the store does not have it.
    """
    tag = f'"{ref.sha256}"'
    headers = _headers(tag, filename, inline=inline)
    if is_known(tag, request):
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range", "") if request.headers.get("if-range", tag) == tag else ""
    part = _range(asked, ref.size)
    begin, end = part or (0, ref.size)
    if part is not None:
        if begin >= end:
            raise OutOfRangeError(ref.size)
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{ref.size}"
    headers["Content-Length"] = str(end - begin)
    opened = store.open(ref.key) if part is None else store.open_range(ref.key, begin, end)
    if getattr(request.state, "without_body", False):
        with opened:  # an object that is missing is an error here too
            return Response(None, 200 if part is None else 206, headers, media_type)
    body = opened.__enter__()  # here, so that an object that is missing is an error and no broken answer
    # Here, because the library adds a charset to texts, and these are in the one that their author chose.
    headers["Content-Type"] = media_type
    return StreamingResponse(_chunks(opened, body, end - begin), 200 if part is None else 206, headers)


def _headers(tag: str, filename: str, *, inline: bool) -> dict[str, str]:
    return {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"{'inline' if inline else 'attachment'}; filename*=UTF-8''{quote(filename, safe='')}",
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": MAIL_POLICY,
    }


def _chunks(opened: AbstractContextManager[BinaryIO], body: BinaryIO, left: int) -> Iterator[bytes]:
    """Yield so many bytes of an object that is open, and close it."""
    try:
        while left and (chunk := body.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
    finally:
        opened.__exit__(None, None, None)


def is_known(tag: str, request: Request) -> bool:
    """Whether the browser has what an ETag stands for, so that 304 answers it."""
    named = request.headers.get("if-none-match", "")
    return named.strip() == "*" or tag in named


def _range(text: str, size: int) -> tuple[int, int] | None:
    """Return the first and the last byte, exclusive, that a Range asks for; None for all of them (RFC 9110, 14.1)."""
    found = _RANGE.fullmatch(text.strip())
    if not size or found is None or found.groups() == ("", ""):
        return None  # several ranges may be answered with the whole
    first, last = found.groups()
    if first and last and int(last) < int(first):
        return None  # invalid, and so ignored
    if not first:
        return (max(0, size - int(last)), size) if int(last) else (size, size)
    return int(first), min(size, int(last) + 1) if last else size


def read_text(store: Store, ref: ObjectRef) -> str:
    """Return the beginning of a text, half a megabyte at most."""
    with store.open(ref.key) as body:
        return body.read(_TEXT_BYTES).decode("utf-8", "replace")


def safe_html(store: Store, manifest: Manifest) -> bytes | None:
    """Return the HTML of a message, made safe to show; None if it has none, or it cannot be made safe."""
    body = next((one for one in manifest.bodies if one.kind == "html"), None)
    if body is None:
        return None
    kept = next((one for one in body.derived if one.kind == "safe_html"), None)
    if kept is not None:
        with store.open(kept.object.key) as stored:
            return stored.read(_SAFE_BYTES)
    with store.open(body.object.key) as opened, tempfile.TemporaryFile() as file:
        while chunk := opened.read(CHUNK):
            file.write(chunk)
        file.seek(0)
        markup = file.read(READ_BYTES)
        cleaned = Conversions().convert("safe_html", markup, file.fileno)
    if cleaned.data is None:
        return None
    wanted = {safe.content_id(one) for one in safe.references(cleaned.data)}
    return b"".join(safe.with_images(cleaned.data, _images(store, manifest, wanted), _SAFE_BYTES))


def _images(store: Store, manifest: Manifest, wanted: set[str]) -> dict[str, safe.Image]:
    images: dict[str, safe.Image] = {}
    left = _IMAGE_BYTES
    for one in manifest.attachments:
        id_ = safe.content_id(one.content_id) if one.content_id else ""
        if id_ not in wanted or id_ in images or one.detected_type not in safe.SHOWN_IMAGES or one.size > left:
            continue
        with store.open(one.object.key) as body:
            images[id_] = safe.Image(one.detected_type, body.read(one.size))
        left -= one.size
    return images


def may_be_shown(attachment: Attachment) -> bool:
    """Whether a browser may show an attachment: a picture or a PDF that no scanner objects to."""
    infected = attachment.scan is not None and attachment.scan.status == "infected"
    return attachment.detected_type in SHOWN and not infected
