"""The server's files: they parse as the server's messages, and name each other rightly."""

import pathlib
import re

import pytest
from google.protobuf import text_format

FOLDER = pathlib.Path(__file__).parents[2] / "deploy" / "tf_serving"


def test_models_config():
    messages = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2", reason="not installed")
    config = text_format.Parse((FOLDER / "models.config").read_text(), messages.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("mask_rcnn", "/models/mask_rcnn", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1


def test_models_config_with_labels():
    """The lines of the comment, put in place of the policy, parse too."""
    messages = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2", reason="not installed")
    lines = (FOLDER / "models.config").read_text().splitlines()
    offered = "\n".join(
        line.strip("# ") for line in lines if re.match(r"\s*#\s+(model_version_policy|version_labels)", line)
    )
    model = text_format.Parse(offered, messages.ModelConfig())
    assert list(model.model_version_policy.specific.versions) == [1, 2]
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}


def test_batching_config():
    text = (FOLDER / "batching.config").read_text()
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    wrapped = dict(re.findall(r"(\w+) \{ value: (\d+) \}", text))
    assert set(wrapped) == {"max_batch_size", "batch_timeout_micros", "num_batch_threads", "max_enqueued_batches"}
    sizes = [int(size) for size in re.findall(r"allowed_batch_sizes: (\d+)", text)]
    assert sizes == sorted(set(sizes)) and sizes[-1] == int(wrapped["max_batch_size"])


def test_compose_mounts_what_it_passes():
    text = (FOLDER / "compose.yaml").read_text()
    mounted = dict(re.findall(r"- \./([\w.]+):(/config/[\w.]+):ro", text))
    assert set(mounted) == {"models.config", "batching.config", "monitoring.config"}
    assert all((FOLDER / name).is_file() for name in mounted)
    assert set(re.findall(r"_file=(/config/[\w.]+)", text)) == set(mounted.values())
    assert re.search(r"image: tensorflow/serving:\d+\.\d+\.\d+$", text, re.MULTILINE)
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    service = yaml.safe_load(text)["services"]["serving"]
    assert service["ports"] == ["8500:8500", "8501:8501"] and "--rest_api_port=8501" in service["command"]
