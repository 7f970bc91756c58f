"""Parameter sets of H.264 as MP4 keeps them: read, and merged for a track whose pictures have several."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lipserve.errors import InternalError

_SPS_HEADER = 4  # bytes: the NAL unit's own, profile, constraints, level
_PPS_HEADER = 1
_IDR, _SLICES = 5, range(1, 6)  # types of NAL units


@dataclass(frozen=True)
class ParameterSets:
    """The content of an `avcC` box (ISO/IEC 14496-15, 5.3.3.1), with lengths of four bytes.

    Attributes:
        profile, constraints, level: of the track.
        sequence, picture: NAL units of the parameter sets.
        rest: what follows in the box for High profiles.
    """

    profile: int
    constraints: int
    level: int
    sequence: tuple[bytes, ...]
    picture: tuple[bytes, ...]
    rest: bytes = b""

    @classmethod
    def read(cls, extradata: bytes | None) -> ParameterSets | None:
        """Return the parameter sets of a stream; None where it keeps them in another form."""
        data = extradata or b""
        if len(data) < 7 or data[0] != 1 or data[4] & 3 != 3:
            return None
        try:
            sequence, at = _units(data, 6, data[5] & 31)
            picture, at = _units(data, at + 1, data[at])
        except (IndexError, struct.error):
            return None
        if not (sequence and picture):
            return None
        return cls(data[1], data[2], data[3], sequence, picture, data[at:])

    @property
    def numbers(self) -> set[int]:
        """The numbers by which pictures name their sets."""
        return {_number(unit, _SPS_HEADER) for unit in self.sequence} | {
            _number(unit, _PPS_HEADER) for unit in self.picture
        }

    def merged(self, other: ParameterSets) -> ParameterSets:
        """Return the sets of both, for a track that holds pictures of either.

        Raises:
            InternalError: they have different sets of one number.
        """
        return ParameterSets(
            max(self.profile, other.profile),
            self.constraints & other.constraints,
            max(self.level, other.level),
            _merged(self.sequence, other.sequence, _SPS_HEADER),
            _merged(self.picture, other.picture, _PPS_HEADER),
            max(self.rest, other.rest, key=len),
        )

    def to_bytes(self) -> bytes:
        """Return the `avcC` box's content."""
        parts = [bytes([1, self.profile, self.constraints, self.level, 0xFF, 0xE0 | len(self.sequence)])]
        parts += [struct.pack(">H", len(unit)) + unit for unit in self.sequence]
        parts += [bytes([len(self.picture)])]
        parts += [struct.pack(">H", len(unit)) + unit for unit in self.picture]
        return b"".join(parts) + self.rest


def begins_anew(packet: bytes) -> bool:
    """Tell whether a packet's picture is an IDR: nothing after it needs what was before."""
    at = 0
    while at + 5 <= len(packet):
        (length,) = struct.unpack_from(">I", packet, at)
        kind = packet[at + 4] & 31
        if kind in _SLICES:
            return kind == _IDR
        at += 4 + length
    return False


def _units(data: bytes, at: int, count: int) -> tuple[tuple[bytes, ...], int]:
    """Return `count` units from `at` on, and where the last one ends."""
    units = []
    for _ in range(count):
        (length,) = struct.unpack_from(">H", data, at)
        units.append(data[at + 2 : at + 2 + length])
        at += 2 + length
        if at > len(data) or not length:
            raise IndexError(at)
    return tuple(units), at


def _merged(one: tuple[bytes, ...], other: tuple[bytes, ...], header: int) -> tuple[bytes, ...]:
    sets = {_number(unit, header): unit for unit in one}
    for unit in other:
        if sets.setdefault(_number(unit, header), unit) != unit:
            raise InternalError("Two parameter sets of H.264 with one number differ.")
    return tuple(sets.values())


def _number(unit: bytes, header: int) -> int:
    """Return the first Exp-Golomb number after the header (ITU-T H.264, 9.1): the set's own."""
    body = unit.replace(b"\x00\x00\x03", b"\x00\x00")[header : header + 8]
    bits = "".join(f"{byte:08b}" for byte in body)
    zeros = len(bits) - len(bits.lstrip("0"))
    return int(bits[zeros : 2 * zeros + 1] or "0", 2) - 1
