"""Label Studio's export as JSON, which several tests make; brushes are packed bit by bit."""

import numpy as np

SIZE = {"original_width": 80, "original_height": 60, "image_rotation": 0}


def region(kind, labels, **value):
    head = {"id": "Dx_aB91ISN", "from_name": "tag", "to_name": "img", "type": kind, "origin": "manual"}
    return SIZE | head | {"value": value | {kind: labels}}


def task(image, *regions, number=1, **annotation):
    done = {"id": 7, "result": list(regions), "was_cancelled": False, "ground_truth": False} | annotation
    return {"id": number, "data": {"image": image, "note": "x"}, "annotations": [done], "predictions": []}


def packed(channels, sizes=(3, 4, 8, 16)):
    """thi.ng/rle-pack of uint8 values: runs where a value repeats, else blocks of single values."""
    bits, values, place = f"{len(channels):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes), channels, 0
    while place < len(values):
        length = 1
        while place + length < len(values) and values[place + length] == values[place] and length < 2 ** sizes[3]:
            length += 1
        if length == 1:  # a block of two single values where there are two
            block = values[place : place + 2]
            bits += "000" + f"{len(block) - 1:0{sizes[0]}b}" + "".join(f"{value:08b}" for value in block)
            place += len(block)
            continue
        index = next(number for number, size in enumerate(sizes) if length <= 2**size)
        bits += f"1{index:02b}" + f"{length - 1:0{sizes[index]}b}" + f"{values[place]:08b}"
        place += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


def brushed(array):
    """Four channels of a mask as Label Studio paints it: a colour, and how opaque."""
    rgba = np.zeros((*array.shape, 4), np.uint8)
    rgba[array] = (255, 0, 3, 100)
    return rgba.ravel().tolist()
