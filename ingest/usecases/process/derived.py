"""Other forms of a body: its text without HTML, its paragraphs unfolded, its HTML made safe to show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ingest.mime.flowed import unfold
from ingest.texts import plain, safe
from ingest.texts.convert import READ_BYTES
from ingest.usecases.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.domain.manifest import DerivedKind
    from ingest.texts.convert import Conversions
    from ingest.usecases.process.bodies import ChosenBody
    from ingest.usecases.process.parts import Part

_UNFOLDED_BY = "rfc3676 1"  # raise the number when the output changes
_SAFE_BYTES = 8 * 2**20  # of one document with its images
_IMAGES_BYTES = 4 * 2**20  # of all images of a message, kept in memory until its HTML is complete


@dataclass(frozen=True, slots=True)
class TextOptions:
    """Which other forms of bodies are made.

    Attributes:
        plain_text: plain text of a message that has HTML only, and unfolded paragraphs of `format=flowed`.
        safe_html: HTML that is safe to show.
    """

    plain_text: bool = True
    safe_html: bool = False


class Derived(NamedTuple):
    """Another form of a body; `spool` is None if it could not be made. `whole` is False if something is missing."""

    kind: DerivedKind
    converter: str
    spool: Spool | None
    whole: bool = True


@dataclass
class Images:
    """The images that the HTML of a message may refer to, by the path of the message around them and Content-ID."""

    _left: int = _IMAGES_BYTES
    _kept: dict[tuple[str | None, str], safe.Image] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """Keep an image, unless there is no room for it.

        Raises:
            SpoolError: it cannot be read.
        """
        if part.head.content_id is None or part.detected not in safe.SHOWN_IMAGES or part.spool.size > self._left:
            return
        key = part.head.parent, safe.content_id(part.head.content_id)
        if key not in self._kept:
            self._left -= part.spool.size
            self._kept[key] = safe.Image(part.detected, part.spool.head(part.spool.size))

    def of(self, parent: str | None) -> dict[str, safe.Image]:
        """Return the images of one message by Content-ID."""
        return {name: image for (scope, name), image in self._kept.items() if scope == parent}


def derive(
    body: ChosenBody, options: TextOptions, images: Images, conversions: Conversions, *, only_html: bool
) -> Iterator[Derived]:
    """Yield the other forms of a body. The caller closes their spools.

    Args:
        body: as it is stored, in UTF-8.
        options: which forms are made.
        images: of the message.
        conversions: of the message.
        only_html: whether the message has no text besides its HTML.

    Raises:
        GuardError: a guarded process cannot be started.
        SpoolError: there is no room.
    """
    if body.kind == "text":
        if options.plain_text and (unfolded := _unfolded(body)) is not None:
            yield Derived("plain", _UNFOLDED_BY, unfolded)
        return
    spool = body.spool
    if options.plain_text and only_html:
        text = conversions.convert("plain", spool.head(READ_BYTES), spool.descriptor)
        # HTML that holds one image has no text.
        if text.data or not text.whole:
            made = None if text.data is None else _spooled([text.data])
            yield Derived("plain", plain.converter(), made, text.whole)
    if options.safe_html:
        yield _safe(body, images, conversions)


def _safe(body: ChosenBody, images: Images, conversions: Conversions) -> Derived:
    spool = body.spool
    cleaned = conversions.convert("safe_html", spool.head(READ_BYTES), spool.descriptor)
    if cleaned.data is None:
        return Derived("safe_html", safe.converter(), None, whole=False)
    shown = images.of(body.parts[0].head.parent)
    return Derived(
        "safe_html", safe.converter(), _spooled(safe.with_images(cleaned.data, shown, _SAFE_BYTES)), cleaned.whole
    )


def _unfolded(body: ChosenBody) -> Spool | None:
    """Return the text with whole paragraphs; None if it is not flowed, or has no folded paragraph."""
    flows = {part.head.flow for part in body.parts}
    flow = flows.pop()
    if flows or flow is None:
        return None
    unfolded = _spooled(unfold(body.spool.reader(), delsp=flow == "delsp"))
    if unfolded.sha256 != body.spool.sha256:
        return unfolded
    unfolded.close()
    return None


def _spooled(pieces: Iterable[bytes]) -> Spool:
    spool = Spool()
    try:
        for piece in pieces:
            spool.write(piece)
    except BaseException:
        spool.close()
        raise
    return spool
