"""What every benchmark takes and gives: the same options, figures taken in turns, ratios and aims, one form of JSON.

    options = Parser("ping", __doc__).parse_args()
    result = Result("ping", question="How many frames a second pass through the sessions?", options=options)
    result.turn("sluice", qps=..., p50_us=...)       # each turn of each side, in the order measured
    result.ratio("throughput", of=("sluice", "qps"), to=("peer", "qps"), at_least=0.5)
    result.finish()

bench/README.md describes the JSON.
"""

import argparse
import datetime
import json
import math
import os
import statistics
import sys
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "scripts", "lib"))
from errors import Failure  # noqa: E402
import home  # noqa: E402
from home import say  # noqa: E402

REDUCTIONS = {"median": statistics.median, "min": min, "max": max}


def main(run):
    """A benchmark's main function, with clear errors; a signal ends it, and what it has started ends with it."""
    def unwinding():
        home.unwind_at_signals(types.SimpleNamespace(halted=False))
        return run()

    home.main(unwinding)


class Parser(argparse.ArgumentParser):
    """The options that every benchmark takes. `quick` are the turns and the seconds of `--quick`; options that are
    given count even then."""

    def __init__(self, name, description, turns=5, seconds=4, quick=(1, 1), quick_too=""):
        """`quick_too`: what else is less with --quick."""
        super().__init__(prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.defaults = {False: (turns, seconds), True: quick}
        self.add_argument("--turns", type=positive(int), help="of each side (%d)" % turns)
        self.add_argument("--seconds", type=positive(float), help="a turn (%g)" % seconds)
        self.add_argument("--quick", action="store_true", help="does it work? %d turn%s of %g s%s"
                          % (quick[0], "" if quick[0] == 1 else "s", quick[1], ", " + quick_too if quick_too else ""))
        self.add_argument("--json", action="store_true", help="the result as JSON on the last line")

    def parse_args(self, *arguments, **named):
        options = super().parse_args(*arguments, **named)
        turns, seconds = self.defaults[options.quick]
        options.turns = turns if options.turns is None else options.turns
        options.seconds = seconds if options.seconds is None else options.seconds
        return options


def positive(kind):
    """For argparse: a number above 0."""
    def read(text):
        number = kind(text)
        if not number > 0 or number == math.inf:
            raise ValueError(text)
        return number
    read.__name__ = "positive " + kind.__name__
    return read


def numbers(text):
    """For argparse: whole numbers above 0 with commas between them."""
    return [positive(int)(part) for part in text.split(",")]


class Result:
    """What a benchmark has found. Figures are kept for each turn, so that whoever reads them sees their spread."""

    def __init__(self, benchmark, question, options):
        self.benchmark, self.question, self.options = benchmark, question, options
        self.started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.sides, self.ratios, self.values, self.curves, self.notes = {}, [], [], [], []

    def turn(self, side, **metrics):
        """The figures of one turn of one side; printed at once."""
        figures = self.sides.setdefault(side, {})
        for metric, number in metrics.items():
            figures.setdefault(metric, []).append(finite(number, side, metric))
        turn = max(len(figures[metric]) for metric in metrics)
        say("%2d  %-24s %s" % (turn, side, "  ".join(
            "%s %s" % (metric, figure(number)) for metric, number in metrics.items())))

    def figures(self, side, metric):
        found = self.sides.get(side, {}).get(metric)
        if not found:
            raise Failure("%s: there is no `%s` of `%s`" % (self.benchmark, metric, side))
        return found

    def ratio(self, what, of, to, at_least=None, at_most=None):
        """Each turn of one side to the same turn of the other, as the machine changes more between turns than
        within one. Returns the median."""
        above, below = self.figures(*of), self.figures(*to)
        if len(above) != len(below):
            raise Failure("%s: %d turns of `%s` and %d of `%s`"
                          % (self.benchmark, len(above), of[0], len(below), to[0]))
        if 0 in below:
            raise Failure("%s: `%s` of `%s` was 0" % (self.benchmark, to[1], to[0]))
        turns = [one / other for one, other in zip(above, below)]
        entry = {"what": what, "of": list(of), "to": list(to), "turns": turns, **spread(turns),
                 **aim(statistics.median(turns), at_least, at_most)}
        self.ratios.append(entry)
        return entry["median"]

    def value(self, what, side, metric, unit, at_least=None, at_most=None, by="median"):
        """A side's figure itself. `by`: whether the median, the least or the most of its turns is held against the
        aim. Returns it."""
        found = self.figures(side, metric)
        reached = REDUCTIONS[by](found)
        self.values.append({"what": what, "side": side, "metric": metric, "unit": unit, **spread(found), "by": by,
                            **aim(reached, at_least, at_most)})
        return reached

    def curve(self, what, x, y, unit, points, aim=None):
        """How `y` (in `unit`) grows with `x`, and the exponent that fits best; `aim` is a level of `y` that is not to
        be passed. Returns the exponent."""
        points = [[finite(place, what, x), finite(height, what, y)] for place, height in points]
        entry = {"what": what, "x": x, "y": y, "unit": unit, "points": points, "exponent": exponent(points),
                 "aim": aim}
        self.curves.append(entry)
        return entry["exponent"]

    def note(self, text):
        self.notes.append(text)

    def as_json(self):
        options = self.options
        return {"benchmark": self.benchmark, "question": self.question, "quick": bool(getattr(options, "quick", False)),
                "command": ["bench/" + self.benchmark, *sys.argv[1:]], "started": self.started,
                "turns": getattr(options, "turns", None), "seconds": getattr(options, "seconds", None),
                "sides": self.sides, "ratios": self.ratios, "values": self.values, "curves": self.curves,
                "notes": self.notes}

    def finish(self):
        """Prints the summary and, with --json, the JSON as the last line."""
        for line in summary(self.as_json()):
            say(line)
        if getattr(self.options, "json", False):
            say(json.dumps(self.as_json(), allow_nan=False))


def finite(number, side, metric):
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise Failure("`%s` of `%s` is %r, which is no number" % (metric, side, number))
    return number


def spread(turns):
    return {"median": statistics.median(turns), "min": min(turns), "max": max(turns)}


def aim(reached, at_least, at_most):
    if at_least is not None:
        return {"aim": at_least, "direction": "at_least", "met": reached >= at_least}
    if at_most is not None:
        return {"aim": at_most, "direction": "at_most", "met": reached <= at_most}
    return {"aim": None, "direction": None, "met": None}


def slope_and_intercept(points):
    """The line that fits best (least squares), or None where there are no two places."""
    if len({x for x, _ in points}) < 2:
        return None
    mean_x, mean_y = (statistics.fmean(column) for column in zip(*points))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return slope, mean_y - slope * mean_x


def exponent(points):
    """Of the power law that fits best on logarithmic axes; None without two points above 0."""
    line = slope_and_intercept([(math.log(x), math.log(y)) for x, y in points if x > 0 and y > 0])
    return None if line is None else line[0]


def figure(number):
    """A number as a reader wants it: three digits, four above a thousand's."""
    if number is None:
        return "-"
    size = abs(number)
    if size >= 1000 or (isinstance(number, int) and size >= 100):
        return "{:,.0f}".format(number)
    if size >= 100:
        return "%.0f" % number
    if size >= 10:
        return "%.1f" % number
    return "%.2f" % number if size >= 0.01 or not number else "%.2g" % number


def aim_text(entry):
    """`aim: at least 0.95, reached`, or nothing."""
    if entry["aim"] is None:
        return ""
    return "aim: %s %g, %s" % (entry["direction"].replace("_", " "), entry["aim"],
                               "reached" if entry["met"] else "MISSED")


def summary(result):
    """The lines of a readable summary of a result's JSON."""
    yield ""
    yield "%s: %s" % (result["benchmark"], result["question"])
    for side, metrics in result["sides"].items():
        yield "  %-24s %s" % (side, "  ".join(
            "%s %s" % (metric, figure(statistics.median(turns))) for metric, turns in metrics.items()))
    for ratio in result["ratios"]:
        yield "  %s: %.3f (%.3f to %.3f)  %s" % (ratio["what"], ratio["median"], ratio["min"], ratio["max"],
                                                 aim_text(ratio))
    for value in result["values"]:
        yield "  %s: %s %s (%s to %s)  %s" % (value["what"], figure(value[value["by"]]), value["unit"],
                                              figure(value["min"]), figure(value["max"]), aim_text(value))
    for curve in result["curves"]:
        yield "  %s: %s%s" % (curve["what"], ", ".join("%g: %s" % (x, figure(y)) for x, y in curve["points"]),
                              "" if curve["exponent"] is None else "; grows with exponent %.2f" % curve["exponent"])
    for note in result["notes"]:
        yield "  note: " + note
    if result["quick"]:
        yield "  measured with --quick: it says whether the benchmark works, not how fast Sluice is"
