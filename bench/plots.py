# SPDX-License-Identifier: GPL-2.0-only
"""Plots of the figures, each as SVG and as PNG, by gnuplot."""

import subprocess

from figures import OURS, STOCK, size

COLOURS = ("#0b6fb8", "#d1501c", "#2a8c4a", "#8a4fbf", "#666666", "#b8860b", "#c2185b")
POINTS = (5, 7, 9, 11, 13, 4, 6)
TERMINALS = {
    "svg": "svg size 1000,520 font 'DejaVu Sans,14' background '#ffffff'",
    "png": "pngcairo size 1300,680 font 'DejaVu Sans,15'",
}


def draw(out, name, settings, series):
    """Draws one plot; @series is a list of (label, [(x, y)])."""
    data = "".join("$d%d << EOD\n%s\nEOD\n" % (i, "\n".join(f"{x} {y}" for x, y in points))
                   for i, (_, points) in enumerate(series))
    lines = ", ".join(f'$d{i} using 1:2 with linespoints lw 2 pt {POINTS[i]} ps {1.6 - 0.15 * i} '
                      f'lc rgb "{COLOURS[i]}" title "{label}"' for i, (label, _) in enumerate(series))
    for suffix, terminal in TERMINALS.items():
        text = "\n".join([
            data, f"set terminal {terminal}", f"set output '{out / name}.{suffix}'",
            "set grid lc rgb '#dddddd'", "set key outside right center vertical Left reverse",
            "set offsets graph 0.05, graph 0.05, graph 0.05, graph 0.05", *settings, f"plot {lines}", ""])
        subprocess.run(["gnuplot"], check=True, text=True, input=text)


def by_size(points):
    """An axis of the sizes of mappings."""
    tics = ", ".join(f'"{size(x)}" {x}' for x, _ in points)
    return ["set xlabel 'size of the mapping'", "set logscale x 2", f"set xtics ({tics})"]


def draw_touch(out, figures):
    series = [("BAR of vfio-pci", figures.points(STOCK, "first_touch", "bar")),
              ("BAR", figures.points(OURS, "first_touch", "bar")),
              ("NONCACHED", figures.points(OURS, "first_touch", "NONCACHED")),
              ("DEVICE", figures.points(OURS, "first_touch", "DEVICE")),
              ("WC", figures.points(OURS, "first_touch", "WC")),
              ("GUEST\\\\_ANY", figures.points(OURS, "first_touch", "GUEST_ANY"))]
    draw(out, "touch", [
        "set title 'First touch of every page of a mapping: the page faults'",
        *by_size(series[0][1]), "set ylabel 'instructions'", "set logscale y 10", "set format y '10^{%T}'",
    ], series)


def draw_ratio(out, figures):
    series = []
    for row, what in (("mmap", "mmap()"), ("first_touch", "first touch"), ("munmap", "munmap()")):
        base = dict(figures.points(STOCK, row, "bar"))
        for subject in ("bar", "WC"):
            ratios = [(x, y / base[x]) for x, y in figures.points(OURS, row, subject) if x in base]
            series.append((f"{what}, {'BAR' if subject == 'bar' else subject}", ratios))
    draw(out, "ratio", [
        "set title 'A mapping beside one of the BAR by vfio-pci (1 = the same)'",
        *by_size(series[0][1]), "set ylabel 'instructions / those of vfio-pci'",
        *(f"set arrow from graph 0, first {y} to graph 1, first {y} nohead dt 2 lc rgb '#444444'"
          for y in (1, 1.02, 1.05)),
        "set label 'targets: 1.02 for a BAR, 1.05 for a subregion' at graph 0.02, first 1.055",
        "set yrange [0.98:*]",
    ], series)


def draw_growth(out, figures):
    rows = (("CREATE", "WC", "CREATE"), ("DESTROY", "WC", "DESTROY"), ("page_mmap", "WC", "mmap() of one"),
            ("page_fault", "WC", "fault in one"), ("page_fault", "bar", "fault in the BAR beside them"),
            ("page_read", "WC", "read() of one"), ("GET_REGION_INFO", "WC", "region info of one"))
    draw(out, "growth", [
        "set title 'What a call costs while a BAR holds many subregions'",
        "set xlabel 'subregions of one page that exist'", "set logscale x 10", "set format x '%.0f'",
        "set ylabel 'instructions'", "set logscale y 10", "set format y '10^{%T}'",
    ], [(label, figures.points(OURS, row, subject)) for row, subject, label in rows])


def draw_all(out, figures):
    draw_touch(out, figures)
    draw_ratio(out, figures)
    draw_growth(out, figures)
