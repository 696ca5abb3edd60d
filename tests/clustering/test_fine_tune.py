"""Centroids fine-tuned on data: a worked step, what stays as it was, wrong choices."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import energysim
from energysim.clustering.weights import to_tensors
from energysim.errors import InputError
from tests.clustering.test_share import Tied, network


def test_one_step_by_hand() -> None:
    # Clusters {1, 1.2} and {5}; inputs of 1 make each weight's gradient 1, and each centroid moves by 0.1.
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 1.2, 5.0]]))
    made = energysim.fine_tune(layer, "scalars:K=2", [torch.ones(1, 3)], lambda m, x: m(x).sum(), rate=0.1)
    torch.testing.assert_close(to_tensors(made.state())["weight"], torch.tensor([[1.0, 1.0, 4.9]]))


@pytest.mark.parametrize("recipe", ["scalars:K=4", "dkm:2/2", "rows:K=5"])
def test_data_brings_the_shared_model_nearer_to_its_own(recipe: str) -> None:
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = torch.randn(8, 16, 3, 5, 5)
    with torch.no_grad():
        wanted = [model.eval()(batch) for batch in images]
    model.train()

    def off(student: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return functional.mse_loss(student(batch[0]), batch[1])

    made = {
        True: energysim.fine_tune(model, recipe, list(zip(images, wanted, strict=True)) * 8, off, rate=1.0),
        False: energysim.share(model, recipe),
    }
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    losses = {}
    for tuned, compressed in made.items():
        state = to_tensors(compressed.state())
        shared = {name for name, _ in compressed.clustered()}
        assert all(torch.equal(before[name], state[name]) for name in state.keys() - shared)
        student = network(1)
        student.load_state_dict(state)
        student.eval()
        losses[tuned] = float(sum(off(student, each).detach() for each in zip(images, wanted, strict=True)))
    assert losses[True] < 0.9 * losses[False]
    assert [line.clusters for line in made[True].report] == [line.clusters for line in made[False].report]


def test_a_tied_weight_has_one_codebook() -> None:
    words = torch.tensor([1, 5, 7])

    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        return functional.cross_entropy(model.get_submodule("out")(model.get_submodule("words")(batch)), batch)

    made = energysim.fine_tune(Tied(), "scalars:K=4", [words] * 2, loss)
    assert made.ties == {"out.weight": "words.weight"}


def test_wrong_choices() -> None:
    with pytest.raises(InputError, match="rate of fine-tuning must be above zero, not 0"):
        energysim.fine_tune(network(), "scalars:K=4", [], lambda m, x: x, rate=0)
    for wrong in (torch.tensor(float("nan")), torch.ones(2)):
        with pytest.raises(InputError, match=r"batch 0: the loss is .*; it must be one finite number"):
            energysim.fine_tune(network(), "scalars:K=4", [wrong], lambda m, x: x)
    with pytest.raises(InputError, match="shares none of the 3 weights"):
        energysim.fine_tune(network(), {"embedding": {"bits": 2}}, [], lambda m, x: x)
