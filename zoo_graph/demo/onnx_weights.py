"""Reads the weights out of an ONNX file: the few protobuf fields that hold them, and nothing of the graph's logic.

Field numbers are those of onnx.proto3: ModelProto.graph 7; GraphProto.node 1, initializer 5; NodeProto.input 1,
name 3, op_type 4; TensorProto.dims 1, data_type 2, name 8, raw_data 9.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo_graph.errors import PackageError

_FLOAT32 = 1
_LENGTHS = {1: 8, 5: 4}  # wire types of fixed length, in bytes


@dataclass(frozen=True, slots=True)
class MatMul:
    """One matrix product of the graph: its name and the names of what goes in."""

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OnnxWeights:
    """A graph's float32 initializers by name, and its matrix products (which say what an unnamed one is for)."""

    tensors: dict[str, NDArray[np.float32]]
    products: tuple[MatMul, ...]


def read_onnx(data: bytes) -> OnnxWeights:
    """The float32 weights of a serialized ModelProto; those with another type or stored outside are left out.

    The arrays are views of `data`.

    Raises:
        PackageError: `data` is no protobuf message, or holds no graph.
    """
    try:
        graphs = [value for number, value in _fields(memoryview(data)) if number == 7]
        fields = list(_fields(_message(graphs[0]))) if graphs else []
        tensors = dict(_tensors(value for number, value in fields if number == 5))
        products = tuple(_products(value for number, value in fields if number == 1))
    except (ValueError, IndexError) as error:
        raise PackageError(
            f"got {len(data)} bytes that are no ONNX model ({error}); download the package again"
        ) from error
    if not tensors:
        raise PackageError(
            f"got {len(data)} bytes without float32 weights, wanted an ONNX model with its weights inside"
        )
    return OnnxWeights(tensors, products)


def _tensors(messages: Iterator[int | memoryview]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for message in messages:
        dims: list[int] = []
        name, kind, raw = "", 0, memoryview(b"")
        for number, value in _fields(_message(message)):
            if number == 1:
                dims += [value] if isinstance(value, int) else list(_packed(value))
            elif number == 2 and isinstance(value, int):
                kind = value
            elif number == 8:
                name = _text(value)
            elif number == 9:
                raw = _message(value)
        if kind == _FLOAT32 and len(raw):
            yield name, np.frombuffer(raw, dtype="<f4").reshape(dims)


def _products(messages: Iterator[int | memoryview]) -> Iterator[MatMul]:
    for message in messages:
        fields = list(_fields(_message(message)))
        if any(number == 4 and _text(value) == "MatMul" for number, value in fields):
            name = next((_text(value) for number, value in fields if number == 3), "")
            yield MatMul(name, tuple(_text(value) for number, value in fields if number == 1))


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message in order: number, and an integer or the bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in _LENGTHS:
            length = _LENGTHS[wire]
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + length > len(message):
            raise ValueError(f"a field of {length} bytes ends past the message")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _packed(message: memoryview) -> Iterator[int]:
    at = 0
    while at < len(message):
        value, at = _varint(message, at)
        yield value


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message was expected")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode()
