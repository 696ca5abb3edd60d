"""Training on several processes: equal weights and centroids on all, and those of one process on the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROGRAM = """
import os, sys, warnings
from datetime import timedelta
import torch
from torch import distributed, nn
from energysim.clustering.prepare import prepare
from tests.clustering.test_share import network

warnings.simplefilter("ignore")
torch.set_num_threads(1)
folder, *recipes = sys.argv[1:]

def trained(recipe, wrap, rank, ranks):
    model = prepare(network(), recipe).train()
    # Batch normalisation sees its own part of a batch only; the shares of weights are what is compared.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    shown = wrap(model)
    optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for step in range(3):
        images = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        shown(images.chunk(ranks)[rank]).square().mean().backward()
        optimiser.step()
    return model.state_dict()

child = os.fork()
rank = int(child == 0)
distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timedelta(seconds=60)
)
torch.save([trained(recipe, nn.parallel.DistributedDataParallel, rank, 2) for recipe in recipes], f"{folder}/{rank}.pt")
distributed.barrier()
distributed.destroy_process_group()
if child:
    os.wait()
    torch.save([trained(recipe, lambda model: model, 0, 1) for recipe in recipes], f"{folder}/whole.pt")
"""


RECIPES = ("dkm:2/2,temperature=1e-2", "dkm:2/1,temperature=1e-2,mode=gumbel", "rows:K=6")


@pytest.mark.skipif(sys.platform != "linux" or not torch.distributed.is_available(), reason="forks, and meets on `lo`")
def test_ranks_stay_equal_and_are_one_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), *RECIPES]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[2],
        env=os.environ | threads | {"GLOO_SOCKET_IFNAME": "lo"},
    )
    assert not done.returncode, done.stderr
    found = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("0", "1", "whole"))
    for recipe, one, other, whole in zip(RECIPES, *found, strict=True):
        assert any(name.endswith("original") for name in whole)
        for name, tensor in whole.items():
            assert torch.equal(one[name], other[name]), f"{recipe}: {name}"
            if not name.endswith("seen"):  # the sum of a weight's bits
                torch.testing.assert_close(one[name], tensor, rtol=1e-5, atol=1e-6, msg=f"{recipe}: {name}")
