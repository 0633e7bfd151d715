#!/usr/bin/env python3
"""The charts of docs/benchmarks.md, drawn from its tables: run it to write docs/charts/*.svg. `.ci/check-docs` fails if one is stale."""

import html
import pathlib
import re

PAGE = pathlib.Path("docs/benchmarks.md")
FOLDER = pathlib.Path("docs/charts")
# File, heading of the section, column of its first table, and title.
CHARTS = [
    ("memory", "Plaintext probes", "resident", "Resident memory between kubelet and app"),
    ("plaintext-cpu", "Plaintext probes", "CPU of a spaced probe", "CPU time of a plaintext probe, as a multiple of the floor"),
    ("https-cpu", "HTTPS probes", "CPU of a spaced probe", "CPU time of an HTTPS probe, as a multiple of a direct one"),
]
WIDTH, LEFT, BAR, GAP, TOP = 720, 190, 22, 12, 52
UNITS = {"KiB": 1, "MiB": 1024}


def rows(section, column):
    """The label, text and number of each row that has one."""
    text = PAGE.read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    index = table[0].index(column)
    for cells in table[2:]:
        number = re.match(r"([\d.]+)(?: (KiB|MiB))?", cells[index])
        if number and "again, as" not in cells[0]:
            shown = number[0] if number[2] else f"{number[1]}x"
            yield cells[0].replace("**", "").replace(", encrypting again", ""), shown, float(number[1]) * UNITS.get(number[2], 1)


def draw(section, column, title):
    bars = list(rows(section, column))
    largest = max(number for *_, number in bars)
    height = TOP + len(bars) * (BAR + GAP) + 8
    # A background of its own, so that it is readable on light and on dark pages.
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
           f'font-family="system-ui, \'Segoe UI\', Roboto, \'DejaVu Sans\', sans-serif" font-size="14">',
           f"<title>{html.escape(title)}: {html.escape(', '.join(f'{label} {shown}' for label, shown, _ in bars))}</title>",
           f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" fill="#ffffff" stroke="#8c959f"/>',
           f'<text x="16" y="30" font-weight="600" fill="#1f2328">{html.escape(title)}</text>']
    for place, (label, shown, number) in enumerate(bars):
        top = TOP + place * (BAR + GAP)
        length = max(2, round(number / largest * (WIDTH - LEFT - 100)))
        colour = "#0969da" if label == "probelet" else "#8c959f"
        svg += [f'<text x="{LEFT - 10}" y="{top + 16}" text-anchor="end" fill="#1f2328">{html.escape(label)}</text>',
                f'<rect x="{LEFT}" y="{top}" width="{length}" height="{BAR}" fill="{colour}"/>',
                f'<text x="{LEFT + length + 8}" y="{top + 16}" fill="#1f2328">{html.escape(shown)}</text>']
    return "\n".join([*svg, "</svg>", ""])


def drawings():
    return {FOLDER / f"{name}.svg": draw(section, column, title) for name, section, column, title in CHARTS}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, svg in drawings().items():
        path.write_text(svg, encoding="utf-8")
