"""Whether benchmarks judge and report as they say: `python3 -m unittest discover bench/lib`."""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock
import xml.etree.ElementTree as xml

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from results import Parser, Result, exponent, figure, numbers, slope_and_intercept  # noqa: E402
from errors import Failure  # noqa: E402
import files  # noqa: E402
import peers  # noqa: E402
import plots  # noqa: E402
import run_all  # noqa: E402
from server import wait_for  # noqa: E402

REPORT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "report")


def result(quick=False, **named):
    return Result("ping", "How fast?", argparse.Namespace(turns=2, seconds=1.0, quick=quick, json=True, **named))


class Quiet(unittest.TestCase):
    def setUp(self):
        self.printed = io.StringIO()
        silence = contextlib.redirect_stdout(self.printed)
        silence.__enter__()
        self.addCleanup(silence.__exit__, None, None, None)


class ResultTests(Quiet):
    def test_ratios_are_of_pairs_of_turns(self):
        found = result()
        for ours, theirs in ((90, 100), (60, 50), (10, 10)):
            found.turn("sluice", qps=ours)
            found.turn("peer", qps=theirs)
        # The median of the pairs' ratios; the ratio of the medians would be 1.2.
        self.assertEqual(found.ratio("rate", of=("sluice", "qps"), to=("peer", "qps"), at_least=1.0), 1.0)
        entry = found.ratios[0]
        self.assertEqual((entry["min"], entry["max"], entry["met"]), (0.9, 1.2, True))

    def test_an_aim_is_held_against_what_it_says(self):
        found = result()
        for late in (0, 0, 1):
            found.turn("sluice", late=late)
        found.value("median", "sluice", "late", "answers", at_most=0)
        found.value("worst", "sluice", "late", "answers", at_most=0, by="max")
        found.value("no aim", "sluice", "late", "answers")
        self.assertEqual([value["met"] for value in found.values], [True, False, None])

    def test_unequal_turns_and_what_is_no_number_are_refused(self):
        found = result()
        found.turn("sluice", qps=1)
        found.turn("sluice", qps=2)
        found.turn("peer", qps=1)
        found.turn("idle", qps=0)
        found.turn("idle", qps=0)
        for other in ("peer", "idle", "nobody"):
            with self.assertRaises(Failure):
                found.ratio("rate", of=("sluice", "qps"), to=(other, "qps"))
        for number in (float("nan"), float("inf"), None, "7", True):
            with self.assertRaises(Failure):
                found.turn("sluice", qps=number)

    def test_the_last_line_is_json(self):
        found = result()
        found.turn("sluice", qps=1.5)
        found.curve("CPU", x="legs", y="CPU", unit="us", points=[(1, 3), (10, 30)])
        found.note("beside")
        found.finish()
        kept = json.loads(self.printed.getvalue().splitlines()[-1])
        self.assertEqual(kept["sides"], {"sluice": {"qps": [1.5]}})
        self.assertAlmostEqual(kept["curves"][0]["exponent"], 1)
        self.assertEqual((kept["benchmark"], kept["notes"]), ("ping", ["beside"]))

    def test_lines_and_power_laws_are_fitted(self):
        self.assertEqual(slope_and_intercept([(1, 5), (2, 8), (3, 11)]), (3, 2))
        self.assertAlmostEqual(exponent([(x, 7 * x ** 1.5) for x in (1, 10, 100)]), 1.5)
        self.assertIsNone(exponent([(1, 5)]))
        self.assertIsNone(exponent([(0, 5), (1, 0), (2, 3)]))

    def test_options_that_are_given_count_with_quick_too(self):
        parser = Parser("ping", "", turns=5, seconds=8, quick=(2, 1))
        self.assertEqual((parser.parse_args([]).turns, parser.parse_args([]).seconds), (5, 8))
        quick = parser.parse_args(["--quick", "--turns", "4"])
        self.assertEqual((quick.turns, quick.seconds), (4, 1))
        self.assertEqual(numbers("1,2,4"), [1, 2, 4])
        with self.assertRaises(ValueError):
            numbers("1,0")

    def test_figures_have_three_digits(self):
        self.assertEqual([figure(number) for number in (0, 0.00123, 0.5, 12.34, 123.4, 12345.6)],
                         ["0.00", "0.0012", "0.50", "12.3", "123", "12,346"])


class PlotTests(unittest.TestCase):
    def test_plots_are_well_formed_and_within_their_bounds(self):
        ratio = {"what": "A < B & \"C\"", "median": 0.9, "min": 0.5, "max": 60, "aim": 0.95, "met": False}
        drawn = [plots.bars("bars", [ratio, dict(ratio, aim=None, met=None, max=1)]),
                 plots.bars("one", [dict(ratio, max=1)]),
                 plots.curve("log", "legs", "CPU", "us", [[1, 3.0], [16, 900.0]], 1.2, 15),
                 plots.curve("linear", "x", "y", "us", [[1, 0], [2, -3.0]], None, None),
                 plots.curve("flat", "x", "y", "us", [[5, 0]], None, None)]
        for svg in drawn:
            root = xml.fromstring(svg)
            width, height = float(root.get("width")), float(root.get("height"))
            for each in root.iter():
                for name, most in (("x", width), ("cx", width), ("x1", width), ("x2", width), ("y", height),
                                   ("cy", height), ("y1", height), ("y2", height)):
                    if each.get(name):
                        self.assertTrue(-0.1 <= float(each.get(name)) <= most + 0.1, (each.tag, name, each.get(name)))


class ReportTests(Quiet):
    def test_what_was_missed_is_said_with_its_profile_and_changes_are_seen(self):
        found = result()
        found.turn("sluice", qps=80)
        found.turn("peer", qps=100)
        found.ratio("rate | all", of=("sluice", "qps"), to=("peer", "qps"), at_least=0.95)
        found.curve("CPU", x="legs", y="CPU", unit="us", points=[(1, 3), (10, 30)])
        about = {"cpu": "a cpu", "cores": 2, "memory_mib": 100, "kernel": "6", "distribution": "Debian",
                 "load_average": [3.0, 2.0, 1.0], "busy_cores_before": 1.5}
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "ping.json"), "w") as file:
                json.dump({"machine": about, "versions": {"sluice": "1"}, "result": found.as_json()}, file)
            with open(os.path.join(folder, "ping.profile.txt"), "w") as file:
                file.write("50 % memcpy\n")

            def report(*words):
                return subprocess.run([sys.executable, REPORT, "--results", folder, *words],
                                      stdout=subprocess.DEVNULL).returncode
            self.assertEqual(report("--check"), 1)
            self.assertEqual(report(), 0)
            self.assertEqual(report("--check"), 0)
            with open(os.path.join(folder, "REPORT.md")) as file:
                text = file.read()
            for part in ("0 of 1 are reached", "| 0.800 |", "**missed**", "rate \\| all", "50 % memcpy",
                         "others used the machine", "Fitted exponent: 1.00", "Not measured: fanout"):
                self.assertIn(part, text)
            self.assertTrue(os.path.exists(os.path.join(folder, "ping-ratios.svg")))
            with open(os.path.join(folder, "stale.svg"), "w") as file:
                file.write("<svg/>")
            self.assertEqual(report("--check"), 1)
            self.assertEqual(report(), 0)
            self.assertFalse(os.path.exists(os.path.join(folder, "stale.svg")))


class PeerTests(unittest.TestCase):
    def test_packages_start_no_services_and_a_policy_of_the_machine_is_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            policy = os.path.join(folder, "policy-rc.d")
            with self.assertRaises(Failure), peers.services_left_alone(policy):
                self.assertEqual(subprocess.run([policy, "redis-server", "start"]).returncode, 101)
                raise Failure("apt-get ended")
            self.assertFalse(os.path.exists(policy))
            with open(policy, "w") as file:
                file.write("its own")
            with peers.services_left_alone(policy):
                pass
            with open(policy) as file:
                self.assertEqual(file.read(), "its own")

    def pgbouncer(self, installed, built, may_build):
        """Which is taken where these versions are there."""
        versions = {"/usr/sbin/pgbouncer": installed, "/data/peers/built/pgbouncer": built}
        with mock.patch.multiple(peers, folder=lambda home: "/data/peers", need=mock.DEFAULT,
                                 build_pgbouncer=mock.DEFAULT, version_of=lambda path: versions[path]) as mocks, \
                mock.patch("shutil.which", return_value="/usr/sbin/pgbouncer"):
            return peers.pgbouncer(None, may_build), mocks["build_pgbouncer"].called

    def test_an_old_pgbouncer_is_taken_only_where_none_may_be_built(self):
        system, own = "/usr/sbin/pgbouncer", "/data/peers/built/pgbouncer"
        self.assertEqual(self.pgbouncer((1, 18), (0, 0), True), (own, True))
        self.assertEqual(self.pgbouncer((1, 18), (0, 0), False), (system, False))
        self.assertEqual(self.pgbouncer((1, 24), (0, 0), True), (system, False))
        self.assertEqual(self.pgbouncer((1, 18), (1, 24), False), (own, False))

    def test_more_open_files_than_are_allowed_are_an_error(self):
        limits = {"soft": 1024}

        def allow(_, pair):
            limits["soft"] = pair[0]
        with mock.patch("resource.getrlimit", lambda _: (limits["soft"], 4096)), \
                mock.patch("resource.setrlimit", allow):
            files.allow_files(3000)
            files.allow_files(2000)
            self.assertEqual(limits["soft"], 3000)
            with self.assertRaises(Failure):
                files.allow_files(5000)


class RunAllTests(Quiet):
    def measured(self, program, limit=None):
        """What run_all makes of a benchmark `fake` of this text."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "fake")
            with open(path, "w") as file:
                file.write("#!%s\n%s" % (sys.executable, program))
            os.chmod(path, 0o755)
            options = argparse.Namespace(quick=limit is not None, turns=None, seconds=None)
            with mock.patch.multiple(run_all, BENCH=folder, QUICK_LIMIT=limit, PATIENCE=0.1):
                return run_all.measure("fake", options)

    def test_what_a_guard_has_measured_is_kept_though_it_fails(self):
        program = "print('table'); print('{\"benchmark\": \"%s\"}'); raise SystemExit(%d)"
        self.assertEqual(self.measured(program % ("fake", 1)), ({"benchmark": "fake"}, False))
        self.assertEqual(self.measured(program % ("fake", 0)), ({"benchmark": "fake"}, True))
        # Another's line, or half a line, is no result.
        self.assertEqual(self.measured(program % ("other", 0)), (None, True))
        self.assertEqual(self.measured("print('{\"benchmark\"'); raise SystemExit(1)"), (None, False))
        self.assertIn("table", self.printed.getvalue())

    def test_one_that_does_not_end_is_killed_with_what_it_has_started(self):
        program = ("import signal, subprocess\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
                   "child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\nprint(child.pid, flush=True)\n"
                   "print('held', flush=True)\nchild.wait()\n")
        self.assertEqual(self.measured(program, limit=1), (None, False))
        child = next(int(line) for line in self.printed.getvalue().splitlines() if line.isdigit())
        self.assertTrue(wait_for(lambda: self.is_gone(child), 10))

    @staticmethod
    def is_gone(pid):
        try:
            with open("/proc/%d/stat" % pid) as file:
                return file.read().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True


if __name__ == "__main__":
    unittest.main()
