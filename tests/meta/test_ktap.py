# SPDX-License-Identifier: MIT
"""The reader of KTAP reports, on reports that are wrong in one thing each."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ktap  # noqa: E402 pylint: disable=wrong-import-position

GOOD = """TAP version 13
1..3
ok 1 a # time=12ms
# x.c:1: ASSERT_EQ(1, 2): 1 and 2
not ok 2 b # time=1ms
ok 3 c # SKIP no such thing
"""


def read(text, code, expected=("a", "b", "c")):
    """The tests and the failures beside them of a whole report."""
    report = ktap.Report(expected)
    for line in text.splitlines():
        report.feed(line)
    return report.tests, report.finish(code)


class Ktap(unittest.TestCase):
    """One wrong thing at a time."""

    def test_good_report(self):
        tests, failed = read(GOOD, 1)
        self.assertEqual([t.verdict for t in tests], ["ok", "FAIL", "skip"])
        self.assertEqual(failed, [])
        self.assertAlmostEqual(tests[0].seconds, 0.012)

    def test_failure_has_its_reason(self):
        tests, _ = read(GOOD, 1)
        self.assertIn("1 and 2", tests[1].why)

    def test_skip_has_its_reason(self):
        tests, _ = read(GOOD, 1)
        self.assertEqual(tests[2].why, "no such thing")

    def test_skip_without_reason_fails(self):
        tests, _ = read("1..1\nok 1 a # SKIP\n", 0, ["a"])
        self.assertEqual(tests[0].verdict, "FAIL")

    def test_status_0_with_a_failed_test(self):
        _, failed = read(GOOD, 0)
        self.assertIn("exit status 0 with a failed", failed[0].why)

    def test_status_1_without_a_failed_test(self):
        _, failed = read("1..1\nok 1 a\n", 1, ["a"])
        self.assertIn("exit status 1 without", failed[0].why)

    def test_no_output_at_all(self):
        _, failed = read("", 0)
        self.assertEqual([t.name for t in failed],
                         ["a", "b", "c", "(program)"])

    def test_no_plan(self):
        _, failed = read("ok 1 a\n", 0, ["a"])
        self.assertIn("no plan", failed[0].why)

    def test_plan_too_large(self):
        _, failed = read("1..2\nok 1 a\n", 0, ["a"])
        self.assertIn("1 tests reported, 2 planned", failed[0].why)

    def test_plan_too_small(self):
        _, failed = read("1..1\nok 1 a\nok 2 b\n", 0, ["a", "b"])
        self.assertIn("2 tests reported, 1 planned", failed[0].why)

    def test_two_plans(self):
        _, failed = read("1..1\n1..1\nok 1 a\n", 0, ["a"])
        self.assertIn("second plan", failed[0].why)

    def test_known_test_missing_though_the_plan_fits(self):
        _, failed = read("1..1\nok 1 a\n", 0, ["a", "b"])
        self.assertEqual(failed[0].name, "b")

    def test_unknown_test(self):
        _, failed = read("1..2\nok 1 a\nok 2 z\n", 0, ["a"])
        self.assertIn("nobody knows: z", failed[0].why)

    def test_test_reported_twice(self):
        _, failed = read("1..2\nok 1 a\nok 2 a\n", 0, ["a"])
        self.assertTrue(any("twice" in t.why for t in failed))

    def test_numbers_out_of_order(self):
        _, failed = read("1..2\nok 2 a\nok 1 b\n", 0, ["a", "b"])
        self.assertTrue(any("test number" in t.why for t in failed))

    def test_bail_out(self):
        _, failed = read("1..1\nok 1 a\nBail out! no\n", 0, ["a"])
        self.assertIn("Bail out!", failed[0].why)

    def test_lost_machine_has_no_status(self):
        report = ktap.Report(["a", "b"])
        for line in ("1..2", "ok 1 a"):
            report.feed(line)
        self.assertEqual(report.running(), "b")
        failed = report.finish(None, "lost VM")
        self.assertEqual((failed[0].name, failed[0].why), ("b", "lost VM"))

    def test_last_words_are_kept(self):
        report = ktap.Report(["a"])
        for line in ("1..1", "Segmentation fault"):
            report.feed(line)
        self.assertIn("Segmentation fault", report.finish(139)[0].why)


if __name__ == "__main__":
    unittest.main()
