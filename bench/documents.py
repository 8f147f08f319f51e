"""The results in the documents: kept as JSON, and as Markdown between markers."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.goals import Results, added_first
from bench.programs import ROOT
from bench.report import (
    TITLES,
    Row,
    find_gateways,
    format_number,
    goal_rows,
    missed,
    share_rows,
    stream_rows,
)

FILE = ROOT / "docs" / "performance.json"


def to_markdown(rows: Sequence[Row]) -> str:
    """Return rows as a table of Markdown."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def describe_run(results: Results) -> str:
    """Return one line on machine and versions."""
    machine = results["machine"]
    facts = [machine["processor"], f"{machine['cores']} cores", machine["python"]]
    facts += [machine["system"], results["taken_on"], f"commit {machine['commit']}"]
    facts += [f"{name} {version}" for name, version in results["versions"].items()]
    return f"Taken on: {', '.join(facts)}."


def describe_shares(results: Results) -> str:
    """Return what the table of shares has."""
    shares = results["shares"]
    return (
        "The highest rate at which an answer arrives as fast as it is sent, at Lambda's CPU share"
        f" ({shares['way']}, periods of {shares['period_ms']:g} ms):"
    )


def replace_section(text: str, name: str, section: str) -> str:
    """Return a document with what is between the markers of `name` replaced.

    Raises: ValueError: it has no such markers.
    """
    begin, end = f"<!-- {name}: written by `make bench-peers WRITE=1` -->", f"<!-- {name} ends -->"
    pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no section {name}")
    return pattern.sub(lambda found: f"{found[1]}{section}\n{found[2]}", text)


def write_documents(results: Results, root: Path = ROOT) -> None:
    """Write the results, and the sections that are made of them."""
    (root / "docs" / "performance.json").write_text(json.dumps(results, indent=1) + "\n")
    _write(root / "README.md", "figures", [readme_section(results)])
    _write(root / "docs" / "performance.md", "figures", performance_sections(results))


def _write(file: Path, name: str, paragraphs: Iterable[str]) -> None:
    file.write_text(replace_section(file.read_text(), name, "\n\n".join(paragraphs)))


def readme_section(results: Results) -> str:
    """Return README's table: the same work through each gateway."""
    names = find_gateways(results)
    streams, peaks = results["streams"], results["peaks_mb"]
    rows: list[Row] = [["", *(TITLES[name] for name in names)]]
    rows.append(
        [
            "added time to the first chunk, ms",
            *(format_number(added_first(results, name)) for name in names),
        ]
    )
    for title, kind in (
        ("CPU a chunk in a burst of 1000, µs", "burst_cpu_us"),
        ("CPU a chunk, one a millisecond, µs", "paced_cpu_us"),
        ("a burst of 1000 until `[DONE]`, ms", "burst_wall_ms"),
    ):
        rows.append([title, *(format_number(streams[name][kind]["median"]) for name in names)])
    starts = results["starts"]
    cold = [format_number(starts[name]["first_chunk_s"]["median"]) for name in names]
    rows.append(["process start until the first chunk, s", *cold])
    rows.append(["peak memory, MB", *(format_number(peaks.get(name)) for name in names)])
    return to_markdown(rows)


def performance_sections(results: Results) -> list[str]:
    """Return the page's parts that are written from the results."""
    lines = [f"- {line}" for line in missed(results)]
    return [
        describe_run(results),
        to_markdown(goal_rows(results)),
        "\n".join(["Missed:", "", *lines]) if lines else "All are met.",
        "Streams through each gateway; medians, ± half of the spread between the quartiles:",
        to_markdown(stream_rows(results)),
        describe_shares(results),
        to_markdown(share_rows(results)),
    ]


def main() -> None:
    """Write the documents anew from the results that are kept."""
    write_documents(json.loads(FILE.read_text()))


if __name__ == "__main__":
    main()
