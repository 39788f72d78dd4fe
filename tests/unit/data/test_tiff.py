"""The tag reader of TIFF files, against directories packed by hand."""

import struct

import pytest

from ddpm.data import tiff

TAG = 258
TYPES = {"B": 1, "H": 3, "I": 4}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_numbers_of_a_tag_are_read_inline_up_to_four_bytes_and_else_at_their_offset(
    order: str, code: str, count: int
) -> None:
    numbers = tuple(range(200, 200 + count))
    data = struct.pack(f"{order}{count}{code}", *numbers)
    start, after = 8, 8 + 2 + 12 + 4
    raw = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(f"{order}I", after)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", start)
    entry = struct.pack(f"{order}HHI", TAG, TYPES[code], count) + raw
    content = head + struct.pack(f"{order}H", 1) + entry + bytes(4) + (data if len(data) > 4 else b"")
    found = tiff.directory(content)
    assert found is not None
    assert found.numbers(content, TAG) == numbers
    assert found.numbers(content, TAG + 1) == ()
