"""Seeds that depend on what they are for, not on what ran before."""

import hashlib


def seed_of(*parts: object) -> int:
    """Derive a number in [0, 2**63) from ``parts`` alone, the same on every machine.

    Every epoch of every trial seeds torch, numpy and Python with its own number. So a trial gives the same result in
    whichever process it runs, after whichever trials, and whether or not it was interrupted: there is no generator
    state to carry over.
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
