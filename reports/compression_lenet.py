"""LeNet on Fashion-MNIST, its convolutions compressed at one and the same ratio in several ways: `make lenet`.

Needs Debian's package dataset-fashion-mnist. Trains a baseline for each seed, then every way starts from it: plain
row-wise k-means, and more training with Deep k-Means (three variants), DKM, or of the codebook alone. All share
the rows of both convolutions by 8 centroids, so that sizes are equal. Writes compression_lenet.md beside itself.
"""

import gzip
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from energysim.clustering.prepare import finalize, prepare, regulariser_of
from energysim.clustering.regulariser import DegenerateWarning
from energysim.clustering.share import share
from energysim.clustering.weights import to_tensors
from energysim.compressed.model import CompressedModel
from energysim.compressed.size import size_report
from models.lenet_caffe5 import build

DATA = Path("/usr/share/datasets/fashion-mnist")
SEEDS = (0, 1, 2)
EPOCHS, BATCH, FINE_IMAGES = 2, 100, 30_000
RATE, FINE_RATE = 0.05, 0.01
REFRESH_STEPS = 120
KINDS = ("images-idx3", "labels-idx1")
ROWS = {"granularity": "row", "bits": 3}

Extra = Callable[[int], Tensor] | None
"""What is added to the loss at a step."""


@dataclass(frozen=True, slots=True)
class Images:
    """Pictures (n, 1, 28, 28) from 0 to 1 and their classes (n,)."""

    pictures: Tensor
    classes: Tensor


def images(part: str) -> Images:
    """The "train" or the "t10k" images, as the Debian package has them."""
    pictures, classes = (gzip.decompress((DATA / f"{part}-{kind}-ubyte.gz").read_bytes()) for kind in KINDS)
    pixels = np.frombuffer(pictures, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    return Images(torch.from_numpy(pixels / np.float32(255)), torch.from_numpy(_classes(classes)))


def _classes(raw: bytes) -> np.ndarray:
    return np.frombuffer(raw, np.uint8, offset=8).astype(np.int64)


def lenet(seed: int) -> nn.Sequential:
    """The packaged LeNet without its softmax, which is part of the loss."""
    torch.manual_seed(seed)
    network = build()[0]
    return nn.Sequential(*list(network.children())[:-1])


def train_on(
    model: nn.Module,
    data: Images,
    optimiser: torch.optim.Optimizer,
    seed: int,
    rates: tuple[float, float],
    most: int | None = None,
    extra: Extra = None,
) -> None:
    """One pass over the data, or `most` of it, in an order given by the seed; the rate falls from one to the other."""
    model.train()
    mixed = torch.randperm(len(data.classes), generator=torch.Generator().manual_seed(seed))
    order = mixed[:most].split(BATCH)
    for step, chosen in enumerate(order):
        for group in optimiser.param_groups:
            group["lr"] = rates[0] + (rates[1] - rates[0]) * step / len(order)
        optimiser.zero_grad()
        loss = functional.cross_entropy(model(data.pictures[chosen]), data.classes[chosen])
        (loss if extra is None else loss + extra(step)).backward()
        optimiser.step()


def fine_tune(model: nn.Module, data: Images, seed: int, extra: Extra = None) -> None:
    """What every way but the plain one trains beyond the baseline."""
    rates = (FINE_RATE, FINE_RATE / 10)
    train_on(model, data, sgd(model, FINE_RATE), 100 + seed, rates, FINE_IMAGES, extra)


def accuracy(model: nn.Module, data: Images) -> float:
    """Per cent of the test images that are classified right."""
    model.eval()
    with torch.no_grad():
        right = [
            (model(p).argmax(1) == c).sum()
            for p, c in zip(data.pictures.split(1000), data.classes.split(1000), strict=True)
        ]
    return 100 * float(sum(right)) / len(data.classes)


def sgd(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """The optimiser of all runs."""
    return torch.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=5e-4)


def recipe(method: str, seed: int, **more: object) -> dict[str, object]:
    """Rows of the convolutions by 8 centroids."""
    return {"method": method, "seed": seed, "convolution": ROWS | more}


def plain(base: nn.Module, train: Images, seed: int) -> CompressedModel:
    """k-means on the baseline's rows."""
    return share(base, recipe("kmeans", seed))


def deep(variant: str, strength: float) -> Callable[[nn.Module, Images, int], CompressedModel]:
    """Deep k-Means: the penalty in training, then k-means."""

    def run(base: nn.Module, train: Images, seed: int) -> CompressedModel:
        asked = recipe("deepk", seed) | {"regulariser": {"variant": variant, "strength": strength, "every": 1}}
        model = prepare(base, asked)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateWarning)
            regulariser = regulariser_of(model, asked)
            regulariser.refresh(0)

            def penalty(step: int) -> Tensor:
                if step % REFRESH_STEPS == 0:
                    regulariser.refresh(step // REFRESH_STEPS)
                return regulariser(model)

            fine_tune(model, train, seed, penalty)
        return finalize(model, asked)

    return run


def prepared(method: str, **more: object) -> Callable[[nn.Module, Images, int], CompressedModel]:
    """Training through DKM, or of the codebooks."""

    def run(base: nn.Module, train: Images, seed: int) -> CompressedModel:
        model = prepare(base, recipe(method, seed, **more))
        fine_tune(model, train, seed)
        return finalize(model)

    return run


WAYS: dict[str, Callable[[nn.Module, Images, int], CompressedModel]] = {
    "plain k-means, no training": plain,
    "Deep k-Means, control (lambda 0)": deep("control", 0.0),
    "Deep k-Means, relaxed, lambda 1e-4": deep("relaxed", 1e-4),
    "Deep k-Means, hard, lambda 1e-4": deep("hard", 1e-4),
    "Deep k-Means, hard, lambda 0.1": deep("hard", 0.1),
    "k-means, then codebooks trained (Han16)": prepared("kmeans"),
    "DKM, temperature 1e-3": prepared("dkm", temperature=1e-3),
}


def main() -> None:
    """Run everything and write the report; `--quick` uses a tenth of the data and one seed, and writes nothing."""
    quick = "--quick" in sys.argv[1:]
    torch.set_num_threads(1)
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: apt-get install dataset-fashion-mnist")
    train, test = images("train"), images("t10k")
    if quick:
        train = Images(train.pictures[:6000], train.classes[:6000])
    began = time.process_time()
    results: dict[str, list[float]] = {"baseline, not compressed": []} | {name: [] for name in WAYS}
    sizes: dict[str, CompressedModel] = {}
    seconds: dict[str, float] = {}
    for seed in SEEDS[:1] if quick else SEEDS:
        base = lenet(seed)
        optimiser = sgd(base, RATE)
        for number in range(EPOCHS):
            rates = (RATE * (1 - number / EPOCHS), RATE * (1 - (number + 1) / EPOCHS))
            train_on(base, train, optimiser, 10 * seed + number, rates)
        results["baseline, not compressed"].append(accuracy(base, test))
        for name, way in WAYS.items():
            start = time.process_time()
            made = way(base, train, seed)
            seconds[name] = seconds.get(name, 0) + time.process_time() - start
            sizes[name] = made
            network = lenet(0)
            network.load_state_dict(to_tensors(made.state()))
            results[name].append(accuracy(network, test))
        print(seed, {name: values[-1] for name, values in results.items()}, flush=True)
    text = report(results, sizes, seconds, time.process_time() - began)
    if quick:
        print(text)
    else:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


def report(
    results: dict[str, list[float]], sizes: dict[str, CompressedModel], seconds: dict[str, float], cpu_s: float
) -> str:
    """The Markdown: what was done, the table, and what follows from its numbers."""
    lines = [
        "# LeNet on Fashion-MNIST, compressed in several ways at one ratio",
        "",
        f"Made by `make lenet` (reports/compression_lenet.py) in {cpu_s:.0f} CPU seconds on one thread; data: Debian's",
        "dataset-fashion-mnist, 60,000 images to train, 10,000 to test. A test of sense, not of the state of the art.",
        "",
        f"LeNet-Caffe-5 (20-50-500-10), {EPOCHS} epochs of SGD as baseline (rate {RATE} falling to 0). Every way",
        f"starts from it and trains on {FINE_IMAGES:,} more images (rate {FINE_RATE} falling to a tenth; plain",
        "k-means: none). The rows of both convolutions are shared by 8 centroids each; fully connected layers stay",
        f"dense. F is made anew every {REFRESH_STEPS} steps. DKM's temperature is not tuned: none is published.",
        "",
        "| way | top-1, mean | each seed | lost to the baseline | convolutions, bytes | ratio (deepk) | CPU s a seed |",
        "|---|---|---|---|---|---|---|",
    ]
    base = mean(results["baseline, not compressed"])
    for name, values in results.items():
        each = ", ".join(f"{value:.2f}" for value in values)
        row = f"| {name} | {mean(values):.2f} | {each} | {base - mean(values):.2f} |"
        if name in sizes:
            sizing = size_report(sizes[name])
            bits = sum(r.codebook_bits + r.fixed_bits for r in sizing.rows if r.is_clustered)
            row += f" {bits / 8:,.0f} | {_ratio(sizes[name]):.1f} | {seconds[name] / len(values):.1f} |"
        else:
            row += " 102,000 | 1 | |"
        lines.append(row)
    return "\n".join([*lines, "", *conclusions(results), ""])


def _ratio(model: CompressedModel) -> float:
    """The DeepK ratio of the convolutions alone: weights and biases, indices by entropy."""
    rows = [row for row in size_report(model).rows if row.name.split(".")[0] in CONVOLUTIONS]
    dense = sum(row.dense_bits for row in rows)
    return dense / sum(
        row.codebook_bits + row.entropy_total_bits if row.is_clustered else row.dense_bits for row in rows
    )


CONVOLUTIONS = ("0", "2")


HEAD = "Pairs of runs that share a seed, against the control (the same images without a penalty, then k-means)."
ORDER = (
    "Deep k-Means clusters last, so the layers that stay dense never see shared convolutions; with DKM and with",
    "trained codebooks they train along. With K >= 5, the width of a row, the relaxed penalty is 0 when F is fresh.",
)


CLAIMS = {
    "DeepK, relaxed, above sharing alone": (
        "Deep k-Means, relaxed, lambda 1e-4",
        "plain k-means, no training",
    ),
    "DeepK, hard at lambda 0.1, above sharing alone": ("Deep k-Means, hard, lambda 0.1", "plain k-means, no training"),
    "DKM above sharing alone": ("DKM, temperature 1e-3", "plain k-means, no training"),
    "DKM above trained codebooks": ("DKM, temperature 1e-3", "k-means, then codebooks trained (Han16)"),
}
"""Orderings that the papers lead one to expect: the way that should be better, and the other one."""


def conclusions(results: dict[str, list[float]]) -> list[str]:
    """Sentences that the numbers of this run support, pair by pair over the seeds."""
    control = results["Deep k-Means, control (lambda 0)"]
    said = [HEAD, "", *ORDER, ""]
    for name, values in results.items():
        if values is control or name.startswith("baseline"):
            continue
        gains = [a - b for a, b in zip(values, control, strict=True)]
        every = f"in each of {len(gains)} seeds"
        sign = f"better {every}" if min(gains) > 0 else f"worse {every}" if max(gains) < 0 else "not told apart"
        said.append(f"* {name}: {mean(gains):+.2f} points ({min(gains):+.2f} to {max(gains):+.2f}): {sign}.")
    said += ["", "The papers' orderings, the same way:", ""]
    for claim, (better, worse) in CLAIMS.items():
        gains = [a - b for a, b in zip(results[better], results[worse], strict=True)]
        said.append(f"* {claim}: {mean(gains):+.2f} points; {_verdict(gains)}.")
    return said


def _verdict(gains: list[float]) -> str:
    """Whether every seed says the same."""
    if min(gains) > 0:
        return f"comes out in each of {len(gains)} seeds"
    return "the opposite comes out" if max(gains) < 0 else "does not come out in every seed"


if __name__ == "__main__":
    main()
