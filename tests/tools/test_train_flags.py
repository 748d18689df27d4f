"""The command line of the tools that take `--config`."""

import pathlib
import subprocess
import sys

import pytest
from absl import flags

from mask_rcnn_tf.training import flags as tool_flags

REPOSITORY = pathlib.Path(__file__).parents[2]


def parse(monkeypatch, *arguments, config_required=True):
    argv = ["train.py", *arguments]
    monkeypatch.setattr(sys, "argv", argv)
    values = flags.FlagValues()
    holder = tool_flags.define_config(values)
    flags.DEFINE_string("model_dir", None, "folder", flag_values=values)
    tool_flags.parse(argv, values, config_required)
    return holder.value if values["config"].present else None


def test_preset_with_overrides_of_every_kind(monkeypatch):
    config = parse(
        monkeypatch,
        "--config",
        "mask_rcnn_r50_fpn",
        "--model_dir=runs/x",
        "--config.train.learning_rate=1e-4",
        "--config.train.steps=7",
        "--config.train.decay_steps=(3, 5)",
        "--config.data.canvases=((512, 512), (256, 512))",
        "--config.data.train_short_sides=(512,)",
        "--config.data.cache",
        "--config.data.flip_horizontal=false",
        "--noconfig.data.skip_empty",
        "--config.model.mask_head.norm=group_norm",
        "--config.model.class_names=()",
    )
    assert config.name == "mask_rcnn_r50_fpn"
    assert (config.train.learning_rate, config.train.steps, config.train.decay_steps) == (1e-4, 7, (3, 5))
    assert config.data.canvases == ((512, 512), (256, 512))
    assert config.data.train_short_sides == (512,)
    assert (config.data.cache, config.data.flip_horizontal, config.data.skip_empty) == (True, False, False)
    assert config.model.mask_head.norm == "group_norm"
    assert config.model.class_names == ()


def test_file_and_equals_sign(monkeypatch, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from mask_rcnn_tf.config import Config\n\n\ndef get_config():\n    return Config(name='mine')\n")
    config = parse(monkeypatch, f"--config={path}", "--config.train.batch_size=2")
    assert (config.name, config.train.batch_size) == ("mine", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config is missing; allowed: .*mask_rcnn_r50_fpn"),
        (["--config=nothing"], "config is 'nothing'; allowed: .*mask_rcnn_r50_fpn"),
        (["--config=gone.py"], "there is no such file"),
        (
            ["--config=PRESET", "--config.train.learnin_rate=1"],
            "config.train has no key 'learnin_rate'; known: .*learning_r",
        ),
        (["--config=PRESET", "--config.train.steps.more=1"], "config.train.steps has no key 'more'; known: none"),
        (["--config=PRESET", "--config.train=1"], "config.train is a section; .*: .*batch_size"),
        (["--config=PRESET", "--config.train.steps=many"], "config.train.steps=many"),
        (["--config=PRESET", "--config.train.batch_size=0"], "config.train.batch_size is 0; allowed: a number above 0"),
        (
            ["--config=PRESET", "--config.train.decay_steps=('a',)"],
            r"decay_steps is \('a',\); allowed: tuple\[int, ...\]",
        ),
        (["--config=PRESET", "--config.data.canvases=(512, 512)"], r"canvases is \(512, 512\); allowed: tuple\[tuple"),
        (["--config=PRESET", "--model_dri=x"], "model_dri"),
        (["--config=PRESET", "runs/x"], r"arguments are \['runs/x'\]; allowed: flags only"),
    ],
)
def test_errors_are_one_line(monkeypatch, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        parse(monkeypatch, *[argument.replace("PRESET", "mask_rcnn_r50_fpn") for argument in arguments])
    assert "\n" not in str(error.value)


def test_config_can_be_optional_but_not_its_name_alone(monkeypatch):
    assert parse(monkeypatch, "--model_dir=x", config_required=False) is None
    assert parse(monkeypatch, "--config=mask_rcnn_r50_fpn", config_required=False).name == "mask_rcnn_r50_fpn"
    with pytest.raises(ValueError, match="--config is missing"):
        parse(monkeypatch, "--config.train.steps=1", config_required=False)


def test_tool_prints_no_traceback():
    command = [sys.executable, "tools/train.py", "--config=mask_rcnn_r50_fpn", "--config.train.lr=1", "--model_dir=x"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "config.train has no key 'lr'; known: accumulation_steps, adam_beta_2" in done.stderr
    assert "Traceback" not in done.stderr
