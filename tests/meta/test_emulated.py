# SPDX-License-Identifier: MIT
"""The reader of what the emulated GPU's own tests print."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import emulated  # noqa: E402 pylint: disable=wrong-import-position

GOOD = """emulated GPU, kernel 6.12
  ok   device_test: 54
  ok   p2p_test --unplug: 13
"""
BAD = """emulated GPU, kernel 6.12
  ok   device_test: 54
    not ok 3 - memory is there (line 7)
  FAIL cuda_test: status 1, 140 good lines
"""


class Emulated(unittest.TestCase):
    """Good and wrong outputs."""

    def test_good_programs(self):
        self.assertEqual(emulated.verdicts(0, GOOD),
                         [("device_test", "ok", ""),
                          ("p2p_test --unplug", "ok", "")])

    def test_failed_program_has_its_reason(self):
        self.assertEqual(emulated.verdicts(1, BAD)[1],
                         ("cuda_test", "FAIL", "status 1, 140 good lines"))

    def test_status_without_a_failure_is_one(self):
        self.assertEqual([v for _, v, _ in emulated.verdicts(1, GOOD)],
                         ["ok", "ok", "FAIL"])

    def test_failure_without_a_status_is_one(self):
        self.assertEqual(emulated.verdicts(0, BAD)[-1][1], "FAIL")

    def test_nothing_is_a_failure(self):
        self.assertEqual([v for _, v, _ in emulated.verdicts(0, "")], ["FAIL"])

    def test_trace_of_python_is_a_failure(self):
        self.assertEqual(emulated.verdicts(1, "Traceback ...")[0][1], "FAIL")


if __name__ == "__main__":
    unittest.main()
