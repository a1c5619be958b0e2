"""`make demo`: the demo application, run as a newcomer runs it."""

import re
import subprocess

from tests.support.sdk import ROOT


def test_the_demo_shows_every_step_and_the_rows() -> None:
    done = subprocess.run(["make", "--no-print-directory", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout
    assert "You said: “Hello”" in shown
    assert "22 23 24" in shown
    assert re.search(r"the old key: 401 invalid_api_key\n +the new key np_\S+: 200", shown)
    assert re.search(r"switched off: 403 organization_disabled\n +switched on again: 200", shown)
    rows = [line.split() for line in shown.splitlines() if line.startswith("  demo")]
    assert [row[:4] for row in rows if "yes" in row] == [["demo-long-24", "yes", "200", "ok"]]
    assert [row[1] for row in rows if "yes" not in row] == ["200", "401", "200", "403", "200"]
    assert not re.search(r"np_[0-9a-f]{8}-", shown)
