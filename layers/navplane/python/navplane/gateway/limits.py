"""How long and how large anything may get. Every wait has an end."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds and bytes. `wall` holds where there is no deadline; `margin` is kept free before a deadline, for the last words.
    Unstreamed answers may take long to begin, because models think; a streamed one says something early."""

    # Nobody has signed in yet while a body is read, and a body that never ends holds a connection.
    request_body: float = 120.0
    response_bytes: int = 200 * 1024 * 1024
    first_byte_streamed: float = 120.0
    first_byte: float = 600.0
    idle: float = 60.0
    wall: float = 3600.0
    margin: float = 5.0
    # For a thread and for the gate's answer: many who ask a gate that is stuck must not wait for each other.
    gate: float = 4.0
    # An admission older than this is confirmed before the first byte goes upstream.
    admission_age: float = 0.25
    standing_interval: float = 0.5
    standing_limit: float = 2.0
    # Where an organization chose cached admission, and the gate can't answer: how long an admission is remembered, and how long
    # nobody need confirm an open call. The second is what is promised; the first leaves time to reach the provider.
    outage_memory: float = 50.0
    outage_grace: float = 60.0
    last_words: float = 2.0


DEFAULT_LIMITS = Limits()
