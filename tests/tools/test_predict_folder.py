"""tools/predict.py on a folder of everything that disks hold."""

import collections
import json
import pathlib
import re
import subprocess
import sys
import time

import odd_pictures
import pytest
from tiny import finding_model

PREDICT = pathlib.Path(__file__).parents[2] / "tools" / "predict.py"
LARGEST = 4000  # MB


@pytest.mark.slow
def test_200_odd_pictures(tmp_path):
    """What can be read is in the results, every other file is named, and the largest of 60 megapixels cost no more."""
    folder, output, model = tmp_path / "pictures", tmp_path / "out", tmp_path / "model.keras"
    folder.mkdir()
    wanted = odd_pictures.write(folder)
    finding_model(score_threshold=0.0).save(model)
    command = [sys.executable, str(PREDICT), f"--model={model}", f"--input={folder}", f"--output={output}"]
    with (tmp_path / "text").open("w") as text, subprocess.Popen(command, stdout=text, stderr=text) as process:
        peak = _peak_until_it_ends(process)
    lines = (tmp_path / "text").read_text().splitlines()
    assert process.returncode == 1 and not any("Traceback" in line or "Warning" in line for line in lines)
    assert 100 < peak < LARGEST
    found = {result["file_name"] for result in json.loads((output / "results.json").read_text())}
    named = {line.removeprefix(f"{folder}/").split(": ")[0] for line in lines if line.startswith(f"{folder}/")}
    passed = {name for line in lines if line.startswith("passed over") for name in line.split(": ")[-1].split(", ")}
    for name, outcome in wanted.items():
        shown = name.replace("\n", "\\n")
        where = [
            place
            for place, names in (("read", found), ("named", named), ("passed over", passed))
            if name in names or shown in names
        ]
        assert where == [outcome] or outcome == odd_pictures.EITHER and len(where) == 1, (name, outcome, where)
    counts = collections.Counter(["read"] * len(found) + ["named"] * len(named) + ["passed over"] * len(passed))
    print(dict(counts), f"{peak} MB")
    assert sum(counts.values()) == len(wanted) == 200
    assert f"{len(named)} of {len(named) + len(found)} images could not be read." in lines


def _peak_until_it_ends(process):
    """MB. What `wait4` says, `ru_maxrss`, begins with the peak of the process that started this one."""
    peak = 0
    while process.poll() is None:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        peak = max([peak, *(int(kilobytes) // 1024 for kilobytes in re.findall(r"VmHWM:\s+(\d+)", status))])
        time.sleep(0.05)
    return peak
