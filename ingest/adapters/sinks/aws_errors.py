"""What SQS, SNS, EventBridge and botocore say when something fails: whose trouble it is, in our words.

Two kinds of answer are told apart. An event that will never be taken as it is, is refused by itself. A fault of the
service, too many requests, and everything a person has to mend (permission, key, name) hold up the sink as a whole,
so that nothing is passed over. What an answer leaves open counts as the sink's trouble unless the service says that
it was the sender's (`SenderFault`), for then the next event may fare better.

Sources, all below https://docs.aws.amazon.com: AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html,
sns/latest/api/API_PublishBatch.html, eventbridge/latest/APIReference/API_PutEventsResultEntry.html (which says of
each code whether to try again), and for the codes that all services share
AWSSimpleQueueService/latest/APIReference/CommonErrors.html.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from ingest.adapters.sinks.batches import SpoiltError, UnavailableError
from ingest.ports.sink import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

# Something about one event, or about a batch that holds it.
_CONTENT = frozenset(
    {
        "BatchRequestTooLong",
        "InvalidArgument",
        "InvalidMessageContents",
        "InvalidParameter",
        "InvalidParameterValue",
        "MalformedDetail",
        "MissingParameter",
        "RedactionFailure",
        "RequestEntityTooLarge",
        "Validation",
        "ValidationError",
    }
)
_CREDENTIALS = "the credentials are not accepted: correct access_key and secret_key, or the role"
_EXPIRED = "the credentials have expired: renew them"
_MISSING = "there is no such queue, topic or bus here: create it, or correct its name and the region"
# What a person has to mend, at the service or at the configuration.
_REMEDIES = {
    "AccessDenied": "permission denied: allow {actions}, and use of the KMS key where there is one",
    "AuthorizationError": "permission denied: allow {actions}, and use of the KMS key where there is one",
    "ExpiredToken": _EXPIRED,
    "IncompleteSignature": _CREDENTIALS,
    "InvalidAccountId": "the account in the name of the queue, topic or bus is not valid: correct it",
    "InvalidAddress": _MISSING,
    "InvalidAccessKeyId": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidSecurity": "the service takes no requests without TLS: write an address that begins with https://",
    "KmsAccessDenied": "the KMS key refuses: allow kms:GenerateDataKey and kms:Decrypt on it",
    "KmsDisabled": "the KMS key is disabled: enable it",
    "KmsInvalidState": "the KMS key cannot be used in its state: see whether it is to be deleted",
    "KmsNotFound": "the KMS key does not exist any more: set another",
    "NonExistentQueue": _MISSING,
    "NotAuthorizedForDetailType": "permission denied: allow events with this detail type on the bus",
    "NotAuthorizedForSource": "permission denied: allow events with this source on the bus",
    "NotFound": _MISSING,
    "OptInRequired": "the account has not subscribed to the service: do that",
    "QueueDeletedRecently": "the queue was deleted a moment ago: wait a minute",
    "QueueDoesNotExist": _MISSING,
    "ResourceNotFound": _MISSING,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "UnrecognizedClient": _CREDENTIALS,
}
_FAILURES: tuple[tuple[tuple[type[BotoCoreError], ...], str, str], ...] = (
    (
        (NoCredentialsError, PartialCredentialsError),
        "no_credentials",
        "no credentials were found: configure access_key and secret_key, or a role, or an AWS profile",
    ),
    ((ProfileNotFound,), "no_profile", "there is no such AWS profile: correct AWS_PROFILE"),
    ((NoRegionError,), "no_region", "no region is known: set `region`"),
    ((ConnectTimeoutError, ReadTimeoutError), "timeout", "did not answer in time; see whether it can be reached"),
    ((ProxyConnectionError,), "proxy", "the proxy cannot be reached; look at HTTPS_PROXY"),
    ((EndpointConnectionError,), "connect", "cannot be reached; look at address, network and server"),
    ((SSLError,), "tls", "TLS failed; correct the address, or name the CA's file in AWS_CA_BUNDLE"),
)
# Words in codes of troubles that pass, or that concern the key; the sender may be at fault, yet no single event is.
_EVERYBODYS = ("Throttl", "Internal", "Unavailable", "TooManyRequests", "Timeout", "Kms")
_NOT_IN_CODES = re.compile(r"[^A-Za-z0-9_.-]")


@contextmanager
def translated(actions: str) -> Iterator[None]:
    """Everything that boto3 raises inside becomes an `UnavailableError` or, where an event may be the reason, `SpoiltError`.

    Args:
        actions: what has to be allowed, as policies name it.
    """
    try:
        yield
    except ParamValidationError as error:
        raise SpoiltError("invalid") from error
    except ClientError as error:
        raise _answered(error, actions) from error
    except BotoCoreError as error:
        for types, reason, text in _FAILURES:
            if isinstance(error, types):
                raise UnavailableError(reason, text) from error
        raise UnavailableError("connect", f"the connection failed ({type(error).__name__})") from error
    except ResponseParserError as error:
        raise UnavailableError("protocol", "does not answer as the service does; correct its address") from error


def entry_outcome(code: str, *, senders_fault: bool) -> Outcome:
    """What follows for one event of a batch that was taken otherwise.

    Args:
        code: as the service gave it for this entry.
        senders_fault: the service says that sending the same again will not help.
    """
    short = plain(code)
    everybodys = short in _REMEDIES or any(word in short for word in _EVERYBODYS)
    refused = short in _CONTENT or (senders_fault and not everybodys)
    return Outcome(Verdict.REJECTED if refused else Verdict.UNAVAILABLE, short)


def plain(code: str) -> str:
    """A code without what the three services put around it, and of no more than 64 harmless characters.

    `AWS.SimpleQueueService.NonExistentQueue` is `NonExistentQueue`; `KMS.DisabledException` (SQS) and `KMSDisabled`
    (SNS) are `KmsDisabled`.
    """
    before, _, last = code.rpartition(".")
    last = last.removesuffix("Exception")
    last = f"Kms{last}" if before == "KMS" else last.replace("KMS", "Kms")
    return _NOT_IN_CODES.sub("_", last)[:64] or "unknown"


def _answered(error: ClientError, actions: str) -> UnavailableError | SpoiltError:
    code = plain(str(error.response.get("Error", {}).get("Code", "")))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _CONTENT:
        return SpoiltError(code)
    if code in _REMEDIES:
        return UnavailableError(code, f"refuses ({code}): {_REMEDIES[code].format(actions=actions)}")
    return UnavailableError(
        code, f"cannot take events now ({code}, HTTP {status}); see its documentation for this code"
    )
