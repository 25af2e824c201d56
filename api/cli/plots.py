"""Plots in text, for terminals."""

from collections.abc import Mapping, Sequence

from retrieval.evaluation.runs import Estimate

_INTERVAL_COLUMNS = 48
_BAR_COLUMNS = 40
_BINS_TO_ONE = 10


def interval_plot(figures: Mapping[str, Estimate]) -> str:
    """A line for each estimate with its interval, all on one scale; at least one is needed."""
    low, high = min(figure.low for figure in figures.values()), max(figure.high for figure in figures.values())

    def column(value: float) -> int:
        return round((value - low) / ((high - low) or 1.0) * (_INTERVAL_COLUMNS - 1))

    width = max(len(name) for name in figures)
    lines: list[str] = []
    for name, figure in figures.items():
        begin, middle, end = column(figure.low), column(figure.mean), column(figure.high)
        bar = ["─" if begin <= at <= end else " " for at in range(_INTERVAL_COLUMNS)]
        bar[begin], bar[end], bar[middle] = "├", "┤", "●"
        lines.append(f"{name:>{width}} {figure.low:.3f} {''.join(bar)} {figure.high:.3f}")
    return "\n".join(lines)


def change_histogram(changes: Sequence[float]) -> str:
    """How many of the changes, each from -1 to 1, lie in each tenth; those that are 0 are left out."""
    counts = [0] * (2 * _BINS_TO_ONE)
    for change in changes:
        if change:
            counts[min(int((change + 1) * _BINS_TO_ONE), len(counts) - 1)] += 1
    used = [at for at, count in enumerate(counts) if count]
    if not used:
        return "No query changed."
    lines: list[str] = []
    for at in range(used[0], used[-1] + 1):
        low, high = at / _BINS_TO_ONE - 1, (at + 1) / _BINS_TO_ONE - 1
        bar = "█" * -(-counts[at] * _BAR_COLUMNS // max(counts))
        lines.append(f"{low:+.1f} to {high:+.1f}  {bar} {counts[at]}")
    return "\n".join(lines)
