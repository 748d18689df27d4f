"""Programs for a GPU machine: they are written, and say of each parameter what it is."""

import gzip
import pathlib
import subprocess
import sys

import numpy as np

GPU = pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "gpu"


def test_a_training_step_is_written(tmp_path):
    sizes = ["--height", "64", "--width", "96", "--batches", "1", "--dtypes", "float32", "--what", "training"]
    command = [sys.executable, GPU / "write_programs.py", "--output", tmp_path, *sizes]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    module = gzip.decompress((tmp_path / "training_fp32_b1.hlo.pb.gz").read_bytes())
    assert len(module) < 32 * 2**20  # a model's weights are 176 MB
    described = np.load(tmp_path / "training_fp32_b1.npz")
    numbers = {name.removeprefix("p").partition("/")[0] for name in described.files if name != "results"}
    assert numbers == {str(number) for number in range(len(numbers))}
    assert {"loss", "mask", "rpn_box"} < set(described["results"].tolist())
    sources = {str(described[name]) for name in described.files if name.endswith("/source")}
    assert {"backbone.body.layer4.2.conv3.weight", "roi_heads.mask_predictor.mask_fcn_logits.bias"} < sources
