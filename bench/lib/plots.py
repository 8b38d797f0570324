"""Plots as SVG, written with nothing but text: bars of ratios with their aims and spread, and curves. They bring their
own background, light or dark as the reader's screen is, so that they can be read on any page."""

import html
import math

STYLE = """\
<style>
.back{fill:#ffffff}.text{fill:#24292f}.faint{fill:#57606a}.axis{stroke:#57606a}.grid{stroke:#d8dee4}
.bar{fill:#0969da}.missed{fill:#bc4c00}.spread{stroke:#24292f}.aim{stroke:#cf222e}.aimtext{fill:#cf222e}
.line{stroke:#0969da;fill:none}.point{fill:#0969da}
@media (prefers-color-scheme: dark){
.back{fill:#0d1117}.text{fill:#e6edf3}.faint{fill:#9198a1}.axis{stroke:#9198a1}.grid{stroke:#30363d}
.bar{fill:#4493f8}.missed{fill:#db6d28}.spread{stroke:#e6edf3}.aim{stroke:#ff7b72}.aimtext{fill:#ff7b72}
.line{stroke:#4493f8}.point{fill:#4493f8}}
text{font-family:system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;font-size:12px}
.title{font-size:14px;font-weight:600}
</style>"""


class Drawing:
    def __init__(self, width, height, title):
        self.width, self.height, self.title, self.parts = width, height, title, []

    def rectangle(self, kind, x, y, width, height, tip=""):
        self.parts.append('<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f">%s</rect>' % (
            kind, x, y, max(0, width), height, "<title>%s</title>" % html.escape(tip) if tip else ""))

    def line(self, kind, x1, y1, x2, y2, width=1, dashes=""):
        self.parts.append('<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke-width="%g"%s/>' % (
            kind, x1, y1, x2, y2, width, ' stroke-dasharray="%s"' % dashes if dashes else ""))

    def text(self, kind, x, y, text, anchor="start", turned=False):
        self.parts.append('<text class="%s" x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>' % (
            kind, x, y, anchor, ' transform="rotate(-90 %.1f %.1f)"' % (x, y) if turned else "", html.escape(text)))

    def path(self, kind, points, width=2):
        self.parts.append('<polyline class="%s" stroke-width="%g" points="%s"/>' % (
            kind, width, " ".join("%.1f,%.1f" % point for point in points)))

    def dot(self, kind, x, y, tip):
        self.parts.append('<circle class="%s" cx="%.1f" cy="%.1f" r="3.5"><title>%s</title></circle>'
                          % (kind, x, y, html.escape(tip)))

    def svg(self):
        head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">' % (
            self.width, self.height, self.width, self.height)
        back = '<rect class="back" width="%d" height="%d" rx="6"/>' % (self.width, self.height)
        return "\n".join([head, "<title>%s</title>" % html.escape(self.title), STYLE, back,
                          '<text class="text title" x="16" y="24">%s</text>' % html.escape(self.title),
                          *self.parts, "</svg>", ""])


class Scale:
    """From numbers to places on an axis, linear from 0 or logarithmic."""

    def __init__(self, numbers, start, end, logarithmic=False):
        self.start, self.end, self.logarithmic = start, end, logarithmic
        if logarithmic:
            self.ticks = decades(min(numbers), max(numbers))
            self.low, self.high = self.ticks[0], self.ticks[-1]
        else:
            self.low, self.high = min(0.0, *numbers), max(0.0, *numbers)
            self.high += 0 if self.high > self.low else 1
            step = nice_step(self.high - self.low)
            self.low, self.high = math.floor(self.low / step) * step, math.ceil(self.high / step * 1.02) * step
            count = round((self.high - self.low) / step)
            self.ticks = [self.low + step * place for place in range(count + 1)]

    def __call__(self, number):
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, number = math.log(low), math.log(high), math.log(max(number, self.low))
        return self.start + (number - low) / (high - low) * (self.end - self.start)


def decades(low, high):
    """1, 2, 5, 10, … around the bounds; only powers of 10 where those would be too many."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high)) + 1
    steps = (1,) if last - first > 4 else (1, 2, 5)
    found = [step * 10.0 ** power for power in range(first, last + 1) for step in steps]
    below, above = [tick for tick in found if tick <= low * 1.0001], [tick for tick in found if tick >= high * 0.9999]
    start, end = below[-1], above[0] if above[0] > below[-1] else above[1]
    return [tick for tick in found if start <= tick <= end]


def nice_step(span):
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)


def label(number):
    if number and (abs(number) >= 1e6 or abs(number) < 1e-3):
        return "%.0e" % number
    if abs(number) >= 1000:
        return "{:,.0f}".format(number)
    return "%g" % float("%.3g" % number)


def wrapped(text, width):
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def bars(title, ratios):
    """A bar for each ratio, blue where its aim is reached or there is none; its spread as a thin line, its aim as a red
    one."""
    left, right, row, top = 300, 700, 40, 44
    numbers = [number for each in ratios for number in (each["min"], each["max"], each["aim"] or each["max"])]
    wide = min(numbers) > 0 and max(numbers) / min(numbers) > 30
    across = Scale(numbers + [1.0], left, right, wide)
    drawing = Drawing(780, top + row * len(ratios) + 52, title)
    bottom = top + row * len(ratios)
    for tick in across.ticks:
        drawing.line("grid", across(tick), top, across(tick), bottom)
        drawing.text("faint", across(tick), bottom + 16, label(tick), "middle")
    for place, each in enumerate(ratios):
        middle = top + row * place + row / 2
        lines = wrapped(each["what"], 46)[:3]
        for number, line in enumerate(lines):
            drawing.text("text", left - 10, middle + 4 + 13 * (number - (len(lines) - 1) / 2), line, "end")
        zero = left if wide else across(0)
        drawing.rectangle("missed" if each["met"] is False else "bar", zero, middle - 9,
                          across(each["median"]) - zero, 18, "median %.3f" % each["median"])
        drawing.line("spread", across(each["min"]), middle, across(each["max"]), middle, 1.5)
        for end in (each["min"], each["max"]):
            drawing.line("spread", across(end), middle - 5, across(end), middle + 5, 1.5)
        if each["aim"] is not None:
            drawing.line("aim", across(each["aim"]), middle - 15, across(each["aim"]), middle + 15, 2.5)
        drawing.text("text", right + 10, middle + 4, "%.2f" % each["median"])
    drawing.line("axis", left, bottom, right, bottom)
    drawing.text("faint", (left + right) / 2, bottom + 36, "ratio (median, with the least and the most of the turns)%s"
                 % (", logarithmic" if wide else ""), "middle")
    if any(each["aim"] is not None for each in ratios):
        drawing.line("aim", 16, bottom + 32, 16, bottom + 44, 2.5)
        drawing.text("aimtext", 24, bottom + 42, "aim")
    return drawing.svg()


def curve(title, x, y, unit, points, exponent, aim):
    """A line over its points; on logarithmic axes where the x spread over a decade and nothing is 0."""
    left, right, top, bottom = 84, 620, 48, 320
    points = sorted(points)
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    levels = ys + ([aim] if aim is not None else [])
    positive = min(xs + levels) > 0
    wide = positive and max(xs) / min(xs) >= 10
    across, up = Scale(xs, left, right, wide), Scale(levels, bottom, top, wide)
    drawing = Drawing(660, 376, title)
    for tick in up.ticks:
        drawing.line("grid", left, up(tick), right, up(tick))
        drawing.text("faint", left - 8, up(tick) + 4, label(tick), "end")
    # The places that were measured, where there is room for their names.
    places = [across(place) for place in xs]
    roomy = all(after - before > 34 for before, after in zip(places, places[1:]))
    for tick in xs if roomy else across.ticks:
        drawing.line("grid", across(tick), top, across(tick), bottom)
        drawing.text("faint", across(tick), bottom + 16, label(tick), "middle")
    drawing.line("axis", left, bottom, right, bottom)
    drawing.line("axis", left, top, left, bottom)
    drawing.text("text", (left + right) / 2, bottom + 40, x + (" (both axes logarithmic)" if wide else ""), "middle")
    drawing.text("text", 18, (top + bottom) / 2, "%s (%s)" % (y, unit), "middle", turned=True)
    if aim is not None:
        drawing.line("aim", left, up(aim), right, up(aim), 1.5, "6 4")
        drawing.text("aimtext", right - 4, up(aim) - 5, "aim: at most %s" % label(aim), "end")
    drawing.path("line", [(across(place), up(height)) for place, height in points])
    for place, height in points:
        drawing.dot("point", across(place), up(height), "%s %s: %s %s" % (label(place), x, label(height), unit))
    if exponent is not None:
        drawing.text("faint", right, 40, "grows as %s to the power of %.2f" % (x, exponent), "end")
    return drawing.svg()
