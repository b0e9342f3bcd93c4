"""Every bound of the client, in one place."""

DEFAULT_PORT = 3443
"""Where every known server listens."""

DEADLINE = 10.0
"""Seconds that a call may take, where nothing else is said."""

ADD_BATCH = 4096
"""Sessions in one addSession stream. Larger adds are several streams, one after the other."""

PAGE = 1024
"""Sessions in one page of a list."""

CLOSED_PAGE = 1024
"""Closed sessions that are asked for in one call, and so held in memory."""

FIELD_CAP = 64
"""Entries of the arrays that C clients copy a page, or the errors of an add, into."""

REFUSED_TEXTS = 64
"""Texts about refused sessions that one add keeps."""

MESSAGE_BYTES = 64 << 20
"""Bytes of one answer. A page is some 100 kB; servers that know no pages send everything at once."""

CONNECT_MS = 5_000
"""Milliseconds that a connection may take to come about, TLS included. gRPC names it after its backoff."""

RECONNECT_MIN_MS = 200
"""Milliseconds before the first try at a new connection."""

RECONNECT_MAX_MS = 5_000
"""Milliseconds between tries, however long the device is away. gRPC's own bound is two minutes."""

UNACKNOWLEDGED_MS = 1_500
"""Milliseconds that a device may leave unacknowledged what TCP has sent it (RFC 5482), where another one may be asked instead. A
takeover takes as long with the shortest lease."""

KEEP_ALIVE_MS = 3_600_000
"""Milliseconds from one ping to the next: without pings gRPC would not set the time above, and servers take many of them amiss."""

POLL_MIN = 0.05
"""Seconds from a poll for closed sessions that found some to the next."""

POLL_MAX = 1.0
"""Seconds between polls when nothing closes."""

RETRY_MIN = 0.2
"""Seconds from the first failure of a poll to the next try."""

RETRY_MAX = 10.0
"""Seconds between tries, however long the device is away."""

HOPS = 1024
"""How often one call may be made, where devices say that another one is active or are not there: two of them that are asked every
HOP_PAUSE for longer than DEADLINE."""

HOP_PAUSE = 0.025
"""Seconds until a device is asked again that was not active."""

JITTER = 0.5
"""Part of each of these waits that is random, so that many clients don't come back at once."""

SESSION_ID = 2**64 - 1
"""The largest session id."""

PORT = 65535
"""The largest port (RFC 9293, 3.1; RFC 768)."""

LIF = 65535
"""The largest logical interface."""

VLAN = 4094
"""The largest VLAN id (IEEE 802.1Q, table 9-2)."""

UINT32 = 2**32 - 1
"""The largest timeout in seconds, next hop and page size."""

INT32 = 2**31 - 1
"""The largest shutdown deadline in seconds."""

MAC_BYTES = 6
"""Bytes of a MAC address (IEEE 802)."""
