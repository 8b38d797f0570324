"""Whether bench/faults computes what it says: `python3 -m unittest discover bench/lib`."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from fault_figures import Row, beyond, first_after, lateness, longest_gap, share  # noqa: E402


def steady(began, ended, timeline):
    return [(began + 0.1 * step, timeline) for step in range(round((ended - began) * 10) + 1)]


class FaultFigureTests(unittest.TestCase):
    def test_a_gap_counts_to_both_ends(self):
        self.assertEqual(longest_gap([1, 2, 99], 0, 5), 3)
        self.assertEqual(longest_gap([], 0, 5), 5)

    def test_only_what_the_gateways_add_to_a_promotion_is_beyond_it(self):
        # No server takes writes from 10 to 14; the gateways go on at 14.6.
        direct = steady(0, 10, 1) + steady(14, 20, 2)
        self.assertAlmostEqual(beyond(steady(0, 10, 1) + steady(14.6, 20, 2), direct, 0, 20), 0.6)

    def test_a_leader_that_is_left_behind_and_goes_on_makes_no_pause_shorter(self):
        # The old one goes on until 30; nobody is to write there from 10 on.
        direct = steady(0, 30, 1) + steady(14, 30, 2)
        self.assertAlmostEqual(beyond(steady(0, 10, 1) + steady(14.2, 30, 2), direct, 0, 30), 0.2)

    def test_a_pause_that_does_not_end_counts(self):
        direct = steady(0, 10, 1) + steady(14, 30, 2)
        self.assertAlmostEqual(beyond(steady(0, 10, 1), direct, 0, 30), 16)

    def test_a_pause_without_a_promotion_is_the_gateways(self):
        self.assertAlmostEqual(beyond(steady(0, 4, 1) + steady(9, 20, 1), steady(0, 20, 1), 0, 20), 4.9)

    def test_a_row_is_late_by_what_its_own_gateway_had_shown(self):
        seen = {"gateway-1": [(0, 1), (10, 2)], "gateway-2": [(0, 1), (13, 2)]}
        rows = [Row(1, 8600, 1, 12, "gateway-1"), Row(2, 8600, 1, 12, "gateway-2"), Row(3, 8601, 2, 12, "gateway-1"),
                Row(4, 8600, 1, 9, "gateway-1"), Row(5, 8600, 1, 12, "psql")]
        self.assertEqual(lateness(rows, seen), [2])

    def test_the_first_of_a_newer_timeline_is_found(self):
        self.assertEqual(first_after([(9, 2), (3, 1), (7, 2)], 5, 1), 7)
        self.assertIsNone(first_after([(9, 1)], 5, 1))

    def test_a_share_of_nothing_is_nothing(self):
        self.assertEqual((share(1, 200), share(0, 0)), (0.5, 0))
