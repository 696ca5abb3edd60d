"""The one table of ONNX operations: what each is (compute, view, data, control, stored), and who makes its layer.

*compute*: exact counts of MACs or plain operations. *view*: free, elements are renamed, none is computed. *data*: free
where the elements that move are known, else traffic. *control*: the body is costed. *stored*: computed from nothing but
numbers of the model, once, when it is loaded. `docs/operations.md` is this table; a test keeps it complete.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from energysim.workload import onnx_operations as common
from energysim.workload import onnx_rare as rare
from energysim.workload import onnx_several as several
from energysim.workload.onnx_operations import REDUCTIONS, Maker, make_pointwise
from energysim.workload.torch_operations import NORMALISATIONS, ROTARY_OPS, words

VIEWS = words(
    "Reshape Flatten Squeeze Unsqueeze Transpose Identity Dropout Cast CastLike BitCast Expand Split Slice Concat Tile "
    "Pad DepthToSpace SpaceToDepth Trilu CenterCropPad Shape Size Optional OptionalGetElement OptionalHasElement "
    "SequenceConstruct SequenceEmpty SequenceAt SequenceInsert SequenceErase SequenceLength SplitToSequence "
    "ConcatFromSequence ZipMap CastMap"
)
"""Operations that only rename or lay out elements: free."""

KNOWN_MOVES = words("Gather GatherElements GatherND")
"""Free where the indices are stored in the model, traffic where they are computed."""

CONTROL = words("If Loop Scan SequenceMap")

STORED = words(
    "Constant ConstantOfShape Range EyeLike RandomNormal RandomUniform HannWindow HammingWindow BlackmanWindow "
    "MelWeightMatrix"
)

UNARY = MappingProxyType(
    {
        "Relu": "relu",
        "LeakyRelu": "leaky_relu",
        "Elu": "elu",
        "Selu": "selu",
        "Celu": "celu",
        "Gelu": "gelu",
        "Swish": "silu",
        "Mish": "mish",
        "Sigmoid": "sigmoid",
        "Tanh": "tanh",
        "Softplus": "softplus",
        "Softsign": "softsign",
        "HardSwish": "hardswish",
        "HardSigmoid": "hardsigmoid",
        "Shrink": "hardshrink",
        "ThresholdedRelu": "threshold",
        "Abs": "abs",
        "Neg": "neg",
        "Exp": "exp",
        "Log": "log",
        "Sqrt": "sqrt",
        "Reciprocal": "reciprocal",
        "Sign": "sign",
        "Floor": "floor",
        "Ceil": "ceil",
        "Round": "round",
        "Erf": "erf",
        "Sin": "sin",
        "Cos": "cos",
        "Not": "logical_not",
        "BitwiseNot": "bitwise_not",
        **{name: name.lower() for name in ("Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh")},
        "IsNaN": "is_nan",
        "IsInf": "is_inf",
    }
)
"""One operation for each element; the names that PyTorch has for them."""

BINARY = MappingProxyType(
    {
        "Add": "add",
        "Sub": "sub",
        "Mul": "mul",
        "Div": "div",
        "Pow": "pow",
        "Mod": "remainder",
        "Equal": "eq",
        "Less": "lt",
        "LessOrEqual": "le",
        "Greater": "gt",
        "GreaterOrEqual": "ge",
        "And": "logical_and",
        "Or": "logical_or",
        "Xor": "logical_xor",
        "BitwiseAnd": "bitwise_and",
        "BitwiseOr": "bitwise_or",
        "BitwiseXor": "bitwise_xor",
        "BitShift": "bit_shift",
        "Where": "where",
    }
)

FUSABLE = frozenset(UNARY) | frozenset(BINARY) | words("Clip PRelu Min Max Sum Mean")
"""With one computed operand they run inside the layer that computes it."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What an ONNX operation is: its kind, a sentence for the table, and the maker of its layer (None: it has none)."""

    kind: str
    says: str
    make: Maker | None = None


def _rows() -> Iterator[tuple[str, Operation]]:
    for kind, names, says in (
        ("view", VIEWS, "free"),
        ("control", CONTROL, "its body, once for each trip"),
        ("stored", STORED, "free: computed once, when the model is loaded"),
    ):
        yield from ((name, Operation(kind, says)) for name in names)
    for name in KNOWN_MOVES:
        says = "free where the indices are stored, else what is taken is read and written; Gather of a table: its rows"
        yield name, Operation("data", says, common.make_embedding)
    for says, makers in COMPUTE:
        for several_names, maker in makers.items():
            yield from ((name, Operation("compute", says, maker)) for name in several_names.split())
    for name, plain in (UNARY | BINARY).items():
        yield name, Operation("compute", "1 operation for each element", make_pointwise(plain))
    for name, (_, ops) in REDUCTIONS.items():
        yield name, Operation("compute", f"{ops} operation{'s'[: ops - 1]} for each element read", common.make_reduce)
    for moved, maker in DATA.items():
        says = "every operand read once, every result written once"
        yield from ((name, Operation("data", says, maker)) for name in moved)


COMPUTE: tuple[tuple[str, Mapping[str, Maker]], ...] = (
    ("MACs: outputs x input channels of a group x window", {"Conv ConvInteger QLinearConv": common.make_conv}),
    ("MACs: inputs x output channels of a group x window", {"ConvTranspose": common.make_conv_transpose}),
    (
        "MACs of the convolution; the interpolation of its inputs is not counted",
        {"DeformConv": common.make_deform_conv},
    ),
    (
        "MACs: rows x columns x inner size",
        {
            "Gemm": common.make_gemm,
            "MatMul MatMulInteger QLinearMatMul": common.make_matmul,
        },
    ),
    ("MACs: the product of all index sizes, for two operands", {"Einsum": common.make_einsum}),
    (
        "1 operation for each window element",
        {
            "MaxPool AveragePool": common.make_pool,
            "GlobalMaxPool GlobalAveragePool": common.make_global_pool,
            "LRN": common.make_lrn,
        },
    ),
    ("2 operations for each window element", {"LpPool": common.make_pool, "GlobalLpPool": common.make_global_pool}),
    (
        "2 operations for each element; folded behind a convolution or product",
        {"BatchNormalization": common.make_batch_normalisation},
    ),
    (
        f"{NORMALISATIONS['layer_norm']} operations for each element",
        {
            "LayerNormalization MeanVarianceNormalization": common.make_normal("layer_norm"),
            "GroupNormalization": common.make_normal("group_norm"),
            "InstanceNormalization": common.make_normal("instance_norm"),
        },
    ),
    (f"{NORMALISATIONS['rms_norm']} operations for each element", {"RMSNormalization": common.make_normal("rms_norm")}),
    (
        "4 operations for each element",
        {
            "Softmax LogSoftmax": common.make_normal("softmax"),
            "DynamicQuantizeLinear": make_pointwise("quantize", 4, (0,)),
        },
    ),
    (
        "3 operations for each element",
        {
            "LpNormalization Normalizer": make_pointwise("lp_norm", 3, (0,)),
            "SwiGLU": make_pointwise("swiglu", 3),
            "RotaryEmbedding": make_pointwise("rotary", ROTARY_OPS, (0,)),
        },
    ),
    (
        "2 operations for each element",
        {
            "Hardmax": make_pointwise("hardmax", 2),
            "QuantizeLinear": make_pointwise("quantize", 2, (0,)),
            "DequantizeLinear": make_pointwise("dequantize", 2, (0,)),
            "Scaler": make_pointwise("scale", 2),
        },
    ),
    (
        "1 operation for each element",
        {
            "Clip": common.make_clip,
            "PRelu": common.make_prelu,
            "CumSum CumProd": make_pointwise("cumulate", 1, (0,)),
            "Bernoulli RandomNormalLike RandomUniformLike": make_pointwise("random", 1, (0,)),
            "Binarizer Imputer": make_pointwise("compare"),
        },
    ),
    (
        "1 operation for each element and input but the first",
        {
            "Sum Mean": common.make_variadic("add"),
            "Min": common.make_variadic("minimum"),
            "Max": common.make_variadic("maximum"),
        },
    ),
    (
        "nearest: data that move; else a weighted sum of 2 (linear) or 4 (cubic) neighbours an axis",
        {"Resize Upsample": rare.resize},
    ),
    (
        "8 operations for each element where it is interpolated, else 1",
        {"GridSample RoiAlign MaxRoiPool": rare.sampled},
    ),
    ("6 operations for each element", {"AffineGrid": make_pointwise("affine_grid", 6, ())}),
    ("1 + log2 k comparisons for each element read", {"TopK": rare.top_k}),
    ("5 log2 n operations for each complex number of a transform of n points", {"DFT STFT": rare.fourier}),
    ("2 n^3 / 3 operations for each matrix", {"Det": rare.determinant}),
    ("14 operations for each box and box that is kept, at most", {"NonMaxSuppression": rare.suppression}),
    (
        "MACs: samples x features x support vectors or classes",
        {"SVMClassifier SVMRegressor LinearClassifier LinearRegressor": rare.supports},
    ),
    (
        "a comparison for each sample at each level of each tree, taken as balanced",
        {"TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor": rare.trees},
    ),
    ("5 operations for each element of the scores", {"SoftmaxCrossEntropyLoss": rare.cross_entropy}),
    (
        "MACs of its gates: 4, 3 or 1 times (inputs + states) x states, for each step and direction",
        {
            "LSTM": several.recurrent("lstm"),
            "GRU": several.recurrent("gru"),
            "RNN": several.recurrent("rnn"),
        },
    ),
    (
        "MACs: queries x keys, then weights x values, for each head; 4 operations a weight between them",
        {"Attention ai.onnx.preview.FlexAttention": several.attention},
    ),
    (
        "MACs: for each token and head, the outer product of key and value, then the product with the query",
        {"LinearAttention": several.linear_attention},
    ),
    ("MACs: one for each tap and element", {"CausalConvWithState": several.causal_convolution}),
    (
        "12, 6 or 4 operations for each number that is trained",
        {
            "ai.onnx.preview.training.Adam": make_pointwise("adam", 12),
            "ai.onnx.preview.training.Adagrad": make_pointwise("adagrad", 6),
            "ai.onnx.preview.training.Momentum": make_pointwise("momentum", 4),
        },
    ),
)
"""What is said of operations, to their names and the maker of their layer."""

DATA: Mapping[frozenset[str], Maker] = {
    words(
        "MaxUnpool ReverseSequence Col2Im Compress NonZero Unique OneHot Multinomial NegativeLogLikelihoodLoss "
        "ImageDecoder StringConcat StringNormalizer StringSplit RegexFullMatch TfIdfVectorizer CategoryMapper "
        "DictVectorizer FeatureVectorizer LabelEncoder OneHotEncoder ArrayFeatureExtractor "
        "ai.onnx.preview.training.Gradient"
    ): common.make_moved,
    words("Scatter ScatterElements ScatterND TensorScatter"): common.make_updated,
}
"""Operations that move elements by what other elements say."""

OPERATIONS: Mapping[str, Operation] = MappingProxyType(dict(_rows()))
"""Every operation by its name (those of the training domain with the domain before it)."""

INTRODUCTION = """# What each operation of ONNX costs

`python -m energysim.workload.onnx_table` writes this page from the table by which models are read; a test compares it
with the operations that the `onnx` package knows: none is missing.

* **compute**: counted exactly, in MACs or plain operations. Element-wise operations with one computed operand run
  inside the layer that computes it (`--keep-activations` makes them layers of their own), a BatchNorm behind a
  convolution or product is folded (`--keep-batchnorm`), a GELU, SiLU, layer or local response normalisation that is
  written out as several nodes is one.
* **view**: free, since elements are only renamed or laid out; edges stay exact behind them, element for element.
* **data**: moves elements by what other elements say. Free where these are stored in the model, else traffic: every
  operand is read once and every result written once.
* **control**: the body is costed, one branch of an If (the one with more work where the condition is not known), a Loop
  or Scan times the trips, where they are known or given with `--trips`.
* **stored**: depends on nothing but the model, so it is computed once, when the model is loaded.

Operations of other domains are costed as traffic, with a warning. PyTorch models go through the same makers of layers
where they have the same operation.

| operation | kind | cost |
|---|---|---|
"""


def operations_page() -> str:
    """`docs/operations.md`."""
    rows = (f"| {name} | {each.kind} | {each.says} |\n" for name, each in sorted(OPERATIONS.items()))
    return INTRODUCTION + "".join(rows)


if __name__ == "__main__":
    import sys

    sys.stdout.write(operations_page())
