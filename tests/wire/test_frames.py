"""
The borders of WebSocket frames, however the stream is cut.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.frames import Border, close_frame


def frame(payload: bytes, opcode: int = 2, *, masked: bool = False) -> bytes:
    """
    Return a frame in the shortest form its length has.
    """
    size = len(payload)
    first = bytes((0x80 | opcode,))
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes((mask | size,))
    elif size < 65536:
        head = bytes((mask | 126,)) + size.to_bytes(2)
    else:
        head = bytes((mask | 127,)) + size.to_bytes(8)
    return first + head + (b"key!" if masked else b"") + payload


SIZES = (0, 1, 125, 126, 127, 65535, 65536, 100_000)


@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])
@pytest.mark.parametrize("size", SIZES)
def test_a_border_is_behind_the_last_byte_and_nowhere_before(size, masked):
    """
    Each form of the length is understood: only behind the whole frame may another one begin.
    """
    whole = frame(b"x" * size, masked=masked)
    for cut in {1, 2, 3, 5, 9, len(whole) - 1}:
        if not 0 < cut < len(whole):
            continue
        border = Border()
        border.follow(whole[:cut])
        assert not border.open
        border.follow(whole[cut:])
        assert border.open


frames = st.lists(
    st.tuples(st.sampled_from((0, 1, 2, 125, 126, 300, 70_000)), st.booleans()), max_size=6
)


@given(frames, st.lists(st.integers(0, 80_000), max_size=12), st.integers(0, 20))
def test_cutting_changes_nothing(shapes, cuts, more):
    """
    A stream is at a border after whole frames and not within the next, wherever it was cut.
    """
    stream = b"".join(frame(b"x" * size, masked=masked) for size, masked in shapes)
    part = frame(b"y" * 130)[:more]
    border = Border()
    at = 0
    for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        border.follow(stream[at:cut])
        at = cut
    assert border.open
    border.follow(part)
    assert border.open is not bool(part)


def test_nothing_follows_a_close_frame():
    """
    Once one end has said goodbye, nobody speaks in its name (RFC 6455 §5.5.1).
    """
    border = Border()
    border.follow(frame(b"ping", 9) + frame(b"\x03\xe8", 8))

    assert border.closed
    assert not border.open


def test_close_frames_are_as_each_end_wants_them():
    """
    To a caller unmasked, to an upstream masked with a key of its own each time (RFC 6455 §5.3).
    """
    masked = {close_frame(1001, masked=True) for _ in range(8)}

    assert close_frame(1001, masked=False) == b"\x88\x02\x03\xe9"
    assert len(masked) > 1
    for each in masked:
        head, key, hidden = each[:2], each[2:6], each[6:]
        assert head == b"\x88\x82"
        assert bytes(a ^ b for a, b in zip(hidden, key, strict=False)) == b"\x03\xe9"
