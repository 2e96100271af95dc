"""A network drawn: a row for each block, from the picture down to the output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decaf.engines.steps import kind_of
from decaf.nets.net import Net
from decaf.nets.outline import Branches, Chain, Lump, Part, Row, Unit, outline
from decaf.viz.figures import new_figure, save_figure, with_fonts
from decaf.viz.profile import KIND_COLOURS
from decaf.viz.text import one_line
from decaf.viz.theme import Theme, themed

# inches
_BOX, _LANE, _GAP, _FORK = 0.32, 0.42, 0.2, 0.24
_SKIP = 0.16  # above the lanes
_ROW_PAD = 0.075  # above and below a row
_SIDE = 0.1  # of what branches off and is not on the way to the output
_LEFT, _TOP = 0.15, 0.95
_LETTER = 0.062  # of a box's text
_COLUMNS = (("output", 0.95), ("parameters", 0.95), ("M mult-adds", 0.9))
_LONGEST = 22  # characters of a name


@with_fonts
def save_network(net: Net, out: Path, theme: str = "light") -> int:
    """Draw a network and save the figure as its file's ending says.

    Blocks of the same name share a row, and so do blocks in sequence that do the same. In a row the way goes from left
    to right; branches lie above each other and meet on their right.

    Args:
        net: the network.
        out: a `.png`, `.svg` or `.pdf` file.
        theme: `light` or `dark`.

    Returns:
        How many rows there are.
    """
    rows = outline(net)
    names = [_title(row) for row in rows]
    left = _LEFT + 0.15 + 0.08 * max(map(len, names))
    widest = max(_size(row.chain)[0] for row in rows)
    heights = [_size(row.chain)[1] + 2 * _ROW_PAD + (2 * _SIDE if row.side else 0) for row in rows]
    width = left + widest + 0.75 + sum(size for _, size in _COLUMNS) + _LEFT
    width = max(width, 6.0)
    with themed(theme) as colours:
        figure = new_figure(width, _TOP + sum(heights) + 0.6)
        axes = figure.add_axes((0, 0, 1, 1))
        height = figure.get_figheight()
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        pen = _Pen(axes, colours, theme == "dark")
        pen.heading(net, width)
        y = _TOP
        for row, name, high in zip(rows, names, heights, strict=True):
            pen.row(row, name, left, y + high / 2, width)
            y += high
        pen.flow(left - 0.12, _TOP + heights[0] / 2, y - heights[-1] / 2)
        pen.legend(rows, y + 0.2)
        save_figure(figure, out)
    return len(rows)


def _title(row: Row) -> str:
    names = [one_line(name, _LONGEST) for name in (row.names[0], row.names[-1])]
    return names[0] if len(row.names) == 1 else " to ".join(names)


def _size(chain: Chain) -> tuple[float, float]:
    """Width and height, inches."""
    sizes = [_part_size(part) for part in chain]
    return sum(width for width, _ in sizes) + _GAP * (len(sizes) - 1), max(height for _, height in sizes)


def _part_size(part: Part) -> tuple[float, float]:
    if isinstance(part, Branches):
        lanes = [_size(lane) for lane in part.lanes]
        return (
            2 * _FORK + max(width for width, _ in lanes) + _join_width(part.join),
            sum(height for _, height in lanes) + (_SKIP if part.skip else 0),
        )
    return _width(_words(part)), _LANE


def _words(part: Unit | Lump) -> tuple[str, str]:
    if isinstance(part, Lump):
        return f"{len(part.layers)} layers", "not a chain of blocks"
    return part.text, part.parts


def _width(words: tuple[str, str]) -> float:
    return max(0.5, 0.16 + _LETTER * max(len(words[0]), 0.8 * len(words[1])))


def _is_round(unit: Unit) -> bool:
    return unit.text in ("+", "x")


def _join_width(unit: Unit) -> float:
    return _BOX if _is_round(unit) and not unit.parts else _width(_words(unit))


@dataclass(frozen=True)
class _Pen:
    """Draws in inches from the upper left corner."""

    axes: Any
    colours: Theme
    dark: bool

    def heading(self, net: Net, width: float) -> None:
        parameters = sum(layer.parameters for layer in net.layers)
        work = sum(layer.multiply_adds for layer in net.layers)
        side = net.input_side
        self.text(_LEFT, 0.26, one_line(net.name, 60), 11)
        told = f"{len(net.layers)} layers, {parameters:,} parameters, {work / 1e6:,.0f} M multiply-adds"
        self.text(_LEFT, 0.5, f"{told}; reads 3x{side}x{side}", 8, self.colours.soft)
        x = width - _LEFT
        for title, size in reversed(_COLUMNS):
            self.text(x, _TOP - 0.12, title, 7.5, self.colours.soft, "right")
            x -= size

    def row(self, row: Row, name: str, left: float, y: float, width: float) -> None:
        self.text(_LEFT, y, name, 8.5)
        end = self.chain(row.chain, left, y)
        if len(row.names) > 1:
            self.text(end + 0.08, y, f"x {len(row.names)}", 9)
        if row.side:
            below = y + _size(row.chain)[1] / 2 + _SIDE
            self.text(left, below, f"from here also: {one_line(', '.join(row.side), 60)}", 6.5, self.colours.soft)
        work = sum(layer.multiply_adds for layer in row.layers) / 1e6
        parameters = sum(layer.parameters for layer in row.layers)
        shape = "x".join(map(str, row.shape)) if row.shape else "open"
        cells = (shape, f"{parameters:,}" if parameters else "", f"{work:,.1f}" if work else "")
        x = width - _LEFT
        for cell, (_, size) in reversed(list(zip(cells, _COLUMNS, strict=True))):
            self.text(x, y, cell, 8, align="right")
            x -= size

    def chain(self, chain: Chain, x: float, y: float) -> float:
        """Draw it from x on; where it ends."""
        for number, part in enumerate(chain):
            if number:
                self.line([(x, y), (x + _GAP, y)], arrow=not isinstance(part, Branches))
                x += _GAP
            x = self.branches(part, x, y) if isinstance(part, Branches) else self.box(part, x, y)
        return x

    def branches(self, part: Branches, x: float, y: float) -> float:
        width, height = _part_size(part)
        fork, join = x, x + width - _join_width(part.join)
        top = y - height / 2 + (_SKIP if part.skip else 0)
        if part.skip:
            above = y - height / 2 + 0.06
            self.line([(fork, y), (fork + 0.08, y), (fork + 0.08, above), (join - 0.1, above), (join - 0.1, y),
                       (join, y)])  # fmt: skip
        for lane in part.lanes:
            middle = top + _size(lane)[1] / 2
            self.line([(fork, y), (fork + 0.08, y), (fork + 0.08, middle), (fork + _FORK, middle)], arrow=True)
            end = self.chain(lane, fork + _FORK, middle)
            self.line([(end, middle), (join - 0.1, middle), (join - 0.1, y), (join, y)])
            top += _size(lane)[1]
        self.line([(join - 0.1, y), (join, y)], arrow=True)
        return self.box(part.join, join, y, _join_width(part.join))

    def box(self, part: Unit | Lump, x: float, y: float, width: float = 0) -> float:
        from matplotlib.patches import FancyBboxPatch

        words, parts = _words(part)
        width = width or _width((words, parts))
        colour = self.colours.soft if isinstance(part, Lump) else KIND_COLOURS[kind_of(part.kind)]
        round_ = isinstance(part, Unit) and _is_round(part) and not parts
        style = f"round,pad=0,rounding_size={_BOX / 2 if round_ else 0.05}"
        for face, alpha in ((self.colours.paper, 1.0), (colour, 0.42 if self.dark else 0.2)):
            self.axes.add_patch(
                FancyBboxPatch(
                    (x, y - _BOX / 2), width, _BOX, boxstyle=style, facecolor=face, alpha=alpha, linewidth=0, zorder=2
                )
            )
        self.axes.add_patch(
            FancyBboxPatch((x, y - _BOX / 2), width, _BOX, boxstyle=style, fill=False, edgecolor=colour, zorder=3)
        )
        self.text(x + width / 2, y - (0.055 if parts else 0), words, 7.5, align="center")
        if parts:
            self.text(x + width / 2, y + 0.085, parts, 6, self.colours.soft, "center")
        return x + width

    def flow(self, x: float, top: float, bottom: float) -> None:
        self.line([(x, top), (x, bottom)], arrow=True)

    def line(self, points: Sequence[tuple[float, float]], arrow: bool = False) -> None:
        xs, ys = zip(*points, strict=True)
        self.axes.plot(xs, ys, color=self.colours.soft, linewidth=0.9, zorder=1, solid_joinstyle="round")
        if arrow:
            style = {"arrowstyle": "-|>", "color": self.colours.soft, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
            self.axes.annotate("", points[-1], points[-2], arrowprops={**style, "mutation_scale": 7}, zorder=1)

    def legend(self, rows: Sequence[Row], y: float) -> None:
        present = {kind_of(layer.kind) for row in rows for layer in _shown(row.chain)}
        self.text(_LEFT, y + 0.22, "3x3 /2, 32: windows of 3 x 3, 2 apart, 32 channels", 7, self.colours.soft)
        x = _LEFT
        for kind, colour in KIND_COLOURS.items():
            if kind in present:
                self.axes.plot([x + 0.06], [y], "s", markersize=6, color=colour)
                self.text(x + 0.17, y, kind, 7.5, self.colours.soft)
                x += 0.35 + 0.062 * len(kind)

    def text(self, x: float, y: float, text: str, size: float, colour: str = "", align: str = "left") -> None:
        self.axes.text(x, y, text, fontsize=size, ha=align, va="center", color=colour or self.colours.ink, zorder=4)


def _shown(chain: Chain) -> list[Any]:
    """The layers that boxes are named for."""
    layers: list[Any] = []
    for part in chain:
        if isinstance(part, Branches):
            layers += [layer for lane in part.lanes for layer in _shown(lane)] + [part.join.layers[0]]
        elif isinstance(part, Unit):
            layers.append(part.layers[0])
    return layers
