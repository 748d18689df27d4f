"""The benchmark beside other programs: turns are taken, figures are what was said, the page is made of them alone."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tiny import tiny_model

from mask_rcnn_tf.benchmark import work

ROOT = pathlib.Path(__file__).resolve().parents[2]
CPU = ROOT / "benchmarks" / "cpu"
sys.path.insert(0, str(CPU))

import growth  # noqa: E402
import page  # noqa: E402
import tables  # noqa: E402
from turns import Contestant, machine, take_turns  # noqa: E402

SERVER = """
import sys, time
sys.path.insert(0, {folder!r})
from answering import serve
print("a library says something")
def call():
    print("and something else")
    time.sleep({seconds})
    with open({log!r}, "a") as file:
        print({name!r}, file=file)
serve({{{name!r}: call}}, lambda: {{"images": 1}}, warm_up=1)
"""


def contestant(folder, name, seconds):
    text = SERVER.format(folder=str(CPU), seconds=seconds, name=name, log=str(folder / "order"))
    return Contestant(name, [sys.executable, "-c", text])


def test_all_are_asked_in_each_round_and_each_round_begins_with_another(tmp_path):
    slow, fast = take_turns([contestant(tmp_path, "a", 0.2), contestant(tmp_path, "b", 0.01)], 3, tmp_path / "logs")
    assert (tmp_path / "order").read_text().split() == ["a", "b", *"abbaab"]  # warming up, then three rounds
    assert slow["contestant"] == slow["call"] == "a" and slow["images"] == 1 and "calls" not in slow
    assert all(len(line[name]) == 3 for line in (slow, fast) for name in ("seconds", "cpu_seconds", "load"))
    assert min(slow["seconds"]) >= 0.2 > min(fast["seconds"]) and max(slow["cpu_seconds"]) < 0.2 and slow["peak_mb"] > 1
    assert "a library says something" in (tmp_path / "logs" / "a.log").read_text()


def test_a_contestant_that_ends_is_named_with_its_log(tmp_path):
    broken = Contestant("b/c", [sys.executable, "-c", "import sys; sys.exit('no such thing')"])
    with pytest.raises(RuntimeError, match=r"b/c ended with 1; .*b_c\.log says why"):
        take_turns([contestant(tmp_path, "a", 0), broken], 1, tmp_path)
    assert "no such thing" in (tmp_path / "b_c.log").read_text()
    dying = Contestant("d", [sys.executable, "-c", SERVER.format(
        folder=str(CPU), seconds="1 if not hasattr(call, 'ran') and not setattr(call, 'ran', 1) else sys.exit(3)",
        name="d", log=str(tmp_path / "order"))])  # fmt: skip
    with pytest.raises(RuntimeError, match="d ended with 3"):
        take_turns([dying], 1, tmp_path)


def test_our_masks_answer():
    command = [sys.executable, CPU / "ours.py", "masks", "--objects", "3", "--height", "60", "--width", "80"]
    done = subprocess.run(list(map(str, command)), input="masks\n", capture_output=True, text=True)
    ready, answer = map(json.loads, done.stdout.splitlines())
    assert ready["calls"] == ["masks"] and ready["objects"] == 3 and answer["seconds"] > 0, done.stderr


def test_judges_answer():
    pytest.importorskip("faster_coco_eval")
    command = [sys.executable, CPU / "ours.py", "scoring", "--images", "3", "--kind", "segm"]
    asked = "pycocotools\nfaster_coco_eval\n"
    done = subprocess.run(list(map(str, command)), input=asked, capture_output=True, text=True)
    ready, *answers = map(json.loads, done.stdout.splitlines())
    assert ready["calls"] == asked.split() and ready["results"] == 150 and len(answers) == 2, done.stderr
    assert 0 <= ready["figures_apart"] < 1e-12


@pytest.mark.parametrize("frame", ["box", "canvas"])
def test_reading_answers(frame):
    command = [sys.executable, CPU / "ours.py", "reading", "--images", "4", "--batch", "2", "--frame", frame]
    done = subprocess.run(list(map(str, command)), input="reading\n", capture_output=True, text=True)
    ready, answer = map(json.loads, done.stdout.splitlines())
    assert ready["images"] == 4 and answer["seconds"] > 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "what, calls",
    [("inference", ["inference"]), ("detections", ["detections"]), ("training", ["step"]), ("peak", ["convolution"])],
)
def test_our_networks_answer(what, calls):
    command = [sys.executable, CPU / "ours.py", what, "--height", "64", "--width", "96"]
    done = subprocess.run(list(map(str, command)), input=f"{calls[0]}\n", capture_output=True, text=True)
    ready, answer = map(json.loads, done.stdout.splitlines())
    assert ready["calls"] == calls and answer["seconds"] > 0, done.stderr
    assert what not in ("inference", "detections") or ready["objects"] == [100] and ready["gflop"] > 100
    assert what != "training" or ready["losses"]["loss"] == pytest.approx(sum(ready["losses"].values()) / 2, abs=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("work, axis", [("detections", "megapixels"), ("training step", "objects")])
def test_what_grows_answers(work, axis):
    rows = tables.TABLES["scale"].rows(tables.Peers(), pathlib.Path())
    (one,) = next(row for row in rows if row.name.startswith(f"{work}, {axis}: ")).contestants
    command = [*map(str, one.command), "--height", "64", "--width", "96", "--classes", "3", "--objects", "4"]
    done = subprocess.run(command, input=f"{work}\n", capture_output=True, text=True)
    ready, answer = map(json.loads, done.stdout.splitlines())
    assert ready["calls"] == [work] and answer["seconds"] > 0, done.stderr
    assert (ready["work"], ready["axis"], ready["value"]) == (work, axis, {"megapixels": 0.006144, "objects": 4}[axis])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_onnx_files_answer(tmp_path, dtype):
    pytest.importorskip("onnxruntime")
    rows = {row.name: row for row in tables.TABLES["runtimes"].rows(tables.Peers(), tmp_path)}
    row = rows["480 x 640, batch 1"]
    (path,) = (path for path in row.files if dtype in path.name)
    subprocess.run(list(map(str, row.files[path])), check=True)
    (command,) = (one.command for one in row.contestants if one.name == f"ONNX Runtime {dtype}")
    done = subprocess.run(list(map(str, command)), input="detections\n", capture_output=True, text=True)
    ready, answer = map(json.loads, done.stdout.splitlines())
    assert ready["objects"] == [100] and answer["seconds"] > 0, done.stderr


@pytest.mark.slow
def test_all_ways_to_predict_answer():
    command = [sys.executable, CPU / "ours.py", "ways", "--height", "64", "--width", "96"]
    calls = ["function", "predict, array", "predict_results", "SavedModel", "losses, evaluate"]
    done = subprocess.run(list(map(str, command)), input="\n".join(calls), capture_output=True, text=True)
    ready, *answers = map(json.loads, done.stdout.splitlines())
    assert set(calls) < set(ready["calls"]) and len(answers) == len(calls), done.stderr


def test_work_is_that_of_tensorflows_own_profiler():
    """Forward passes, whose count TensorFlow's profiler has; of gradients it counts nothing."""
    model = tiny_model().with_kernels("xla")
    function = tf.function(lambda image, shape: model({"image": image, "image_shape": shape}), autograph=False)
    specs = tf.TensorSpec((1, 64, 96, 3)), tf.TensorSpec((1, 2), tf.int32)
    graph = function.get_concrete_function(*specs).graph
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder.float_operation()
    options["output"], options["account_type_regexes"] = "none", ["Conv2D|MatMul|BatchMatMul.*"]
    found = profiler.profile(graph, options=options)
    assert work.gflop(graph) == pytest.approx(found.total_float_ops / 1e9, rel=0.02)


def test_work_of_gradients_and_sums_of_products():
    kernel = tf.Variable(tf.ones((3, 3, 4, 8)))

    @tf.function
    def gradients(image, rows):
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = tf.reduce_sum(tf.nn.conv2d(image, kernel, 2, "SAME"))
        return tape.gradient(loss, [image, kernel]), tf.einsum("nk,nmk->nm", rows[:, 0], rows)

    graph = gradients.get_concrete_function(tf.TensorSpec((2, 10, 6, 4)), tf.TensorSpec((5, 7, 11))).graph
    forward = 2 * (2 * 5 * 3 * 8) * 3 * 3 * 4
    assert work.gflop(graph) * 1e9 == 3 * forward + 2 * 5 * 7 * 11
    unknown = gradients.get_concrete_function(tf.TensorSpec((2, None, 6, 4)), tf.TensorSpec((5, 7, 11))).graph
    with pytest.raises(ValueError, match="allowed: constant shapes"):
        work.gflop(unknown)


def lines(**seconds):
    common = {
        "table": "inference",
        "row": "small",
        "call": "inference",
        "load": [0.5, 1.5],
        "peak_mb": 1500,
    } | machine()
    return [
        common | {"contestant": name, "seconds": values, "cpu_seconds": np.multiply(values, 2).tolist()}
        for name, values in seconds.items()
    ]


def test_page_has_paired_ratios_and_the_floor(tmp_path):
    ours, theirs, peak = lines(ours=[1.0, 2.0], theirs=[3.0, 5.0], peak=[0.5, 0.5])
    ours["gflop"], peak["gflop"] = 100.0, 50.0
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in (ours | {"seconds": [9.0]}, ours, theirs, peak))
    )
    text = page.page(page.read(tmp_path), tmp_path / "plots")
    assert "| ours | 1.5 (1 to 2) | 2.0 | 1.5 GB |  |" in text  # the later line of the same contestant
    assert "| theirs | 4 (3 to 5) | 2.0 | 1.5 GB | 2.75 |" in text and "| peak |" not in text  # (3/1 + 5/2) / 2
    assert "100 GFLOP at 100 GFLOP/s: a floor of 1 s, 1.50 times of which ours takes." in text
    assert len(list((tmp_path / "plots").glob("inference_small_*.png"))) == 1 and "Load of the machine: 1.5" in text


def test_growth_has_its_law_and_a_plot(tmp_path):
    """Two seconds and three for each object, 0.5 GB and 0.01 GB; one figure in five is a tenth off."""
    made = []
    for objects in (50, 1, 10, 100, 500):
        about = {"table": "scale", "row": f"training step, objects: {objects}", "call": "training step"}
        about |= {"work": "training step", "axis": "objects", "value": objects}
        seconds = [2.0 + 3.0 * objects] * 3
        made.append(lines(ours=seconds)[0] | about | {"peak_mb": 500 + 10 * objects})
    rows = tables.TABLES["scale"].rows(tables.Peers(), tmp_path)
    assert {line["row"] for line in made} < {row.name for row in rows} and len({row.name for row in rows}) == len(rows)
    (tmp_path / "scale.jsonl").write_text("".join(json.dumps(line) + "\n" for line in made))
    text = page.page(page.read(tmp_path), tmp_path / "plots")
    assert "### Training step: labelled objects of an image" in text
    assert "| 1 | 5 (5 to 5) | 2.0 | 0.51 GB |\n| 10 | 32 (32 to 32) | 2.0 | 0.60 GB |" in text  # in their order
    assert "2 s and 3 s for each of the objects, 0% off at most." in text
    assert "0.5 GB and 0.01 GB for each of the objects, 0% off at most." in text
    assert len(list((tmp_path / "plots").glob("scale_training_step_objects_*.png"))) == 1
    start, slope, off = growth.law([0, 0, 1, 1], [1, 3, 2, 6])  # y times 1/3 too much and as little, wherever it is
    assert (start, slope, off) == pytest.approx((1.2, 1.2, 0.6))


def test_kept_page_is_made_of_the_kept_figures(tmp_path):
    kept = page.page(page.read(CPU / "figures"), tmp_path / "performance")
    assert (ROOT / "docs" / "performance.md").read_text() == kept
    plots = {path.name for path in (ROOT / "docs" / "performance").iterdir()}
    assert plots == {path.name for path in (tmp_path / "performance").iterdir()}
