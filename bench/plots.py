"""docs/growth-*.svg from docs/performance.json: what a request costs as things grow.

Runs in `.venv-plots`, which has matplotlib; nothing is measured here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_DOCS = Path(__file__).parent.parent / "docs"
_TITLES = {
    "tollgate": "Tollgate",
    "naive": "naive",
    "adapter": "Web Adapter",
    "uvloop": "Web Adapter, uvloop",
    "portkey": "Portkey",
    "litellm": "LiteLLM",
}
_COLOURS = {
    "tollgate": "#b3261e",
    "naive": "#5f6368",
    "adapter": "#e37400",
    "uvloop": "#a142f4",
    "portkey": "#188038",
    "litellm": "#1a73e8",
}


def draw_gateways(axes: Axes, curves: Mapping[str, Mapping[str, float]]) -> None:
    """Draw a line a gateway, both axes logarithmic."""
    for name, curve in curves.items():
        xs = [int(x) for x in curve]
        axes.plot(xs, list(curve.values()), "o-", color=_COLOURS[name], label=_TITLES[name], ms=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(frameon=False)


def draw_ours(axes: Axes, curve: Mapping[str, Mapping[str, float]]) -> None:
    """Draw our CPU over what grows, one place for each step, from zero."""
    labels = [f"{int(x):,}" for x in curve]
    figures = [figure["cpu_ms"] for figure in curve.values()]
    axes.plot(labels, figures, "o-", color=_COLOURS["tollgate"], label=_TITLES["tollgate"], ms=3)
    axes.set_ylim(0, 1.2 * max(figures))


def draw(name: str, below: str, growth: Mapping[str, Any]) -> None:
    """Write one plot; `below` says what grows."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    curve = growth[name]
    (draw_gateways if name in ("chunks", "prompts") else draw_ours)(axes, curve)
    axes.set_xlabel(below)
    axes.set_ylabel("CPU of a request, ms")
    axes.grid(alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(_DOCS / f"growth-{name}.svg", metadata={"Date": None, "Creator": None})


def main() -> None:
    """Draw all."""
    # Text stays text, and names in the file are the same in each run.
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "tollgate", "font.size": 9}
    growth = json.loads((_DOCS / "performance.json").read_text())["growth"]
    draw("chunks", "chunks of the answer", growth)
    draw("prompts", "characters of the prompt", growth)
    draw("sandboxes", "sandboxes that serve one account at once", growth)
    draw("records", "other accounts in the table, and usage records of this one", growth)


if __name__ == "__main__":
    main()
