"""One answered request for recommendations, on its way from the answer to its row. In: what was asked and shown. Out:
`Asked.pack()`, the bytes of one stream entry. It is complete when it is queued: a drain that runs twice writes the
same row twice, and only the user agent, which says whether a bot asked, is looked up there.
"""

from __future__ import annotations

from uuid import UUID

import msgspec

LOW_SCORE = 50  # a best result below it is a poor one


class Shown(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One result: where it was shown, counted from 1, with its raw score and the probability of its being there."""

    trip_id: int
    template_id: int
    position: int
    score: int
    is_relaxed: bool = False
    propensity: float = 1.0


class Asked(msgspec.Struct, array_like=True, kw_only=True, gc=False, frozen=True):
    """What a row of recommendation_requests holds. Times are integer microseconds since 1970, UTC; `preferences` is a
    JSON object as text, with the fields of recommender/preferences.py in snake_case; `filters` are its FILTERS used."""

    site_id: str
    request_id: UUID
    requested_at: int
    preferences: str
    filters: list[str]
    search_type: str
    policy_id: str
    policy_version: int
    results: list[Shown]
    primary_count: int
    relaxed_count: int
    total_candidates: int
    response_time_us: int
    session_id: UUID | None = None
    anonymous_id: UUID | None = None
    user_agent: str | None = None

    def pack(self) -> bytes:
        """The entry's payload: MessagePack arrays, ids as 16 bytes."""
        return _ENCODER.encode(self)

    @staticmethod
    def unpack(payload: bytes) -> Asked:
        """The reverse of pack. Raises msgspec.DecodeError on anything else."""
        return _DECODER.decode(payload)

    @property
    def visitor(self) -> bytes:
        """What its lane goes by, like an event's: visitor, else session, else the request itself."""
        return (self.anonymous_id or self.session_id or self.request_id).bytes


_ENCODER = msgspec.msgpack.Encoder(uuid_format="bytes")
_DECODER = msgspec.msgpack.Decoder(Asked)
