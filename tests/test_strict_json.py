"""JSON that somebody else wrote."""

import json
import os

import pytest

from mask_rcnn_tf import strict_json


@pytest.mark.parametrize(
    "text",
    ['{"a": [1, 2.5, "x", null, true]}', "[]", "3", json.dumps({"a": "ä"}), "[" * 60 + "]" * 60],
)
def test_the_same_as_python(text):
    assert strict_json.parse(text) == json.loads(text)
    assert strict_json.parse(text.encode("utf-16")) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{'a': 1}", "not JSON"),
        (b"\xff\xfe\xff", "not text"),
        (b"\x80abc", "not text"),
        ("9" * 5000, "not JSON: Exceeds the limit"),
        ("[" * 10_000 + "]" * 10_000, "nests too deep|nests deeper than 64"),
        ("[" * 65 + "]" * 65, "nests deeper than 64 levels"),
        ('{"a":' * 65 + "1" + "}" * 65, "nests deeper than 64 levels"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ValueError, match=message) as error:
        strict_json.parse(text)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 300


def test_depth_is_counted_without_recursion():
    nested = []
    for _ in range(50_000):
        nested = [nested, {"a": 1}]
    assert strict_json.depth_exceeds(nested, 1000)
    assert not strict_json.depth_exceeds([[1], {"a": [2]}], 3) and strict_json.depth_exceeds([[1], {"a": [2]}], 2)


def test_files(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text('{"1": "cat"}')
    assert strict_json.read(path, "labels") == {"1": "cat"}
    refused = {"there is no such file": tmp_path / "none", "which is not a file": tmp_path}
    os.mkfifo(tmp_path / "pipe")
    refused["pipe', which is not a file"] = tmp_path / "pipe"
    for message, wrong in refused.items():
        with pytest.raises(ValueError, match=f"^labels is .*{message}"):
            strict_json.read(wrong, "labels")
    with pytest.raises(ValueError, match=r"labels.json' of 12 bytes; allowed: at most 11\."):
        strict_json.read(path, "labels", most_bytes=11)
    with pytest.raises(ValueError, match="holds a dict; allowed: a list"):
        strict_json.read(path, "labels", list)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"^labels is '.*labels.json'; it is not JSON: .*\.$"):
        strict_json.read(path, "labels")
