"""Damaged and hostile XML of CVAT and Pascal VOC: a COCO file that passes the gate, or one line; nothing takes long."""

import copy
from xml.etree import ElementTree

import numpy as np
import pytest
from converting import photo, write
from damaging import MUTATIONS, scratched, survives

XML = """<annotations><version>1.1</version><meta><labels><label><name>dog</name></label></labels></meta>
<image id="0" name="a.png" width="20" height="15"><polygon label="dog" points="2,3;10,3;10,9;2,9" group_id="1"/>
<box label="dog" xtl="1" ytl="2" xbr="9" ybr="9" rotation="3"/>
<mask label="dog" rle="0,4" left="1" top="1" width="2" height="2"/>
<skeleton label="fish"><points label="a" outside="0" occluded="0" points="1,2"/></skeleton></image></annotations>"""
VIDEO = """<annotations><version>1.1</version><meta><project><tasks><task><size>3</size><mode>interpolation</mode>
<subset>Train</subset><start_frame>0</start_frame><stop_frame>2</stop_frame><frame_filter>step=1</frame_filter>
<original_size><width>20</width><height>15</height></original_size></task></tasks></project></meta>
<track id="0" label="dog" subset="Train" group_id="1"><box frame="0" keyframe="1" outside="0" xtl="1" ytl="2" xbr="9"
ybr="9"/><box frame="2" keyframe="0" outside="1" xtl="1" ytl="2" xbr="9" ybr="9"/></track>
<track id="1" label="fish" subset="Train"><skeleton frame="0" keyframe="1"><points label="a" keyframe="1" outside="0"
occluded="0" points="1,2"/><points label="b" outside="0" points="5,9"/></skeleton></track>
<track id="2" label="dog" subset="Train"><mask frame="1" keyframe="1" outside="0" rle="0,4" left="1" top="1" width="2"
height="2"/></track></annotations>"""
VOC = """<annotation><filename>a.png</filename><size><width>20</width><height>15</height></size><object><name>dog</name>
<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>10</xmax><ymax>9</ymax></bndbox></object></annotation>"""
KINDS = [("cvat", XML), ("cvat", VIDEO), ("voc", VOC)]
ODD_TEXTS = ["", "-1", "nan", "1e308", "x", "9" * 5000, "1,2;3", "1,2", "0,inf", "🙂", "../../x", "0", "annotation"]


def torn(text, random):
    """XML with attributes, texts and elements replaced, taken away or doubled; it stays XML."""
    root = ElementTree.fromstring(text)
    for _ in range(random.integers(1, 4)):
        parents = list(root.iter())
        parent = parents[random.integers(len(parents))]
        odd, choice = ODD_TEXTS[random.integers(len(ODD_TEXTS))], random.integers(8)
        if choice < 5 and parent.attrib:
            name = sorted(parent.attrib)[random.integers(len(parent.attrib))]
            parent.attrib.pop(name) if choice == 0 else parent.set(name, odd)
        elif choice == 5 and len(parent):
            parent.remove(parent[random.integers(len(parent))])
        elif choice == 6 and len(parent):
            parent.append(copy.deepcopy(parent[random.integers(len(parent))]))
        elif not len(parent):
            parent.text = odd
    return ElementTree.tostring(root)


@pytest.fixture
def folder(tmp_path):
    photo(tmp_path / "a.png")
    for number in range(3):
        photo(tmp_path / f"Train/frame_{number:06}.png")
    return tmp_path


@pytest.mark.parametrize("kind, text", KINDS, ids=range(len(KINDS)))
def test_bytes(folder, kind, text):
    random, outcomes = np.random.default_rng(11), []
    for _ in range(2 * MUTATIONS):
        write(folder / "f.xml", scratched(text.encode(), random))
        outcomes.append(survives(kind, folder))
    assert "read" in outcomes


@pytest.mark.parametrize("kind, text", KINDS, ids=range(len(KINDS)))
def test_elements(folder, kind, text):
    random, outcomes = np.random.default_rng(17), []
    for _ in range(MUTATIONS):
        write(folder / "f.xml", torn(text, random))
        outcomes.append(survives(kind, folder))
    assert "read" in outcomes


def test_a_video_with_numbers_that_are_huge(folder):
    """Frames are looked up among the images that are there: nothing is counted through."""
    huge = VIDEO.replace("<size>3<", "<size>999999999999<").replace("step=1", "step=999999999")
    huge = huge.replace('frame="2"', 'frame="999999999999"').replace('outside="1"', 'outside="0"')
    write(folder / "f.xml", huge)
    assert survives("cvat", folder) == "read"
    task = huge[huge.index("<task>") : huge.index("</tasks>")]
    write(folder / "f.xml", huge.replace(task, task * 2000))
    assert survives("cvat", folder) == "read"
