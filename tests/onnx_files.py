"""Writes small ONNX files with no library: the few messages of the format that tests need, byte by byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIDE = 640
STRIDES = (8, 16, 32)
FLOAT = 1
WIDTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""Numbers to each cell of YuNet's outputs."""


def points(cell: tuple[int, int]) -> np.ndarray:
    """Eyes, nose and corners of the mouth of the face that `yunet` tells of, 5 x 2 pixels: one that lies on its side."""
    middle = np.array(cell, float) * 8
    return middle + np.array([(10.0, -25.0), (10.0, 25.0), (-20.0, 0.0), (-40.0, -22.0), (-40.0, 22.0)])


def yunet(file: Path, cell: tuple[int, int], size: float) -> Path:
    """A network with YuNet's inputs and outputs that finds one face, at this column and row of its finest grid, in whatever it is shown."""
    place, nodes, constants = cell[1] * (SIDE // 8) + cell[0], [], []
    for stride in STRIDES:
        count = (SIDE // stride) ** 2
        values = {name: np.zeros((1, count, width)) for name, width in WIDTHS.items()}
        if stride == STRIDES[0]:
            values["cls"][0, place], values["obj"][0, place] = 1.0, 1.0
            values["bbox"][0, place] = (0.0, 0.0, np.log(size / stride), np.log(size / stride))
            values["kps"][0, place] = ((points(cell) / stride) - np.array(cell)).ravel()
        for name, value in values.items():
            # Something of the picture must come in, or there would be nothing to run.
            constants.append(_tensor(f"{name}_{stride}_value", value))
            nodes.append(_node("Add", [f"{name}_{stride}_value", "nothing"], [f"{name}_{stride}"]))
    constants.append(_tensor("zero", np.zeros(1)))
    mean = _node("ReduceMean", ["input"], ["mean"], _attribute("axes", [1, 2, 3]) + _attribute("keepdims", 0))
    shrink = [mean, _node("Mul", ["mean", "zero"], ["nothing"])]
    outputs = [_value(f"{name}_{stride}", (1, (SIDE // stride) ** 2, width)) for stride in STRIDES for name, width in WIDTHS.items()]
    graph = b"".join(_field(1, node) for node in [*shrink, *nodes]) + _field(2, b"yunet") + b"".join(_field(5, one) for one in constants)
    graph += _field(11, _value("input", (1, 3, SIDE, SIDE))) + b"".join(_field(12, one) for one in outputs)
    file.write_bytes(_number(1, 8) + _field(7, graph) + _field(8, _number(2, 13)))
    return file


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, values: np.ndarray) -> bytes:
    sides = b"".join(_number(1, side) for side in values.shape)
    return sides + _number(2, FLOAT) + _field(8, name.encode()) + _field(9, values.astype(np.float32).tobytes())


def _node(kind: str, inputs: list[str], outputs: list[str], attributes: bytes = b"") -> bytes:
    names = b"".join(_field(1, name.encode()) for name in inputs) + b"".join(_field(2, name.encode()) for name in outputs)
    return names + _field(3, f"{kind} {outputs[0]}".encode()) + _field(4, kind.encode()) + attributes


def _attribute(name: str, value: int | list[int]) -> bytes:
    whole, many = 2, 7
    numbers = b"".join(_number(8, one) for one in value) if isinstance(value, list) else _number(3, value)
    return _field(5, _field(1, name.encode()) + numbers + _number(20, many if isinstance(value, list) else whole))


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    sides = b"".join(_field(1, _number(1, side)) for side in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, FLOAT) + _field(2, sides)))
