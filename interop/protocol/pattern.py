"""The contents of test messages: both ends make them from a seed, so only a hash travels back."""

import hashlib

# A prime, so that messages of a round size swapped or lost change the whole.
PERIOD = 65521


def binary(size, seed):
    """A linear congruential sequence (the top byte of each step), repeated after PERIOD bytes."""
    block = bytearray(min(size, PERIOD))
    x = seed & 0xFFFFFFFF
    for i in range(len(block)):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        block[i] = x >> 24
    return (bytes(block) * (size // PERIOD + 1))[:size]


def text(size, seed):
    """Exactly `size` bytes of UTF-8: a euro sign where it fits, then printable ASCII."""
    head, start = ("€", 3) if size >= 3 else ("", 0)
    return head + "".join(chr(32 + ((seed + i * 7) % 95)) for i in range(start, size))


def sha256(data):
    """As hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
