import numpy as np
import pytest

from zoo_graph.demo.encoders import bert_tensors
from zoo_graph.demo.onnx_weights import read_onnx
from zoo_graph.errors import PackageError


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(name: str, values: np.ndarray, *, packed: bool = False) -> bytes:
    dims = field(1, b"".join(map(varint, values.shape))) if packed else b"".join(field(1, n) for n in values.shape)
    kind = 1 if values.dtype == np.float32 else 7
    return field(5, dims + field(2, kind) + field(8, name.encode()) + field(9, values.tobytes()))


def product(name: str, *inputs: str) -> bytes:
    ins = b"".join(field(1, item.encode()) for item in inputs)
    return field(1, ins + field(2, b"out") + field(3, name.encode()) + field(4, b"MatMul"))


def model(*parts: bytes) -> bytes:
    return field(1, 8) + field(7, b"".join(parts))


MATRIX = np.arange(300, dtype=np.float32).reshape(100, 3)


def test_float_tensors_are_read_with_their_shapes() -> None:
    read = read_onnx(model(tensor("a", MATRIX), tensor("b", MATRIX.T.copy(), packed=True)))
    np.testing.assert_array_equal(read.tensors["a"], MATRIX)
    np.testing.assert_array_equal(read.tensors["b"], MATRIX.T)


def test_tensors_of_other_types_are_left_out() -> None:
    read = read_onnx(model(tensor("a", MATRIX), tensor("shape", np.array([1, 2], dtype=np.int64))))
    assert list(read.tensors) == ["a"]


def test_an_unnamed_matrix_gets_its_layers_name_and_is_transposed() -> None:
    bias = "model.0.auto_model.encoder.layer.0.output.dense.bias"
    read = read_onnx(
        model(
            tensor(bias, np.zeros(3, dtype=np.float32)),
            tensor("onnx::MatMul_7", MATRIX),
            product("/model/model.0/auto_model/encoder/layer.0/output/dense/MatMul", "x", "onnx::MatMul_7"),
            product("/model/model.0/auto_model/encoder/layer.0/attention/self/MatMul", "q", "k"),
        )
    )
    tensors = bert_tensors(read)
    assert sorted(tensors) == ["encoder.layer.0.output.dense.bias", "encoder.layer.0.output.dense.weight"]
    np.testing.assert_array_equal(tensors["encoder.layer.0.output.dense.weight"], MATRIX.T)


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"PK\x03\x04 a zip", model(tensor("a", MATRIX))[:-5], model()])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(PackageError, match="ONNX model"):
        read_onnx(data)
