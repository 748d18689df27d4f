"""Files against the checksums in their names; digests of "abc" are those of FIPS 180-2 and RFC 1321."""

import pytest

from mask_rcnn_tf.weights.checksums import compared

SHA256, MD5 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "900150983cd24fb0d6963f7d28e17f72"


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        (f"maskrcnn_resnet50_fpn_coco-{SHA256[:8]}.pth", f"SHA-256 begins with {SHA256[:8]}, as its name says"),
        (f"mine-{SHA256}.pth", f"SHA-256 begins with {SHA256}, as its name says"),
        (f"model_final_{MD5[:6]}.pkl", f"MD5 begins with {MD5[:6]}, as its name says"),
        ("resnet50-0676ba61.pth", f"SHA-256 begins with {SHA256[:8]}, its name says 0676ba61: it is not the file"),
        ("model_final_f10217.pkl", f"MD5 begins with {MD5[:6]}, its name says f10217: it is not the file"),
    ],
)
def test_names_with_a_checksum(tmp_path, name, begins):
    (tmp_path / name).write_bytes(b"abc")
    line = compared(tmp_path / name)
    assert line.startswith(f"the file's {begins}") and "\n" not in line


@pytest.mark.parametrize(
    "name", ["m.pth", "model-final.pth", "epoch-12.pth", "resnet50-0676ba6.pth", "model_final.pkl", "R-50.pkl"]
)
def test_names_without(tmp_path, name):
    (tmp_path / name).write_bytes(b"abc")
    assert compared(tmp_path / name) == ""
