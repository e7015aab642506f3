"""Small pictures as the bytes of a PNG file, made of plain numbers: maps of levels by a palette, pictures of data, weights.

PNG: ISO/IEC 15948; the colours of levels: cividis, Nunez, Anderton & Renslow (2018), https://doi.org/10.1371/journal.pone.0199239
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

LEVELS = 250                          # of a scale; above them are the colours of what has no place on it
ABSENT, ZERO, NOT_FINITE = 250, 251, 252
STOPS = ((0, 34, 78), (0, 40, 91), (0, 46, 106), (5, 51, 113), (26, 56, 111), (39, 62, 110), (50, 67, 109), (59, 73, 108),
         (67, 78, 108), (75, 84, 108), (83, 90, 109), (90, 95, 110), (97, 101, 111), (104, 106, 113), (111, 112, 115),
         (118, 118, 118), (125, 124, 120), (132, 130, 121), (140, 136, 120), (147, 142, 120), (155, 148, 118), (163, 154, 116),
         (171, 160, 114), (180, 167, 111), (188, 174, 108), (196, 180, 104), (205, 187, 99), (213, 194, 94), (222, 201, 88),
         (231, 209, 80), (240, 216, 70), (249, 224, 58), (254, 232, 56))
DIVERGING = ((5, 48, 97), (67, 147, 195), (247, 247, 247), (214, 96, 77), (103, 0, 31))
GAP = 1


def _between(stops: Sequence[tuple[int, int, int]], n: int) -> list[tuple[int, int, int]]:
    """So many colours along these, evenly."""
    colours = []
    for i in range(n):
        at = i / (n - 1) * (len(stops) - 1)
        low = min(int(at), len(stops) - 2)
        colours.append(tuple(round(a + (at - low) * (b - a)) for a, b in zip(stops[low], stops[low + 1], strict=True)))
    return colours  # type: ignore[return-value]


PALETTE = [*_between(STOPS, LEVELS), (128, 128, 128), (0, 0, 0), (214, 39, 40)]


def level(share: float | None) -> int:
    """The number of the colour for a place on the scale, in [0, 1]; ABSENT for None."""
    return ABSENT if share is None else min(int(share * LEVELS), LEVELS - 1)


def mapped(rows: Sequence[Sequence[int]]) -> bytes:
    """A picture of rows of numbers of colours, the first row on top; ABSENT is transparent."""
    palette = b"".join(bytes(colour) for colour in PALETTE)
    see_through = bytes(0 if i == ABSENT else 255 for i in range(len(PALETTE)))
    lines = b"".join(b"\0" + bytes(row) for row in rows)
    return _file(len(rows[0]), len(rows), 3, lines, (b"PLTE", palette), (b"tRNS", see_through))


def of_pixels(image: Tensor) -> bytes:
    """A picture (channels, height, width) of uint8: three channels in colour, others as the grey of their mean."""
    pixels = image if image.shape[0] in (1, 3) else image.float().mean(0, keepdim=True).round().to(torch.uint8)
    channels, height, width = pixels.shape
    lines = pixels.permute(1, 2, 0).reshape(height, width * channels).contiguous()
    data = b"".join(b"\0" + bytes(row) for row in lines.tolist())
    return _file(width, height, 2 if channels == 3 else 0, data)


def of_weights(maps: Tensor, columns: int = 10) -> tuple[bytes, float]:
    """Weights (units, channels, height, width) as tiles, blue negative, white zero, red positive; and the weight of the strongest colour.

    Three channels are drawn as a colour about mid-grey, other numbers of channels as their mean.
    """
    units, channels, height, width = maps.shape
    limit = float(torch.quantile(maps.abs().flatten()[: 2**23], 0.995)) or 1.0
    scaled = (maps / limit).clamp(-1, 1)
    if channels == 3:
        pixels = ((scaled + 1) * 127.5).round().to(torch.uint8)                        # (units, 3, height, width)
    else:
        table = torch.tensor(_between(DIVERGING, 201), dtype=torch.uint8)              # (201, 3)
        mean = scaled.mean(1)
        pixels = table[((mean + 1) * 100).round().long()].permute(0, 3, 1, 2)
    columns = min(columns, units)
    rows = -(-units // columns)
    sheet = torch.zeros(4, rows * (height + GAP), columns * (width + GAP), dtype=torch.uint8)
    for i in range(units):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        sheet[:3, top : top + height, left : left + width] = pixels[i]
        sheet[3, top : top + height, left : left + width] = 255
    lines = sheet.permute(1, 2, 0).reshape(sheet.shape[1], -1)
    data = b"".join(b"\0" + bytes(row) for row in lines.tolist())
    return _file(sheet.shape[2], sheet.shape[1], 6, data), limit


def of_several(images: Tensor, columns: int = 8) -> bytes:
    """Pictures (n, channels, height, width) of uint8 as tiles of one picture."""
    n, channels, height, width = images.shape
    if channels not in (1, 3):
        images, channels = images.float().mean(1, keepdim=True).round().to(torch.uint8), 1
    columns = min(columns, n)
    rows = -(-n // columns)
    sheet = torch.full((channels, rows * (height + GAP), columns * (width + GAP)), 128, dtype=torch.uint8)
    for i in range(n):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        sheet[:, top : top + height, left : left + width] = images[i]
    return of_pixels(sheet)


def _file(width: int, height: int, kind: int, lines: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
                                           for name, data in parts)
