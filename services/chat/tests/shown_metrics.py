"""What a registry of metrics shows now."""

from aula_common.metrics import Metrics


def shown(metrics: Metrics, name: str, **labels: str) -> float:
    """The value of that sample, its name without the house's prefix."""
    value = metrics.registry.get_sample_value(f"aula_{name}", labels)
    assert value is not None, f"no such sample: {name}"
    return value
