"""What no mapping avoids: every operation, every element once through the outermost memory, the time for both."""

from math import fsum

from energysim.costs.latency import port_cycles, static_energy_pj
from energysim.costs.prices import active_share, bits_moved, operation_pj, timed_share
from energysim.costs.traffic import Traffic
from energysim.errors import InputError
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.counted import UNIT
from energysim.workload.layer import Layer


def least_energy_pj(layer: Layer, accelerator: Accelerator, table: EnergyTable) -> float:
    """A lower bound in pJ on a layer's energy under any mapping, with the static energy of bandwidth and compute.

    Operations and their gating are the same under every mapping; the outermost memory reads each weight and input and
    writes each output at least once (less by the gated share where zeros suppress even that).
    """
    outermost = accelerator.memories[0]
    share = active_share(layer, accelerator)
    bits = {"read": 0.0, "write": 0.0}
    parts = []
    for tensor in layer.tensors:
        action = "write" if tensor.role == "output" else "read"
        price = table.price(outermost.name, action, tensor.role)
        if price is None:
            raise InputError(f"{accelerator.name}: no price for {outermost.name}.{action} of {tensor.role}")
        elements = tensor.elements(layer.dims)
        each = bits_moved(layer, accelerator, outermost.name, tensor.name)
        bits[action] += elements * each
        parts.append(elements * price.pj * (each / price.width_bits if price.width_bits else 1.0) * share)
    operations = 0.0
    if accelerator.sharing is None or accelerator.sharing.style != "product" or layer.unit == "op":
        # shared products may leave out any of them
        operation = table.price(accelerator.compute.name, layer.unit, UNIT)
        gated = table.price(accelerator.compute.name, "gated", UNIT)
        parts.append((layer.macs + layer.ops) * (operation_pj(operation, layer) * share if operation else 0.0))
        parts.append((layer.macs + layer.ops) * (operation_pj(gated, layer) * (1.0 - share) if gated else 0.0))
        timed = layer.macs * timed_share(layer, accelerator) + layer.ops
        operations = timed / accelerator.instances(accelerator.compute.name)
    cycles = max(operations, port_cycles(outermost, Traffic(bits["read"], bits["write"])))
    return fsum([*parts, static_energy_pj(table, cycles / accelerator.clock_hz)])
