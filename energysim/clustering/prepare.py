"""Sharing in training: `prepare` a model, train it in a loop of one's own, and `finalize` it into a compressed model.

The weight of each shared layer is computed from what is trained, through `torch.nn.utils.parametrize`; forward, loss
and optimiser stay as they are. DKM trains the dense weight; after plain k-means the codebook is trained (Han16, 3.3).
"""

import copy
from collections import defaultdict
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from energysim.clustering.dkm import DKM
from energysim.clustering.recipe import Recipe, Sharing, Weight
from energysim.clustering.recipe_read import RecipeLike, as_recipe
from energysim.clustering.regulariser import Regulariser
from energysim.clustering.share import assembled, blocks_of, channel_scale, checked, clustered, share_weight
from energysim.clustering.weights import (
    identity,
    kinds_of,
    our_parametrization,
    own_type,
    plain_state,
    to_tensor,
    weights_of,
)
from energysim.compressed.model import Clustered, CompressedModel, Dense, WeightReport, block_shape
from energysim.errors import InputError


class SoftSharing(nn.Module):
    """A weight as DKM's soft mixture of centroids in training, and as its nearest centroids in evaluation.

    Scales and the order of axes are taken off and put back around one `DKM` for each block. Centroids move on once for
    each change of the weight: modules that it is tied into, layers that are used again, checkpointed activations and
    batches whose gradients are summed up before a step all see one soft weight.
    """

    seen: Tensor

    def __init__(self, tensor: Tensor, about: Weight, sharing: Sharing, recipe: Recipe) -> None:
        super().__init__()
        checked(tensor, about)
        self.about, self.sharing, self.recipe = about, sharing, recipe
        self.granularity = sharing.cut(about)
        self.axis, blocks = blocks_of(about, sharing)
        if sharing.bits is None or sharing.zero_share:
            raise InputError(
                f"weight '{about.name}': DKM needs `bits`, as K is a power of two, and takes no zero_share"
            )
        self.axes = sharing.axes(about)
        self.back = tuple(sorted(range(len(self.axes)), key=self.axes.__getitem__))
        _, length = self.granularity.sample_shape(block_shape(about.shape, blocks, self.axis, self.axes))
        self.parts = nn.ModuleList(
            DKM(
                sharing.bits,
                length,
                temperature=sharing.tau(about.name),
                iterations=sharing.iterations,
                epsilon=sharing.epsilon,
                mode=sharing.mode,
                seed=recipe.seed,
                granularity=self.granularity,
            )
            for _ in range(blocks)
        )
        self.register_buffer("seen", torch.full((), -1))

    def _once_a_change(self, original: Tensor) -> None:
        """Put the centroids back to where they were when this very weight was seen last."""
        # The sum's bits, as a whole number: `half()` on the model leaves them alone.
        total = original.detach().sum(dtype=torch.float64).view(torch.int64)
        if bool(total == self.seen):
            for part in self.parts:
                cast(DKM, part).rewind()
        self.seen.copy_(total)

    def _blocks(self, original: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The weight in blocks as they are cut into samples, and the scale that each channel was divided by."""
        scale = channel_scale(original.detach(), self.about, self.sharing, self.axis)
        blocks = (original if scale is None else original / scale).chunk(len(self.parts), self.axis)
        return [block.permute(self.axes) if self.axes else block for block in blocks], scale

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, original: Tensor) -> Tensor:
        """The weight, of the original's shape and dtype."""
        if self.training:
            self._once_a_change(original)
        blocks, scale = self._blocks(original)
        soft = [dkm(block) for block, dkm in zip(blocks, self.parts, strict=True)]
        turned = [block.permute(self.back) if self.axes else block for block in soft]
        whole = torch.cat(turned, self.axis) if len(turned) > 1 else turned[0]
        return (whole if scale is None else whole * scale).to(original.dtype)

    def finalized(self, original: Tensor) -> tuple[Clustered, WeightReport]:
        """The weight's codebooks and indices as they are now."""
        blocks, scale = self._blocks(checked(original, self.about))
        snapped = [cast(DKM, dkm).snap(block) for block, dkm in zip(blocks, self.parts, strict=True)]
        books, labels = [each.centroids for each in snapped], [each.indices for each in snapped]
        about, cut, coding = self.about, self.granularity, self.recipe.coding
        return clustered(original, about, cut, books, labels, coding, self.axis, scale, axes=self.axes)


class _Scaled(torch.autograd.Function):
    """The identity, whose gradient is multiplied by the second argument."""

    @staticmethod
    def forward(ctx: Any, codebooks: Tensor, factors: Tensor) -> Tensor:
        """Codebooks as they are."""
        ctx.save_for_backward(factors)
        return codebooks.view_as(codebooks)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Their gradient, scaled."""
        (factors,) = ctx.saved_tensors
        return gradients[0] * factors, None


class TrainedCodebook(nn.Module):
    """A weight looked up in codebooks that are trained, (blocks, K, d), by indices that stay as k-means gave them.

    A centroid moves by the mean of what its samples would, so that learning rates for the dense weight still fit (the
    plain sum is thousands of times that). Where a share of the samples was made zero, their centroid stays zero.
    """

    indices: Tensor
    shares: Tensor
    scale: Tensor | None

    def __init__(self, tensor: Tensor, about: Weight, sharing: Sharing, recipe: Recipe) -> None:
        super().__init__()
        made, self.report = share_weight(tensor, about, sharing, recipe.seed, recipe.coding)
        self.about, self.sharing, self.recipe = about, sharing, recipe
        self.granularity, self.axis, self.block_shape = made.granularity, made.axis, made.block_shape
        self.axes, self.back = made.axes, tuple(sorted(range(len(made.axes)), key=made.axes.__getitem__))
        self.before = tensor.detach().cpu().clone()
        self.first = to_tensor(Dense(made.codebooks, made.dtype)).to(tensor.device)
        indices = torch.from_numpy(made.indices.astype("int64")).reshape(made.blocks, -1)
        counts = torch.stack([torch.bincount(labels, minlength=made.clusters) for labels in indices])
        shares = (1 / counts.clamp_min(1).to(tensor.dtype))[..., None]
        if sharing.zero_share:
            shares[:, 0] = 0
        along = [-1 if axis == self.axis else 1 for axis in range(tensor.ndim)]
        scale = None if made.scale is None else torch.from_numpy(made.scale).reshape(along).to(tensor.device)
        self.register_buffer("indices", indices.to(tensor.device))
        self.register_buffer("shares", shares.to(tensor.device))
        self.register_buffer("scale", scale)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The codebooks that training starts from: they take the place of the weight among the parameters."""
        return self.first.clone()

    def forward(self, codebooks: Tensor) -> Tensor:
        """The weight."""
        books: Tensor = _Scaled.apply(codebooks, self.shares)  # type: ignore[no-untyped-call]
        parts = [
            self.granularity.restore(book[indices], self.block_shape)
            for book, indices in zip(books, self.indices, strict=True)
        ]
        if self.axes:
            parts = [part.permute(self.back) for part in parts]
        whole = torch.cat(parts, self.axis) if len(parts) > 1 else parts[0]
        return whole if self.scale is None else (whole * self.scale).to(codebooks.dtype)

    def finalized(self, original: Tensor) -> tuple[Clustered, WeightReport]:
        """The codebooks as they are now, with the indices; errors are told against the weight before sharing."""
        books = list(checked(original, self.about))
        about, cut, coding, labels = self.about, self.granularity, self.recipe.coding, list(self.indices)
        scale, notes = self.scale, self.report.notes
        return clustered(self.before, about, cut, books, labels, coding, self.axis, scale, notes, self.axes)


def prepare(model: nn.Module, recipe: RecipeLike, *, inplace: bool = False) -> nn.Module:
    """A copy of the model (or itself) whose weights are shared while it is trained, as the recipe says.

    Method `dkm` trains dense weights through DKM; `kmeans` clusters now and trains the codebooks; `deepk` leaves
    weights alone, as its regulariser is a term of the loss (`regulariser_of`). Tied weights stay tied. Make the
    optimiser after this. Raises InputError naming the weight that cannot be shared.
    """
    recipe = as_recipe(recipe)
    weights = weights_of(model)
    recipe.check_names(weights)
    if any(our_parametrization(module) for module in model.modules()):
        raise InputError("the model has been prepared already")
    made = model if inplace else copy.deepcopy(model)
    if recipe.method == "deepk":
        return made
    places = _places(made)
    # All are made, which checks them, before the first one changes the model.
    parametrizations: dict[str, SoftSharing | TrainedCodebook] = {}
    for weight in weights:
        sharing = recipe.sharing_of(weight)
        if sharing is not None and weight.elements:
            module, name = places[weight.name][0]
            kind = SoftSharing if recipe.method == "dkm" else TrainedCodebook
            parametrizations[weight.name] = kind(getattr(module, name), weight, sharing, recipe)
    for weight_name, parametrization in parametrizations.items():
        _register(places[weight_name], parametrization)
    if not parametrizations:
        raise InputError(
            f"recipe '{recipe.text}' shares none of the {len(weights)} weights of '{type(model).__name__}'"
        )
    return made


def _places(model: nn.Module) -> dict[str, list[tuple[nn.Module, str]]]:
    """By the name of each parameter: the modules that hold it, first the one of that name, then those tied to it."""
    by_identity: dict[object, list[tuple[str, nn.Module, str]]] = defaultdict(list)
    for layer, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            by_identity[identity(parameter)].append((f"{layer}.{name}" if layer else name, module, name))
    return {full: [(m, n) for _, m, n in holders] for holders in by_identity.values() for full, _, _ in holders}


def _register(holders: list[tuple[nn.Module, str]], parametrization: SoftSharing | TrainedCodebook) -> None:
    """One parametrization for a weight, in every module that it is tied into."""
    module, name = holders[0]
    tensor = getattr(module, name)
    kept = tensor.detach().clone()
    parametrize.register_parametrization(module, name, parametrization)
    first = module.get_submodule(f"parametrizations.{name}")
    for other, other_name in holders[1:]:
        # The parameter was changed in place where it was registered first: the others get it afterwards.
        setattr(other, other_name, nn.Parameter(kept.clone(), tensor.requires_grad))
        parametrize.register_parametrization(other, other_name, parametrization)
        other.get_submodule(f"parametrizations.{other_name}").original = first.original


def finalize(model: nn.Module, recipe: RecipeLike | None = None, *, name: str = "") -> CompressedModel:
    """The compressed model of a prepared and trained one, which is not changed; for `deepk` give the recipe again.

    Its state is that of the model before `prepare`, with every shared weight at its nearest centroid.
    """
    weights = weights_of(model)
    state = plain_state(model)
    recipe = None if recipe is None else as_recipe(recipe)
    shared: dict[str, tuple[Clustered, WeightReport]] = {}
    for weight in weights:
        layer = model.get_submodule(weight.layer)
        parametrization = our_parametrization(layer, weight.name.rpartition(".")[2])
        if isinstance(parametrization, (SoftSharing, TrainedCodebook)):
            shared[weight.name] = parametrization.finalized(state[weight.name])
            recipe = recipe or parametrization.recipe
        elif recipe is not None and (sharing := recipe.sharing_of(weight)) is not None and weight.name in state:
            shared[weight.name] = share_weight(state[weight.name], weight, sharing, recipe.seed, recipe.coding)
    if recipe is None:
        raise InputError("the model has not been prepared; give the recipe (Deep k-Means), or use `share`")
    return assembled(name or own_type(model).__name__, state, kinds_of(model), shared, recipe, weights)


def regulariser_of(model: nn.Module, recipe: RecipeLike) -> Regulariser:
    """The penalty of Deep k-Means for the weights that a `deepk` recipe shares: add it to the loss (METHODS 2).

    Raises InputError for a recipe of another method, and for codebooks per group or scales per channel.
    """
    recipe = as_recipe(recipe)
    if recipe.method != "deepk":
        raise InputError(f"recipe '{recipe.text}' is of method {recipe.method}; only deepk has a regulariser")
    weights = weights_of(model)
    recipe.check_names(weights)
    clusters, cuts, zero_shares = {}, {}, {}
    for weight in weights:
        sharing = recipe.sharing_of(weight)
        if sharing is None or not weight.elements:
            continue
        if blocks_of(weight, sharing)[1] > 1 or sharing.per_channel_scale or sharing.axes(weight):
            raise InputError(f"weight '{weight.name}': the regulariser takes no groups, scales or vector_axis")
        cuts[weight.name] = sharing.cut(weight)
        clusters[weight.name] = sharing.clusters_of(cuts[weight.name].sample_shape(weight.shape)[0])
        if sharing.zero_share:
            zero_shares[weight.name] = sharing.zero_share
    settings = dict(recipe.regulariser)
    return Regulariser(model, clusters, seed=recipe.seed, granularity=cuts, zero_shares=zero_shares, **settings)
