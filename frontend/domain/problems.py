"""Types of the problems that programs tell apart (RFC 9457, 3.1.1); all others are of none."""

from typing import Final

NO_CALL: Final = "urn:orlop:no-such-call"  # the API has no such path
