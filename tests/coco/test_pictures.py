"""The one rule of EXIF orientation, and what a person is told of a set of images."""

import numpy as np
import pytest
from PIL import Image

from mask_rcnn_tf.coco import pictures
from mask_rcnn_tf.coco.errors import Rejected, printable
from mask_rcnn_tf.ops import stored_images
from mask_rcnn_tf.pixels import PixelKind

PIXELS = np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8)


def write(path, orientation=1, pixels=PIXELS):
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=tags)
    return path


@pytest.mark.parametrize(
    ("orientation", "shape", "wanted", "case"),
    [
        (1, (15, 20), 1, ""),
        (3, (15, 20), 3, pictures.EITHER),
        (2, (15, 20), 2, pictures.EITHER),
        (6, (20, 15), 6, pictures.TURNED),  # the annotator saw the image upright
        (6, (15, 20), 1, pictures.AS_STORED),  # the tool wrote the stored size
        (8, None, 8, pictures.TURNED),
        (1, None, 1, ""),
    ],
)
def test_the_rule(tmp_path, orientation, shape, wanted, case):
    path = write(tmp_path / "a.png", orientation)
    stored = stored_images.inspect(path.read_bytes())
    assert pictures.orientation_for(stored, shape) == (wanted, case)
    image, facts = pictures.read_pixels(path, shape)
    turns = {1: PIXELS, 2: PIXELS[:, ::-1], 3: PIXELS[::-1, ::-1], 6: np.rot90(PIXELS, -1), 8: np.rot90(PIXELS)}
    np.testing.assert_array_equal(image, turns[wanted])
    assert facts == ({case: 1} if case else {})
    if shape:
        picture = pictures.read_picture(path, shape)
        assert (picture.orientation, picture.facts) == (wanted, facts)


def test_other_sizes(tmp_path):
    path = write(tmp_path / "a.png")
    with pytest.raises(ValueError, match="has 15 x 20 pixels .h x w., the annotations say 20 x 15; swapped sides"):
        pictures.read_pixels(path, (20, 15))
    with pytest.raises(Rejected, match="20 x 15 stored, 15 x 20 in the annotations .width x height.; probably EXIF"):
        pictures.read_picture(path, (20, 15))
    with pytest.raises(ValueError, match=r"the annotations say 9 x 9\.$"):
        pictures.read_pixels(path, (9, 9))
    square = write(tmp_path / "b.png", 6, PIXELS[:, :15])
    assert pictures.read_picture(square, (15, 15)).facts == {pictures.EITHER: 1}


def deep(highest):
    stored = stored_images.StoredImage(b"", "PNG", (9, 9), 1, 1, True, False)
    return pictures.facts_of(stored, "", highest)


def test_what_is_told():
    facts = {}
    for more in ({pictures.EITHER: 1}, deep(3900), {pictures.AS_STORED: 1}):
        pictures.add_facts(facts, more)
    pictures.add_facts(facts, deep(700) | {pictures.PAGES: 1})
    either, stored, pages, levels = pictures.fact_lines(facts)
    assert either.startswith("1 images have an EXIF orientation that fits the annotated size turned and as stored:")
    assert stored.startswith("1 images have an EXIF orientation that is not applied") and "several pages" in pages
    assert levels.startswith("2 of 2 images of 16 bits have levels up to 3900 only: white at 65535")
    assert levels.endswith("set config.model.preprocess.white_level=4095")
    assert len(pictures.fact_lines(facts, PixelKind(white_level=4095))) == 3  # as proposed
    pictures.add_facts(facts, deep(60000))  # one that uses its range hides none that does not
    assert "2 of 3 images of 16 bits have levels up to 3900 only" in pictures.fact_lines(facts)[-1]
    assert pictures.fact_lines(facts, PixelKind(white_level=1023))[-1].endswith("white_level=1023 become white")
    assert pictures.fact_lines(deep(60000)) == [] == pictures.fact_lines({})


def test_a_name_that_is_no_line(tmp_path):
    path = tmp_path / "a\n\x1b[31mb.png"
    for read in (pictures.read_pixels, lambda path: pictures.read_picture(path, (15, 20))):
        with pytest.raises((ValueError, Rejected), match="there is no such file") as error:
            read(path)
        assert r"a\n\x1b[31mb.png" in str(error.value) and str(error.value).isprintable()
    assert printable("x" * 5000, 100) == "x" * 50 + "..." + "x" * 50


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ([(5, 16)] * 3, PixelKind(5, 16)),
        ([(6, 8), *[(5, 16)] * 3, (3, 8)], PixelKind(5, 16)),  # one is damaged, one a picture: they decide nothing
        ([(3, 8), (3, 8), (5, 16)], PixelKind()),
        ([(1, 16)] * 3, PixelKind(1, 16)),
        ([(1, 16)] * 3 + [(3, 8)], PixelKind()),  # all can be read as RGB
        ([], PixelKind()),
    ],
)
def test_kind_of_files_that_are_not_alike(tmp_path, kinds, wanted):
    paths = [tmp_path / "missing.png"]
    for number, (channels, bits) in enumerate(kinds):
        paths.append(tmp_path / f"{number}.npy")
        np.save(paths[-1], np.zeros((4, 6, channels), f"uint{bits}"))
    assert pictures.common_kind(paths) == wanted
