"""What tests measure of a page in a browser: contrast of colors, labels over each other, and what is drawn so far."""

from __future__ import annotations


def luminance(color: list[int]) -> float:
    """Relative luminance by WCAG 2.2."""
    parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: list[int], two: list[int]) -> float:
    low, high = sorted([luminance(one), luminance(two)])
    return (high + 0.05) / (low + 0.05)


COLOR = """([front, back]) => {
    const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const probe = document.createElement('i');
    document.body.append(probe);
    for (const color of [back, front]) {
        probe.style.color = color;
        context.fillStyle = getComputedStyle(probe).color;
        context.fillRect(0, 0, 1, 1);
    }
    probe.remove();
    return [...context.getImageData(0, 0, 1, 1).data];
}"""

# How many labels are shown, and how many pairs of them overlap.
OVERLAPS = """() => {
    const shown = [...document.querySelectorAll('.chart .mark-text text')].filter(
        text => text.textContent && text.getAttribute('opacity') !== '0').map(text => text.getBoundingClientRect());
    let overlaps = 0;
    shown.forEach((a, i) => shown.slice(i + 1).forEach(b => {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const along = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        overlaps += across > 3 && along > 5;
    }));
    return [shown.length, overlaps];
}"""

# Whether all charts in the window are drawn.
DRAWN = """() => [...document.querySelectorAll('.chart')].every(chart => {
    const box = chart.getBoundingClientRect();
    return 'drawn' in chart.dataset || !box.width || box.top > innerHeight || box.bottom < 0;
})"""

# Waits until a drawn chart has done all that it was told to.
AT_REST = "() => document.querySelector('.chart').drawing.view.runAsync().then(() => null)"

# Whether so many marks of the map are shown as found.
FOUND = """number => [...document.querySelectorAll('.chart .mark-symbol path')].filter(
    mark => mark.getAttribute('fill-opacity') > .5).length === number"""
