"""The one error tree. Each leaf has a wire code and an HTTP status; its docstring is the default message.

In: nothing. Out: exceptions that every room raises and only the edges (HTTP, command line) turn into text.
Messages are written for the caller: no SQL, no stack, no secret, and no value that the caller did not send.
"""

from __future__ import annotations

from collections.abc import Sequence


class TripstreamError(Exception):
    """Something went wrong inside Tripstream; the log has the details."""

    code = "internal"
    status = 500

    def __init__(self, message: str | None = None, *, retry_after_seconds: int | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.message)


class InvalidBody(TripstreamError):
    """The body is not a batch of events: send JSON like {"events": [...]}."""

    code = "invalid_body"
    status = 400


class InvalidEvent(TripstreamError):
    """The event was refused; its neighbours were not."""

    code = "invalid_event"
    status = 400

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class InvalidRequest(TripstreamError):
    """A value of the request is wrong."""

    code = "invalid_request"
    status = 422

    def __init__(self, message: str | None = None, *, fields: Sequence[tuple[str, str]] = ()) -> None:
        self.fields = fields
        super().__init__(message or "; ".join(f"{name}: {why}" for name, why in fields) or None)


class BadRows(TripstreamError):
    """Nothing was imported."""

    code = "bad_rows"
    status = 422
    shown_max = 50

    def __init__(self, message: str | None = None, *, problems: Sequence[tuple[int, str]] = ()) -> None:
        self.problems = sorted(problems)
        lines = [f"line {line}: {reason}" for line, reason in self.problems[: self.shown_max]]
        if more := len(self.problems) - len(lines):
            lines.append(f"and {more} more")
        told = [f"nothing was imported, for {len(problems)} reasons:", *lines]
        super().__init__(message or ("\n".join(told) if problems else None))


class NoSnapshot(TripstreamError):
    """The file is not a snapshot of the catalogue, or not a whole one."""

    code = "no_snapshot"


class Unauthorized(TripstreamError):
    """The key is missing, wrong, or belongs to another site."""

    code = "unauthorized"
    status = 401


class Forbidden(TripstreamError):
    """This origin is not on the site's list of allowed origins."""

    code = "forbidden"
    status = 403


class NotFound(TripstreamError):
    """There is no such thing here."""

    code = "not_found"
    status = 404


class SlowSender(TripstreamError):
    """The body did not arrive in time."""

    code = "slow_sender"
    status = 408


class TooLarge(TripstreamError):
    """The body is larger, or holds more events, than is accepted."""

    code = "too_large"
    status = 413


class Limited(TripstreamError):
    """Too many events in a short time. Nothing was lost: send the same batch, with the same ids, after Retry-After."""

    code = "rate_limited"
    status = 429


class UnsupportedEncoding(TripstreamError):
    """Only gzip and identity are accepted as Content-Encoding."""

    code = "unsupported_encoding"
    status = 415


class Busy(TripstreamError):
    """The queue cannot take more just now. Nothing was lost: send the same batch, with the same ids, again."""

    code = "busy"
    status = 503

    def __init__(self, message: str | None = None, *, retry_after_seconds: int = 2) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


class StorageError(TripstreamError):
    """Postgres could not be reached or refused the work."""

    code = "storage"
    status = 503


class ConfigError(TripstreamError):
    """A setting is missing or wrong."""

    code = "config"
    status = 500
