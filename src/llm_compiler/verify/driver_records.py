"""What drivers print that cannot keep the time themselves: which program begins, then its record.

Pure.
"""

from __future__ import annotations

__all__ = ["driver_records"]


def driver_records(data: bytes, ended: str) -> bytes:
    """Return the driver's records without the lines that say which program begins.

    Args:
        ended: kind and number of the outcome of a program that began and has no record.
    """
    records: list[bytes] = []
    position, begun = 0, b""
    while (end := data.find(b"\n", position)) >= 0:
        line = data[position:end]
        if line.startswith(b"@"):
            begun, position = line[1:], end + 1
            continue
        words = line.split(b" ")
        if len(words) != 4 or not words[3].isdigit() or end + 1 + int(words[3]) > len(data):
            break
        stop = end + 1 + int(words[3])
        records.append(data[position:stop])
        position, begun = stop, b""
    if begun:
        records.append(begun + f" {ended} 0\n".encode())
    return b"".join(records)
