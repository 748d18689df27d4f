"""The float type follows the hardware where it is left to it."""

import pathlib

import pytest
import tensorflow as tf
from tiny import tiny_model

from mask_rcnn_tf.models.dtypes import resolve_dtype


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse2 avx2 avx512f", "float32"),
        ("fpu avx512f avx512_bf16", "mixed_bfloat16"),
        ("fpu avx512f amx_bf16 amx_tile", "mixed_bfloat16"),
        (None, "float32"),
    ],
)
def test_processor_decides(monkeypatch, flags, expected):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(pathlib.Path, "exists", lambda path: flags is not None)
    monkeypatch.setattr(pathlib.Path, "read_text", lambda path: f"processor : 0\nflags : {flags}\nbugs :\n")
    assert resolve_dtype("auto") == expected


@pytest.mark.parametrize(
    ("capabilities", "expected"), [([(9, 0)], "mixed_bfloat16"), ([(8, 0), (7, 5)], "float32"), ([None], "float32")]
)
def test_gpus_decide(monkeypatch, capabilities, expected):
    details = [{"compute_capability": capability} if capability else {} for capability in capabilities]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(range(len(details))))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details[gpu])
    assert resolve_dtype("auto") == expected


def test_what_is_asked_for_is_taken():
    assert resolve_dtype("float32") == "float32"
    assert resolve_dtype("mixed_bfloat16") == "mixed_bfloat16"


def test_model_keeps_the_question_and_not_the_answer():
    """A model saved on one machine takes the type that is fast on the next."""
    model = tiny_model(dtype="auto")
    assert model.config.dtype == "auto"
    assert model.backbone.dtype_policy.name == resolve_dtype("auto")
