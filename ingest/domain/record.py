"""The base of what is kept as JSON, and the reference to an object in the store."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """Frozen, and closed on what we write; readers of our own ignore fields of newer versions."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ObjectRef(Record):
    """One object in the store."""

    bucket: str = Field(description="Bucket name, or the file:// URL of the folder")
    key: str = Field(description="Key inside the bucket, not URL-encoded")
    size: int = Field(ge=0, description="Bytes")
    sha256: str = Field(description="Hex SHA-256 of the bytes")
    etag: str | None = Field(default=None, description="As the store answered, without quotes")
    version_id: str | None = Field(
        default=None, description="Only where the bucket keeps versions; the generation on Google Cloud Storage"
    )
