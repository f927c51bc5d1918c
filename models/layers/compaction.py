"""Compaction: from a trained trunk to one without unused parts.

Closed connections, and parts that no task reaches, are removed with their weights. Gates and means
are folded into weights, except where several streams share the weights or only a sum reads the
values: there they are factors of the sum. Parts with equal inputs and readers become one wide part.

Shape letters: I lower sub-networks, O upper ones or tasks, D units of an input, U units in or of a
part, V units out, C experts, E experts of a layer, G groups of them that read the same input.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from taskroute.models.layers.compact_trunk import CompactTrunk
from taskroute.models.layers.experts import Experts
from taskroute.models.layers.gumbel_matrix import GumbelMatrix
from taskroute.models.layers.sub_network_routing import SnrAver, SnrTrans
from taskroute.models.layers.trunk import Trunk

KeyT = TypeVar("KeyT", bound=Hashable)


def compact(trunk: Trunk) -> Trunk | CompactTrunk:
    """Compacts a trunk for serving, for its present weights.

    Args:
        trunk: Trunk, once built.

    Returns:
        A trunk with the same results at inference; `trunk` itself where each row uses all of it. A
        network derived from an MTNAS route is returned as it is: its closed connections are zeros
        in the mixtures, some hundredths of its arithmetic, and it took 1.1 to 1.7 times as long
        without them (docs/LOG.md).
    """
    match trunk:
        case SnrTrans():
            return _snr_trans(trunk)
        case SnrAver():
            return _snr_aver(trunk)
        case GumbelMatrix():
            return _gumbel_matrix(trunk)
    return trunk


@dataclass
class _Part:
    """Sub-networks of one layer with equal inputs and readers, joined into a wide one."""

    members: list[int]
    sources: tuple[int, ...]  # members of the layer below


def _snr_trans(trunk: SnrTrans) -> CompactTrunk:
    codings = [connection.gate(None).numpy() for connection in trunk.connections]
    members = _reachable(codings)
    layers = _parts(codings, members)
    units = trunk.config.layers[0].units
    bias_IU = trunk.first.bias.numpy().reshape(-1, units)
    kernel_DIU = trunk.first.kernel.numpy().reshape(-1, *bias_IU.shape)
    compacted = CompactTrunk(kernel_DIU.shape[0])
    values: list[int] = []
    for part in layers[0]:
        weights = compacted.add_weights(
            kernel_DIU[:, part.members].reshape(len(kernel_DIU), -1),
            bias_IU[part.members].reshape(-1),
            trunk.config.activation,
        )
        values += compacted.product(0, weights, [len(part.members) * units])
    for connection, coding_OI, below, above in zip(
        trunk.connections, codings, layers[:-1], layers[1:], strict=True
    ):
        lower, upper, width = connection.num_lower, connection.num_upper, connection.units
        blocks_IUOV = connection.kernel.numpy().reshape(lower, -1, upper, width)
        blocks_IUOV = blocks_IUOV * coding_OI.T[:, np.newaxis, :, np.newaxis]
        bias_OV = connection.bias.numpy().reshape(upper, width)
        values = _connect(
            compacted, blocks_IUOV, bias_OV, below, above, values, trunk.config.activation
        )
    compacted.finish(
        {trunk.task_names[part.members[0]]: x for part, x in zip(layers[-1], values, strict=True)}
    )
    return compacted


def _parts(codings: Sequence[np.ndarray], members: Sequence[Sequence[int]]) -> list[list[_Part]]:
    """Parts of each layer, bottom up; in the last, each task is one."""
    layers = []
    for layer, places in enumerate(members):
        keys = []
        for member in places:
            sources = _open(codings[layer - 1][member]) if layer else ()
            is_task = layer == len(codings)
            readers = codings[layer][members[layer + 1], member] > 0 if not is_task else [member]
            keys.append((member, (sources, tuple(readers))))
        layers.append([_Part(same, key[0]) for key, same in _grouped(keys).items()])
    return layers


def _connect(
    compacted: CompactTrunk,
    blocks_IUOV: np.ndarray,
    bias_OV: np.ndarray,
    below: Sequence[_Part],
    above: Sequence[_Part],
    values: Sequence[int],
    activation: str,
) -> list[int]:
    """Adds one product for each part below and all its readers; returns the values `above`.

    Products for the same part are added up. The alternative, one product for each part above of its
    inputs side by side, copies every value once for each reader, which was measured to cost what
    closed routes save.
    """
    width = blocks_IUOV.shape[3]
    sources = [[h for h, lower in enumerate(below) if lower.members[0] in x.sources] for x in above]
    products: dict[int, list[int]] = {place: [] for place in range(len(above))}
    for h, (lower, value) in enumerate(zip(below, values, strict=True)):
        readers = [place for place in products if h in sources[place]]
        for is_only in (True, False):
            places = [place for place in readers if (len(sources[place]) == 1) == is_only]
            if not places:
                continue
            members = [member for place in places for member in above[place].members]
            kernel = blocks_IUOV[lower.members][:, :, members].reshape(-1, len(members) * width)
            weights = (
                compacted.add_weights(kernel, bias_OV[members].reshape(-1), activation)
                if is_only
                else compacted.add_weights(kernel)
            )
            widths = [len(above[place].members) * width for place in places]
            for place, made in zip(places, compacted.product(value, weights, widths), strict=True):
                products[place].append(made)
    results = []
    for place, upper in enumerate(above):
        if len(sources[place]) == 1:
            results += products[place]
            continue
        weights = compacted.add_weights(None, bias_OV[upper.members].reshape(-1), activation)
        results.append(compacted.joint(products[place], weights))
    return results


def _snr_aver(trunk: SnrAver) -> CompactTrunk:
    codings = [connection.gate(None).numpy() for connection in trunk.connections]
    members = _reachable(codings)
    kernel_IDU, bias_IU = _expert_layers(trunk.sub_networks[0])[0]
    compacted = CompactTrunk(kernel_IDU.shape[1])
    values = _products(compacted, 0, kernel_IDU, bias_IU, members[0], trunk.config.activation)
    for layer, coding_OI in enumerate(codings[:-1], start=1):
        kernel_OUV, bias_OV = _expert_layers(trunk.sub_networks[layer])[0]
        below, values = values, {}
        reads = ((o, _proportions(coding_OI[o])) for o in members[layer])
        for key, places in _grouped(reads).items():
            source = compacted.sum([below[place] for place, _ in key], [f for _, f in key])
            # The sum is in units of its first gate, which the kernel holds.
            scaled_OUV = kernel_OUV * coding_OI[:, key[0][0], np.newaxis, np.newaxis]
            values |= _products(
                compacted, source, scaled_OUV, bias_OV, places, trunk.config.activation
            )
    outputs = {}
    for task, coding_I in zip(trunk.task_names, codings[-1], strict=True):
        open_places = list(_open(coding_I))
        inputs = [values[place] for place in open_places]
        outputs[task] = compacted.sum(inputs, coding_I[open_places])
    compacted.finish(outputs)
    return compacted


def _gumbel_matrix(trunk: GumbelMatrix) -> CompactTrunk:
    """Compacts a Gumbel-Matrix: tasks with equal choices so far form one stream for an expert."""
    choices = [[_open(row) for row in gate(None).numpy()] for gate in trunk.gates]
    compacted = CompactTrunk(trunk.experts[0].kernels[0].shape[1])
    # A stream is the values whose mean its tasks read.
    streams: list[tuple[int, ...]] = [(0,)] * len(trunk.task_names)
    for experts, task_places in zip(trunk.experts, choices, strict=True):
        layers = _expert_layers(experts)
        readers: dict[int, dict[tuple[int, ...], None]] = {}
        for stream, places in zip(streams, task_places, strict=True):
            for place in places:
                readers.setdefault(place, {})[stream] = None
        made: dict[tuple[tuple[int, ...], int], int] = {}
        alike = _grouped((place, tuple(readers[place])) for place in sorted(readers))
        for sources, members in alike.items():
            made |= _run_experts(compacted, layers, sources, members, experts.activation)
        streams = [
            tuple(made[stream, place] for place in places)
            for stream, places in zip(streams, task_places, strict=True)
        ]
    outputs = {}
    for task, stream in zip(trunk.task_names, streams, strict=True):
        outputs[task] = compacted.sum(stream, [1 / len(stream)] * len(stream))
    compacted.finish(outputs)
    return compacted


def _run_experts(
    compacted: CompactTrunk,
    layers: Sequence[tuple[np.ndarray, np.ndarray]],
    sources: Sequence[tuple[int, ...]],
    members: Sequence[int],
    activation: str,
) -> dict[tuple[tuple[int, ...], int], int]:
    """Adds the experts `members` for each of the streams `sources`; values by stream, expert."""
    (kernel_CDU, bias_CU), *above = layers
    counts = {len(stream) for stream in sources}
    # Shared weights can include the divisor of the streams' means only if it is the same.
    divisor = counts.pop() if len(counts) == 1 else 1
    kernel_DCU = kernel_CDU[members].transpose(1, 0, 2) / divisor
    width = kernel_DCU.shape[2]
    weights = compacted.add_weights(
        kernel_DCU.reshape(len(kernel_DCU), -1), bias_CU[members].reshape(-1), activation
    )
    own = [
        [compacted.add_weights(kernel[c], bias[c], activation) for kernel, bias in above]
        for c in members
    ]
    made = {}
    for stream in sources:
        factor = divisor / len(stream)
        source = compacted.sum(stream, [factor] * len(stream))
        values = compacted.product(source, weights, [width] * len(members))
        for member, value, upper in zip(members, values, own, strict=True):
            for number, (kernel, _) in zip(upper, above, strict=True):
                (value,) = compacted.product(value, number, [kernel.shape[2]])
            made[stream, member] = value
    return made


def _products(
    compacted: CompactTrunk,
    source: int,
    kernel_EDU: np.ndarray,
    bias_EU: np.ndarray,
    members: Iterable[int],
    activation: str,
) -> dict[int, int]:
    """Adds the sub-networks `members`, which all read `source`; their values by place.

    Each has its own product: a common one would be split again, which copies it.
    """
    values = {}
    for place in members:
        weights = compacted.add_weights(kernel_EDU[place], bias_EU[place], activation)
        (values[place],) = compacted.product(source, weights, [kernel_EDU.shape[2]])
    return values


def _reachable(codings: Sequence[np.ndarray]) -> list[list[int]]:
    """Places of the parts that tasks reach, by layer, bottom up; the last are the tasks."""
    members = [list(range(len(codings[-1])))]
    for coding_OI in reversed(codings):
        members.append(list(_open(coding_OI[members[-1]].max(axis=0))))
    return members[::-1]


def _open(coding_I: np.ndarray) -> tuple[int, ...]:
    return tuple(int(place) for place in np.flatnonzero(coding_I > 0))


def _proportions(coding_I: np.ndarray) -> tuple[tuple[int, float], ...]:
    """Open places, each with its gate in units of the first one's."""
    places = _open(coding_I)
    return tuple((place, float(coding_I[place] / coding_I[places[0]])) for place in places)


def _grouped(reads: Iterable[tuple[int, KeyT]]) -> dict[KeyT, list[int]]:
    """Groups parts by key."""
    groups: dict[KeyT, list[int]] = {}
    for part, key in reads:
        groups.setdefault(key, []).append(part)
    return groups


def _expert_layers(experts: Experts) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernels (E, D, U) and biases (E, U) of each layer within the experts, bottom up."""
    layers = []
    for kernel, bias, units in zip(experts.kernels, experts.biases, experts.units, strict=True):
        kernel_GDC = kernel.numpy()
        groups, width, _ = kernel_GDC.shape
        kernel_GDNU = kernel_GDC.reshape(groups, width, -1, units)
        kernel_EDU = kernel_GDNU.transpose(0, 2, 1, 3).reshape(-1, width, units)
        layers.append((kernel_EDU, bias.numpy().reshape(-1, units)))
    return layers
