"""A picture of ratios. matplotlib is asked for only here: it is no dependency of the tests."""

from pathlib import Path


def ratios(of: dict[str, dict[str, float]], file: Path) -> None:
    """One point for each place and row, on a logarithmic axis; the first place is the line at 1."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "hyperfs"  # the same figures give the same file
    from matplotlib import pyplot

    first, *others = of
    rows = list(of[first])
    figure, axes = pyplot.subplots(figsize=(8, 0.3 * len(rows) + 1.2))
    for place in others:
        found = [(of[place][row], len(rows) - at) for at, row in enumerate(rows) if row in of[place]]
        axes.plot([x for x, _ in found], [y for _, y in found], "o", label=place, alpha=0.8)
    axes.axvline(1, color="grey", linewidth=1)
    axes.set_yticks([len(rows) - at for at in range(len(rows))], rows)
    axes.set_xscale("log")
    axes.set_xticks([0.25, 0.5, 1, 2, 4, 8, 16], ["0.25", "0.5", "1", "2", "4", "8", "16"])
    axes.set_xlabel(f"times better than {first}")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
