"""One clustering case in a process of its own, for `bench.clustering`: run by our interpreter and by the peers'.

Usage: `python clustering_case.py CASE.json OUT.npz`; prints one line of JSON with CPU and wall seconds and memory.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def resident_mb(field: str) -> float:
    """A field of the process status, in MB: `VmRSS` now, `VmHWM` at its highest."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def timed(run: Callable[[], Any], repeats: int) -> tuple[dict[str, float], Any]:
    """Medians of CPU and wall seconds, the peak of memory above that before, and the last result."""
    cpu, wall, peak = [], [], []
    for _ in range(repeats):
        result = None
        Path("/proc/self/clear_refs").write_text("5")
        before = resident_mb("VmRSS")
        usage, clock = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        result = run()
        wall.append(time.perf_counter() - clock)
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu.append(after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime)
        peak.append(resident_mb("VmHWM") - before)
    return {"cpu_s": float(np.median(cpu)), "wall_s": float(np.median(wall)), "peak_mb": max(peak)}, result


def data(case: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Samples (n, d), their gradient, and the first centroids: the same numbers for everyone."""
    random = np.random.default_rng(case["seed"])
    samples = random.standard_normal((case["n"], case["d"]), dtype=np.float32) * np.float32(0.02)
    gradient = random.standard_normal(samples.shape, dtype=np.float32)
    if case["d"] == 1:
        first = np.quantile(samples[:100_000], (np.arange(case["k"]) + 0.5) / case["k"]).astype(np.float32)[:, None]
    else:
        first = samples[random.choice(len(samples), case["k"], replace=False)].copy()
    return samples, gradient, first


def dkm_energysim(case: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """Our DKM layer, forward and backward, with the first centroids given or chosen by itself."""
    import torch

    from energysim.clustering.dkm import DKM

    torch.set_num_threads(1)
    samples, gradient, first = (torch.from_numpy(a) for a in data(case))
    weight, upstream = samples.reshape(-1).requires_grad_(), gradient.reshape(-1)
    bits = case["k"].bit_length() - 1

    def run() -> Any:
        layer = DKM(bits, case["d"], temperature=case["tau"], iterations=case["iterations"], epsilon=0, seed=0)
        if not case["initialise"]:
            layer.centroids.copy_(first)
            layer.in_use.fill_(case["k"])
        weight.grad = None
        soft = layer(weight)
        if case["backward"]:
            soft.backward(upstream)
        return soft, layer.centroids

    figures, (soft, centroids) = timed(run, case["repeats"])
    return figures, {
        "soft": soft.detach().numpy(),
        "gradient": weight.grad.numpy() if weight.grad is not None else np.zeros(0),
        "centroids": centroids.numpy(),
    }


def dkm_coremltools(case: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """coremltools' palettizer on the same samples; without its pruning, which ours has no part of."""
    import torch
    from coremltools.optimize.torch.palettization.fake_palettize import FakePalettize

    torch.set_num_threads(1)
    samples, gradient, first = (torch.from_numpy(a) for a in data(case))
    # Its vectors run along the channel axis: one row per dimension puts ours there.
    weight, upstream = samples.T.contiguous().requires_grad_(), gradient.T.contiguous()
    options = {
        "palett_tau": case["tau"],
        "kmeans_max_iter": case["iterations"],
        "palett_epsilon": 0.0,
        "prune_threshold": 0.0,
    }

    def run() -> Any:
        layer = FakePalettize(
            torch.ao.quantization.MinMaxObserver,
            case["k"].bit_length() - 1,
            case["d"],
            advanced_options=options,
            dtype=torch.qint8,
        )
        layer.train()
        layer.enable_fake_palett()
        if not case["initialise"]:
            layer.create_partitions(weight.detach())
            layer.centroids = [first.clone()]
        weight.grad = None
        soft = layer(weight)
        if case["backward"]:
            soft.backward(upstream)
        return soft, layer.centroids[0]

    figures, (soft, centroids) = timed(run, case["repeats"])
    return figures, {
        "soft": soft.detach().T.reshape(-1).numpy(),
        "gradient": weight.grad.T.reshape(-1).numpy() if weight.grad is not None else np.zeros(0),
        "centroids": centroids.detach().numpy(),
    }


def kmeans_energysim(case: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """Our k-means on all samples."""
    import torch

    from energysim.clustering.kmeans import kmeans

    torch.set_num_threads(1)
    samples, _, _ = data(case)
    figures, result = timed(
        lambda: kmeans(samples, case["k"], seed=0, max_iterations=case["iterations"], tolerance=0), case["repeats"]
    )
    return figures, {"inertia": np.array(result.inertia), "centroids": result.centroids.numpy()}


def kmeans_faiss(case: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """faiss' k-means on all samples: random first centroids, which is what it offers."""
    import faiss

    faiss.omp_set_num_threads(1)
    samples, _, _ = data(case)

    def run() -> Any:
        found = faiss.Kmeans(
            case["d"], case["k"], niter=case["iterations"], seed=1, max_points_per_centroid=len(samples)
        )
        found.train(samples)
        return found

    figures, found = timed(run, case["repeats"])
    distances, _ = found.index.search(samples, 1)
    return figures, {"inertia": np.array(distances.sum(dtype=np.float64)), "centroids": found.centroids}


def kmeans_sklearn(case: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """scikit-learn's k-means with k-means++ on all samples."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    samples, _, _ = data(case)
    with threadpool_limits(1):
        figures, found = timed(
            lambda: KMeans(case["k"], n_init=1, max_iter=case["iterations"], tol=0, random_state=0).fit(samples),
            case["repeats"],
        )
    return figures, {"inertia": np.array(found.inertia_), "centroids": found.cluster_centers_}


def regulariser_energysim(case: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """The penalty's forward and backward on all convolutions of ResNet-18, and a whole training step beside it."""
    import warnings

    import torch

    from energysim.clustering.regulariser import Regulariser
    from models import resnet18

    torch.set_num_threads(1)
    model = resnet18.build()[0].train()
    images, labels = torch.randn(case["batch"], 3, 224, 224), torch.randint(0, 1000, (case["batch"],))
    rows = {n: min(64, p.numel() // p.shape[-1]) for n, p in model.named_parameters() if p.ndim == 4}
    penalty = Regulariser(model, rows, variant=case["variant"], seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        penalty.refresh(0)

    def step() -> None:
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()

    def one_penalty() -> None:
        model.zero_grad()
        penalty(model).backward()

    step()
    whole, _ = timed(step, 1)
    figures, _ = timed(one_penalty, case["repeats"])
    return figures, {"step_cpu_s": np.array(whole["cpu_s"])}


def network(case: dict[str, Any]) -> Any:
    """A network of random weights, or of as many distinct values as `values` says; `rows` x 768 make an embedding.

    `distilbert` is a `transformers` instance with three classes, as for MNLI.
    """
    import torch
    from torch import nn

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from models import resnet18

    torch.set_num_threads(1)
    torch.manual_seed(case["seed"])
    if case.get("network") == "distilbert":
        from transformers import DistilBertConfig, DistilBertForSequenceClassification

        return DistilBertForSequenceClassification(DistilBertConfig(num_labels=3))
    if case.get("rows"):
        return nn.Embedding(case["rows"], 768)
    model = resnet18.build()[0]
    if case.get("values"):
        values = torch.randn(case["values"]) * 0.02
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim > 1:
                    weight.copy_(values[torch.randint(len(values), weight.shape)])
    return model


def lost(model: Any, state: dict[str, Any]) -> Any:
    """Sum of squared errors over all weights."""
    pairs = [(tensor, state[name]) for name, tensor in model.state_dict().items() if tensor.ndim > 1]
    return np.array(sum(float((a.double() - b.double()).square().sum()) for a, b in pairs))


def share_energysim(case: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """Our sharing of a whole network after training."""
    from energysim.clustering.found import find_shared
    from energysim.clustering.share import share
    from energysim.clustering.weights import to_tensors

    model = network(case)
    run = (
        (lambda: find_shared(model.state_dict())) if case["recipe"] == "found" else lambda: share(model, case["recipe"])
    )
    figures, made = timed(run, case["repeats"])
    return figures, {"inertia": lost(model, to_tensors(made.state()))}


def share_coremltools(case: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """coremltools' palettizer after training, in this process."""
    from coremltools.optimize.torch.palettization import PostTrainingPalettizer, PostTrainingPalettizerConfig

    model = network(case)
    config = PostTrainingPalettizerConfig.from_dict({"global_config": case["coremltools"]})
    figures, made = timed(lambda: PostTrainingPalettizer(model, config).compress(num_kmeans_workers=1), case["repeats"])
    return figures, {"inertia": lost(model, made.state_dict())}


RUNS = {
    ("share", "energysim"): share_energysim,
    ("share", "coremltools"): share_coremltools,
    ("regulariser", "energysim"): regulariser_energysim,
    ("dkm", "energysim"): dkm_energysim,
    ("dkm", "coremltools"): dkm_coremltools,
    ("kmeans", "energysim"): kmeans_energysim,
    ("kmeans", "faiss"): kmeans_faiss,
    ("kmeans", "scikit-learn"): kmeans_sklearn,
}


def main() -> None:
    """Run one case and print its figures."""
    case = json.loads(Path(sys.argv[1]).read_text())
    figures, arrays = RUNS[case["what"], case["who"]](case)
    np.savez(sys.argv[2], **arrays)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
