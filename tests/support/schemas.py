"""Validators for the published schemas, made once in each process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from tools.documents.event_schema import event_schema, manifest_schema, validator

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator


@cache
def event_validator() -> Draft202012Validator:
    """Return the validator for events."""
    return validator(event_schema())


@cache
def manifest_validator() -> Draft202012Validator:
    """Return the validator for manifests."""
    return validator(manifest_schema())
