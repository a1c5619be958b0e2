"""Thrift's compact protocol, as much of it as a Parquet file's description takes: structs of integers, texts, lists, structs.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any


class Type(IntEnum):
    I32 = 5
    I64 = 6
    BINARY = 8
    LIST = 9
    STRUCT = 12


# (field id, type, value), in the order of the ids. A struct is such a sequence itself, or the bytes that one became; a list is
# (type of items, items).
Field = tuple[int, Type, Any]


def struct(fields: Sequence[Field]) -> bytes:
    out, before = bytearray(), 0
    for number, kind, value in fields:
        out.append((number - before) << 4 | kind)
        out += _value(kind, value)
        before = number
    out.append(0)
    return bytes(out)


def _value(kind: Type, value: Any) -> bytes:
    match kind:
        case Type.I32 | Type.I64:
            return varint(value << 1 ^ value >> 63)
        case Type.BINARY:
            encoded: bytes = value.encode()
            return varint(len(encoded)) + encoded
        case Type.STRUCT:
            return value if isinstance(value, bytes) else struct(value)
        case Type.LIST:
            item, items = value
            size = bytes([len(items) << 4 | item]) if len(items) < 15 else bytes([0xF0 | item]) + varint(len(items))
            return size + b"".join(_value(item, one) for one in items)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
