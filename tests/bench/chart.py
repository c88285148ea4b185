"""The tables' rates as bars, in SVG."""

from xml.sax.saxutils import escape

BAR, GAP, LEFT, WIDTH = 18, 6, 260, 420


def _bars(title, rows, top):
    """One table; returns its drawing and where the next one begins."""
    most = max(float(row[1]) for row in rows) or 1
    parts = [f'<text x="10" y="{top + 14}" class="t">{escape(title)}, '
             "req/s</text>"]
    top += 24
    for row in rows:
        length = WIDTH * float(row[1]) / most
        parts.append(
            f'<text x="{LEFT - 8}" y="{top + 13}" text-anchor="end">'
            f"{escape(row[0])}</text>"
            f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" '
            f'height="{BAR}"/>'
            f'<text x="{LEFT + length + 6:.1f}" y="{top + 13}">'
            f"{escape(row[1])}</text>")
        top += BAR + GAP
    return "\n".join(parts), top + 16


def draw(tables):
    """All tables that have rates, one below the other."""
    drawn, top = [], 10
    for title, table in tables.items():
        if "req/s" in table["head"]:
            part, top = _bars(title, table["rows"], top)
            drawn.append(part)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" '
            f'width="{LEFT + WIDTH + 90}" height="{top}">\n'
            "<style>text{font:12px sans-serif}.t{font-weight:bold}"
            "rect{fill:#3878a8}</style>\n"
            '<rect width="100%" height="100%" style="fill:#fff"/>\n'
            + "\n".join(drawn) + "\n</svg>\n")
