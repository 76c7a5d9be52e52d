# SPDX-License-Identifier: MIT
"""Tests of how bench/cost.py judges."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
import cost  # noqa: E402


def kernel_within_budgets():
    """A kernel whose figures are exactly at their budgets."""
    kernel = cost.Kernel("6.1", "6.1.0 test")
    for case in cost.OTHERS:
        kernel.feed(f"figure {case} 1 10000 10000 9 10")
    for case, _, most in cost.BUDGETS:
        kernel.feed(f"figure {case} 1 {round(10000 * most)} 0 9 10")
    for counted, most in cost.COUNTED:
        for case in cost.COUNTED_CASES:
            more = round(kernel.figures[case]) + (most or 1000)
            kernel.feed(f"figure {case} 1 {more} 0 9 10", counted)
    return kernel


class Judge(unittest.TestCase):
    """Budgets."""

    def test_at_the_budget(self):
        self.assertEqual(kernel_within_budgets().broken(), [])

    def test_one_instruction_above(self):
        for case, _, most in cost.BUDGETS:
            kernel = kernel_within_budgets()
            kernel.feed(f"figure {case} 1 {round(10000 * most) + 1} 0 9 10")
            broken = [line for line in kernel.broken() if "with" not in line]
            self.assertEqual(len(broken), 1)
            self.assertIn(f"{case}: BROKEN", broken[0])

    def test_one_instruction_more_for_counting(self):
        for counted, most in cost.COUNTED:
            kernel = kernel_within_budgets()
            figure = round(kernel.figures["read-4k"]) + (most or 1000) + 1
            kernel.feed(f"figure read-4k 1 {figure} 0 9 10", counted)
            broken = kernel.broken()
            self.assertEqual(len(broken), 0 if most is None else 1)
            if broken:
                self.assertIn(f"read-4k with {counted}=1: BROKEN", broken[0])
                self.assertIn(f"is {most + 1}", broken[0])

    def test_counting_was_not_measured(self):
        kernel = kernel_within_budgets()
        del kernel.figures["read-4k+usage"]
        self.assertEqual(len(kernel.broken()), 1)
        self.assertIn("no figure", kernel.broken()[0])

    def test_requests_share_a_round(self):
        kernel = kernel_within_budgets()
        kernel.feed("figure batch-read-4k 64 480032 0 9 10")
        self.assertEqual(kernel.figures["batch-read-4k"], 7500.5)
        self.assertIn("batch-read-4k: BROKEN", kernel.broken()[0])

    def test_call_is_absent(self):
        kernel = kernel_within_budgets()
        del kernel.figures["uring-read-4k"]
        kernel.feed("absent uring-read-4k EOPNOTSUPP")
        self.assertIn("uring-read-4k: not there", kernel.broken()[0])
        self.assertIn("not there", kernel.broken()[0])

    def test_call_fails(self):
        kernel = kernel_within_budgets()
        del kernel.figures["read-1m"]
        kernel.feed("failed read-1m EIO")
        self.assertIn("EIO", kernel.broken()[0])

    def test_nothing_was_said(self):
        kernel = cost.Kernel("6.1")
        self.assertEqual(len(kernel.broken()), len(cost.BUDGETS) +
                         len(cost.COUNTED) * len(cost.COUNTED_CASES))

    def test_what_it_is_compared_with_is_missing(self):
        kernel = kernel_within_budgets()
        del kernel.figures["preadv2-4k"]
        self.assertEqual(len(kernel.broken()), 2)


class Document(unittest.TestCase):
    """The table."""

    def test_only_the_date_differs(self):
        kernels = [kernel_within_budgets()]
        one = cost.document(kernels, "QEMU", "2020-01-01").splitlines()
        two = cost.document(kernels, "QEMU", "2020-01-02").splitlines()
        differ = [a for a, b in zip(one, two) if a != b]
        self.assertEqual(differ, ["Date: 2020-01-01"])

    def test_a_mean_has_a_digit(self):
        self.assertEqual(cost.number(12345.0), "12,345")
        self.assertEqual(cost.number(3012.53125), "3,012.5")

    def test_missing_figures_are_shown(self):
        text = cost.document([cost.Kernel("6.1")], "QEMU", "2020-01-01")
        self.assertIn("| no figure |", text)


if __name__ == "__main__":
    unittest.main()
