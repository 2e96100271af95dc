"""The messages of Caffe's files, as far as they are read here: field numbers, types and defaults.

They are declared to the protobuf library, which then parses both the binary and the text format; fields not named here
are skipped. Source of the numbers: `src/caffe/proto/caffe.proto` of BVLC/caffe 1.0.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any, NamedTuple

from decaf.errors import NetError
from decaf.nets.readers.caffe.wire import refuse

_LONGEST_REASON = 160  # characters of protobuf's message, which may quote the whole file


class _Field(NamedTuple):
    number: int
    kind: str  # a scalar type, or the name of a message or enumeration below
    default: str = ""
    repeated: bool = False


def _many(number: int, kind: str) -> _Field:
    return _Field(number, kind, repeated=True)


# The layer types of V1 files: number -> (its name there, its name in later files). 0 is "none".
V1_TYPES = {
    1: ("ACCURACY", "Accuracy"),
    2: ("BNLL", "BNLL"),
    3: ("CONCAT", "Concat"),
    4: ("CONVOLUTION", "Convolution"),
    5: ("DATA", "Data"),
    6: ("DROPOUT", "Dropout"),
    7: ("EUCLIDEAN_LOSS", "EuclideanLoss"),
    8: ("FLATTEN", "Flatten"),
    9: ("HDF5_DATA", "HDF5Data"),
    10: ("HDF5_OUTPUT", "HDF5Output"),
    11: ("IM2COL", "Im2col"),
    12: ("IMAGE_DATA", "ImageData"),
    13: ("INFOGAIN_LOSS", "InfogainLoss"),
    14: ("INNER_PRODUCT", "InnerProduct"),
    15: ("LRN", "LRN"),
    16: ("MULTINOMIAL_LOGISTIC_LOSS", "MultinomialLogisticLoss"),
    17: ("POOLING", "Pooling"),
    18: ("RELU", "ReLU"),
    19: ("SIGMOID", "Sigmoid"),
    20: ("SOFTMAX", "Softmax"),
    21: ("SOFTMAX_LOSS", "SoftmaxWithLoss"),
    22: ("SPLIT", "Split"),
    23: ("TANH", "TanH"),
    24: ("WINDOW_DATA", "WindowData"),
    25: ("ELTWISE", "Eltwise"),
    26: ("POWER", "Power"),
    27: ("SIGMOID_CROSS_ENTROPY_LOSS", "SigmoidCrossEntropyLoss"),
    28: ("HINGE_LOSS", "HingeLoss"),
    29: ("MEMORY_DATA", "MemoryData"),
    30: ("ARGMAX", "ArgMax"),
    31: ("THRESHOLD", "Threshold"),
    32: ("DUMMY_DATA", "DummyData"),
    33: ("SLICE", "Slice"),
    34: ("MVN", "MVN"),
    35: ("ABSVAL", "AbsVal"),
    36: ("SILENCE", "Silence"),
    37: ("CONTRASTIVE_LOSS", "ContrastiveLoss"),
    38: ("EXP", "Exp"),
    39: ("DECONVOLUTION", "Deconvolution"),
}

TEST = 1  # the phase that a network is read in
_ENUMERATIONS = {
    "Phase": {0: "TRAIN", TEST: "TEST"},
    "PoolMethod": {0: "MAX", 1: "AVE", 2: "STOCHASTIC"},
    "RoundMode": {0: "CEIL", 1: "FLOOR"},
    "NormRegion": {0: "ACROSS_CHANNELS", 1: "WITHIN_CHANNEL"},
    "EltwiseOp": {0: "PROD", 1: "SUM", 2: "MAX"},
    "V1Type": {0: "NONE"} | {number: name for number, (name, _) in V1_TYPES.items()},
}

# Settings of layers: the message, and its field number in a layer of later files and of V1 files.
_SETTINGS: dict[str, tuple[str, int, int | None]] = {
    "transform_param": ("Transformation", 100, 36),
    "batch_norm_param": ("BatchNorm", 139, None),
    "bias_param": ("Bias", 141, None),
    "concat_param": ("Concat", 104, 9),
    "convolution_param": ("Convolution", 106, 10),
    "data_param": ("Data", 107, 11),
    "dropout_param": ("Dropout", 108, 12),
    "dummy_data_param": ("DummyData", 109, 26),
    "eltwise_param": ("Eltwise", 110, 24),
    "elu_param": ("ELU", 140, None),
    "flatten_param": ("Flatten", 135, None),
    "image_data_param": ("Data", 115, 15),
    "inner_product_param": ("InnerProduct", 117, 17),
    "input_param": ("Input", 143, None),
    "lrn_param": ("LRN", 118, 18),
    "memory_data_param": ("MemoryData", 119, 22),
    "pooling_param": ("Pooling", 121, 19),
    "power_param": ("Power", 122, 21),
    "prelu_param": ("PReLU", 131, None),
    "relu_param": ("ReLU", 123, 30),
    "reshape_param": ("Reshape", 133, None),
    "scale_param": ("Scale", 142, None),
    "softmax_param": ("Softmax", 125, 39),
}

_MESSAGES: dict[str, dict[str, _Field]] = {
    "BlobShape": {"dim": _many(1, "int64")},
    # The numbers themselves (fields 5, 6, 8 and 9) are taken from the file without a copy: see `wire`.
    "Blob": {
        "num": _Field(1, "int64"),
        "channels": _Field(2, "int64"),
        "height": _Field(3, "int64"),
        "width": _Field(4, "int64"),
        "shape": _Field(7, "BlobShape"),
    },
    "Rule": {
        "phase": _Field(1, "Phase"),
        "min_level": _Field(2, "int64"),
        "max_level": _Field(3, "int64"),
        "stage": _many(4, "string"),
        "not_stage": _many(5, "string"),
    },
    "Transformation": {
        "scale": _Field(1, "float", "1"),
        "crop_size": _Field(3, "uint64"),
        "mean_value": _many(5, "float"),
        "force_gray": _Field(7, "bool"),
    },
    "BatchNorm": {"use_global_stats": _Field(1, "bool", "true"), "eps": _Field(3, "float", "1e-5")},
    "Bias": {"axis": _Field(1, "int64", "1"), "num_axes": _Field(2, "int64", "1")},
    "Concat": {"axis": _Field(2, "int64", "1"), "concat_dim": _Field(1, "uint64", "1")},
    "Convolution": {
        "num_output": _Field(1, "uint64"),
        "bias_term": _Field(2, "bool", "true"),
        "pad": _many(3, "uint64"),
        "kernel_size": _many(4, "uint64"),
        "stride": _many(6, "uint64"),
        "dilation": _many(18, "uint64"),
        "pad_h": _Field(9, "uint64"),
        "pad_w": _Field(10, "uint64"),
        "kernel_h": _Field(11, "uint64"),
        "kernel_w": _Field(12, "uint64"),
        "stride_h": _Field(13, "uint64"),
        "stride_w": _Field(14, "uint64"),
        "group": _Field(5, "uint64", "1"),
        "axis": _Field(16, "int64", "1"),
    },
    "Data": {"crop_size": _Field(5, "uint64")},
    "Dropout": {"scale_train": _Field(2, "bool", "true")},
    "DummyData": {
        "shape": _many(6, "BlobShape"),
        "num": _many(2, "uint64"),
        "channels": _many(3, "uint64"),
        "height": _many(4, "uint64"),
        "width": _many(5, "uint64"),
    },
    "Eltwise": {"operation": _Field(1, "EltwiseOp", "SUM"), "coeff": _many(2, "float")},
    "ELU": {"alpha": _Field(1, "float", "1")},
    "Flatten": {"axis": _Field(1, "int64", "1"), "end_axis": _Field(2, "int64", "-1")},
    "InnerProduct": {
        "num_output": _Field(1, "uint64"),
        "bias_term": _Field(2, "bool", "true"),
        "axis": _Field(5, "int64", "1"),
        "transpose": _Field(6, "bool"),
    },
    "Input": {"shape": _many(1, "BlobShape")},
    "LRN": {
        "local_size": _Field(1, "uint64", "5"),
        "alpha": _Field(2, "float", "1"),
        "beta": _Field(3, "float", "0.75"),
        "norm_region": _Field(4, "NormRegion", "ACROSS_CHANNELS"),
        "k": _Field(5, "float", "1"),
    },
    "MemoryData": {
        "channels": _Field(2, "uint64"),
        "height": _Field(3, "uint64"),
        "width": _Field(4, "uint64"),
    },
    "Pooling": {
        "pool": _Field(1, "PoolMethod", "MAX"),
        "pad": _many(4, "uint64"),
        "pad_h": _Field(9, "uint64"),
        "pad_w": _Field(10, "uint64"),
        "kernel_size": _many(2, "uint64"),
        "kernel_h": _Field(5, "uint64"),
        "kernel_w": _Field(6, "uint64"),
        "stride": _many(3, "uint64"),
        "stride_h": _Field(7, "uint64"),
        "stride_w": _Field(8, "uint64"),
        "global_pooling": _Field(12, "bool"),
        "round_mode": _Field(13, "RoundMode", "CEIL"),
        # How DenseNet's authors write it. Their number is the one above; this one is for the text alone.
        "ceil_mode": _Field(1013, "bool", "true"),
    },
    "Power": {
        "power": _Field(1, "float", "1"),
        "scale": _Field(2, "float", "1"),
        "shift": _Field(3, "float", "0"),
    },
    "PReLU": {"channel_shared": _Field(2, "bool")},
    "ReLU": {"negative_slope": _Field(1, "float")},
    "Reshape": {
        "shape": _Field(1, "BlobShape"),
        "axis": _Field(2, "int64"),
        "num_axes": _Field(3, "int64", "-1"),
    },
    "Scale": {
        "axis": _Field(1, "int64", "1"),
        "num_axes": _Field(2, "int64", "1"),
        "bias_term": _Field(4, "bool"),
    },
    "Softmax": {"axis": _Field(2, "int64", "1")},
    "V0Layer": {"name": _Field(1, "string"), "type": _Field(2, "string")},
    "Layer": {
        "name": _Field(1, "string"),
        "type": _Field(2, "string"),
        "bottom": _many(3, "string"),
        "top": _many(4, "string"),
        "include": _many(8, "Rule"),
        "exclude": _many(9, "Rule"),
        **{name: _Field(number, message) for name, (message, number, _) in _SETTINGS.items()},
    },
    "V1Layer": {
        "layer": _Field(1, "V0Layer"),
        "bottom": _many(2, "string"),
        "top": _many(3, "string"),
        "name": _Field(4, "string"),
        "type": _Field(5, "V1Type"),
        "include": _many(32, "Rule"),
        "exclude": _many(33, "Rule"),
        **{name: _Field(number, message) for name, (message, _, number) in _SETTINGS.items() if number},
    },
    "Net": {
        "name": _Field(1, "string"),
        "input": _many(3, "string"),
        "input_dim": _many(4, "int64"),
        "input_shape": _many(8, "BlobShape"),
        "layer": _many(100, "Layer"),
        "layers": _many(2, "V1Layer"),
    },
}


def parse_binary(kind: str, data: bytes) -> Any:
    """A message of one of the kinds above, a protobuf object. Raises NetError."""
    message = _classes()[kind]()
    try:
        message.ParseFromString(data)
    except Exception as error:  # protobuf's own error type moves between its versions
        refuse(str(error))
    return message


def parse_text(kind: str, text: str) -> Any:
    """The same from protobuf's text format. Raises NetError."""
    from google.protobuf import text_format

    message = _classes()[kind]()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of odd escapes in a quoted text
            text_format.Parse(text, message, allow_unknown_field=True)
    except RecursionError:
        raise NetError("the prototxt is nested too deep: no network is written like that") from None
    except (text_format.ParseError, ValueError) as error:
        why = " ".join(str(error).split())[:_LONGEST_REASON]
        raise NetError(f"the prototxt cannot be read ({why}): correct or download it again") from None
    return message


@cache
def _classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for name, values in _ENUMERATIONS.items():
        # Values of all enumerations in one scope must differ, so each gets a message around it.
        enumeration = file.message_type.add(name=name).enum_type.add(name="Value")
        for number, value in values.items():
            enumeration.value.add(name=value, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, declared in fields.items():
            message.field.add(name=field, **_described(declared))
    pool = descriptor_pool.DescriptorPool()  # its own: another package may have declared Caffe's messages for itself
    pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}")) for name in _MESSAGES}


def _described(field: _Field) -> dict[str, Any]:
    """The keyword arguments of a FieldDescriptorProto."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Described

    label = Described.LABEL_REPEATED if field.repeated else Described.LABEL_OPTIONAL
    described: dict[str, Any] = {"number": field.number, "label": label}
    if field.kind in _MESSAGES:
        described |= {"type": Described.TYPE_MESSAGE, "type_name": f".caffe.{field.kind}"}
    elif field.kind in _ENUMERATIONS:
        described |= {"type": Described.TYPE_ENUM, "type_name": f".caffe.{field.kind}.Value"}
    else:
        described["type"] = getattr(Described, f"TYPE_{field.kind.upper()}")
    return described | ({"default_value": field.default} if field.default else {})
