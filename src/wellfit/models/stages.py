"""A network of timm cut before the first of its stages that are trained.

The stages before the cut are computed once, and those behind it are trained on what they put out. Whatever is computed
between stages stays where it is: the network is cut in its graph, in which each stage is one node.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import fx, nn

from wellfit.errors import WellfitError
from wellfit.models import ModelConfig, pooled_module


class Cut(NamedTuple):
    """The two parts of a network, whose modules have the names and the weights that they have in the whole of it.

    Attributes:
        first: from inputs of the network to maps.
        last: from maps to features.
    """

    first: fx.GraphModule
    last: fx.GraphModule


def before_the_last(net: Any, stages: int) -> list[nn.Parameter]:
    """The parameters of the stages before the last ones, as timm counts them for rates that fall from layer to layer.

    Args:
        net: a network of timm.
        stages: how many are the last ones.

    Raises:
        WellfitError: there are no more stages than are to be trained.
    """
    from timm.models import group_parameters

    groups = group_parameters(net, net.group_matcher(coarse=True))
    if stages >= len(groups):
        raise WellfitError(f"model.partial must be < {len(groups)}, the stages of the network, got {stages}")
    parameters = dict(net.named_parameters())
    return [parameters[name] for number in sorted(groups)[:-stages] for name in groups[number]]


def cut(net: nn.Module, config: ModelConfig) -> Cut:
    """Cuts a network before its last ``model.partial`` stages.

    Args:
        net: a network of timm.
        config: the section ``model``.

    Raises:
        WellfitError: it cannot be cut there, or ``model.pooled`` names a module before the cut.
    """
    fixed = {id(parameter) for parameter in before_the_last(net, config.partial)}
    try:
        graph = _Tracer(fixed).trace(_Whole(net))
        first, last = _parts(graph, net, fixed)
    except Exception as error:  # what a forward pass of any network may do to its tracer
        reason = " ".join(str(error).split())[:200]
        raise WellfitError(
            f"model.name {config.name} cannot be cut before its last {config.partial} stages ({reason}); set "
            "model.feature_copies to null, and images pass all stages in each epoch"
        ) from error
    found = Cut(fx.GraphModule(net, first), fx.GraphModule(net, last))
    behind = {name for name, _ in found.last.named_modules()}
    for name, _ in map(pooled_module, config.pooled):
        if name not in behind:
            raise WellfitError(
                f"model.pooled: {name} is none of the last {config.partial} stages of {config.name}, which are trained "
                "(model.partial), or in one of them"
            )
    return found


class _Whole(nn.Module):
    """A network that takes inputs alone, whatever else its own forward pass takes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any) -> Any:
        return self.net(x)


class _Tracer(fx.Tracer):
    """Looks into a module only where both fixed and trained parameters are in it."""

    def __init__(self, fixed: set[int]) -> None:
        super().__init__()
        self._fixed = fixed

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return len({id(parameter) in self._fixed for parameter in m.parameters()}) < 2


def _parts(graph: fx.Graph, net: nn.Module, fixed: set[int]) -> tuple[fx.Graph, fx.Graph]:
    """The graph of all that depends on no trained parameter, and the graph of the rest.

    Raises:
        ValueError: not exactly one tensor goes from one to the other.
    """
    trained: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            node.target = node.target.partition(".")[2]  # without `_Whole`
        if node.op == "output" or trained.intersection(node.all_input_nodes) or _has_trained(node, net, fixed):
            trained.add(node)
    crossing = {each for node in trained for each in node.all_input_nodes if each not in trained}
    if len(crossing) != 1:
        raise ValueError(f"{len(crossing)} tensors go from the stages before to those behind")
    (maps,) = crossing
    first, last = fx.Graph(), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node not in trained:
            copies[node] = first.node_copy(node, copies.__getitem__)
    first.output(copies[maps])
    copies = {maps: last.placeholder("maps")}
    for node in graph.nodes:
        if node in trained:
            copies[node] = last.node_copy(node, copies.__getitem__)
    return first, last


def _has_trained(node: fx.Node, net: nn.Module, fixed: set[int]) -> bool:
    if node.op == "call_module":
        parameters = list(net.get_submodule(str(node.target)).parameters())
    elif node.op == "get_attr":
        owner, _, name = str(node.target).rpartition(".")
        value = getattr(net.get_submodule(owner), name)
        parameters = [value] if isinstance(value, nn.Parameter) else []
    else:
        parameters = []
    return any(id(parameter) not in fixed for parameter in parameters)
