"""The results as tables."""

from collections.abc import Sequence

from bench.goals import GATEWAYS, GOALS, OURS, Goal, Results
from bench.shares import RATES
from bench.throttle import share_of

_NOTHING = "\N{EN DASH}"
TITLES = {
    "direct": "no gateway",
    OURS: "Tollgate",
    "naive": "naive",
    "adapter": "Web Adapter",
    "uvloop": "… with uvloop",
    "portkey": "Portkey",
    "litellm": "LiteLLM",
}
_MEMORIES_MB = ("128", "256", "512", "1024")

type Row = Sequence[str]


def format_number(value: float | None) -> str:
    """Return a number with three digits that count, or a dash."""
    if value is None:
        return _NOTHING
    if value >= 1000 or value == 0:
        return f"{value:.0f}"
    text = f"{value:#.3g}".rstrip(".")
    return f"{float(text):f}".rstrip("0").rstrip(".") if "e" in text else text


def find_gateways(results: Results) -> list[str]:
    """Return those that were measured, ours first."""
    return [name for name in GATEWAYS if name in results.get("streams", {})]


def goal_rows(results: Results) -> list[Row]:
    """Return the goals: what, at most, each gateway's figure, whether ours meets it."""
    names = find_gateways(results)
    rows: list[Row] = [["", "goal", *(TITLES[name] for name in names), "met"]]
    for goal in GOALS:
        ours = goal.of(results, OURS)
        figures = [format_number(goal.of(results, name)) for name in names]
        most = _NOTHING if goal.most is None else f"≤ {goal.most:g}"
        rows.append([goal.what, most, *figures, _verdict(goal, ours)])
    return rows


def _verdict(goal: Goal, ours: float | None) -> str:
    if ours is None or goal.most is None:
        return _NOTHING
    return "yes" if ours <= goal.most else "**no**"


def stream_rows(results: Results) -> list[Row]:
    """Return what each gateway's streams take, in milliseconds and microseconds."""
    names = ["direct", *find_gateways(results)]
    streams = results["streams"]
    rows: list[Row] = [["", *(TITLES[name] for name in names)]]
    kinds = (
        ("time to the first chunk, ms", "first_ms"),
        ("… with a key that is new to the sandbox, ms", "first_of_a_new_key_ms"),
        ("1000 chunks at once, until `[DONE]`, ms", "burst_wall_ms"),
        ("CPU a chunk of these, µs", "burst_cpu_us"),
        ("CPU of each further chunk, µs", "burst_cpu_further_us"),
        ("CPU a chunk, one a millisecond, µs", "paced_cpu_us"),
        ("CPU of a request of one chunk, ms", "request_cpu_ms"),
    )
    for title, kind in kinds:
        rows.append([title, *(show_figure(streams[name].get(kind)) for name in names)])
    starts = results.get("starts", {})
    for title, kind in (
        ("start until the first chunk, s", "first_chunk_s"),
        ("start until the first event, s", "ready_s"),
        ("CPU of that, s", "ready_cpu_s"),
    ):
        rows.append([title, *(show_figure(starts.get(name, {}).get(kind)) for name in names)])
    cpu = {name: figures["ready_cpu_s"]["median"] for name, figures in starts.items()}
    share = share_of(256)
    at_share = [format_number(cpu[name] / share if name in cpu else None) for name in names]
    rows.append(["the same at the CPU of 256 MB, s", *at_share])
    peaks = results.get("peaks_mb", {})
    rows.append(["peak memory, MB", *(format_number(peaks.get(name)) for name in names)])
    return rows


def show_figure(figure: dict[str, float] | None) -> str:
    """Return a median, and half of the spread between the quartiles."""
    if figure is None or figure["high"] == 0:
        return _NOTHING
    spread = (figure["high"] - figure["low"]) / 2 / figure["median"]
    return f"{format_number(figure['median'])} ±{spread:.0%}"


def share_rows(results: Results) -> list[Row]:
    """Return the highest rates that arrive unslowed at Lambda's CPU shares."""
    shares = results.get("shares", {})
    names = [name for name in find_gateways(results) if name in shares]
    rows: list[Row] = [["chunks a second", *(f"{size} MB" for size in _MEMORIES_MB)]]
    rows += [
        [TITLES[name], *(_limit(shares[name][size]["limit_chunks_s"]) for size in _MEMORIES_MB)]
        for name in names
    ]
    return rows


def _limit(rate: int) -> str:
    """Return a limit; the highest rate that is tried is the stubs' own."""
    return f"≥ {rate}" if rate == RATES[-1] else str(rate)


def missed(results: Results) -> list[str]:
    """Return a line for each goal that is missed, with the reason."""
    lines = []
    for goal in GOALS:
        ours = goal.of(results, OURS)
        if ours is not None and goal.most is not None and ours > goal.most:
            why = goal.reason or "not understood yet"
            lines.append(f"{goal.what}: {format_number(ours)}, not {goal.most:g}: {why}.")
    return lines


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print rows in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  " + "  ".join(cells))


def growth_rows(results: Results) -> list[Row]:
    """Return the CPU of a request where it is least and where it is most, along each curve."""
    curves = results.get("growth", {})
    rows: list[Row] = [["CPU of a request, ms", "from", "to", "gateway", "at first", "at last"]]
    for kind in ("chunks", "prompts"):
        for name, curve in curves.get(kind, {}).items():
            first, *_, last = curve
            figures = (format_number(curve[first]), format_number(curve[last]))
            rows.append([kind, first, last, TITLES[name], *figures])
    for kind in ("sandboxes", "records"):
        curve = curves.get(kind, {})
        if curve:
            first, *_, last = curve
            ends = [format_number(curve[end]["cpu_ms"]) for end in (first, last)]
            rows.append([kind, first, last, TITLES[OURS], *ends])
    return rows


def print_all(results: Results) -> None:
    """Print the tables."""
    print_table("Streams", stream_rows(results))
    if "shares" in results:
        way = results["shares"]["way"]
        title = f"Highest rate that arrives unslowed at Lambda's share ({way})"
        print_table(title, share_rows(results))
    print_table("Growth", growth_rows(results))
    print_table("Goals", goal_rows(results))
    for line in missed(results):
        print(f"  missed: {line}")
