"""Finds objects on a map or another large raster, tile by tile, and writes where they are as GeoJSON.

python tools/predict_raster.py --model m.keras --input orthophoto.tif --output found.geojson --tile 512 --overlap 64

Only a tile is in memory at a time. Coordinates are longitude and latitude, or pixels where the file has none.
"""

import pathlib

from absl import flags

import mask_rcnn_tf
from mask_rcnn_tf.coco import results as coco_results
from mask_rcnn_tf.evaluation import files, rasters, tiles
from mask_rcnn_tf.training.flags import check_output, define_tiling, run

MODEL = flags.DEFINE_string("model", None, "Saved model (.keras), or a run's folder.", required=True)
INPUT = flags.DEFINE_string("input", None, "A raster that GDAL reads, of 8 or 16 bits.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Where to write the GeoJSON.", required=True)
BANDS = flags.DEFINE_list(
    "bands", [], "Numbers, from 1, of the model's channels, as red, green, blue; none: the first ones."
)
MIN_SCORE = flags.DEFINE_float("min_score", 0.5, "Lowest score of what is written.", 0, 1)
RESULTS = flags.DEFINE_string("results", "", "Where to write COCO results of image 1 (JSON) too, if anywhere.")
TILING = define_tiling()


def main(_):
    """Predicts."""
    tiling = TILING()
    if tiling is None:
        raise ValueError("tile is 0; allowed: a side in pixels, as images of the training were.")
    if not all(band.strip().isdigit() for band in BANDS.value):
        raise ValueError(f"bands is {','.join(BANDS.value)}; allowed: numbers such as 1,2,3.")
    for path in filter(None, (OUTPUT.value, RESULTS.value)):
        check_output(path)
    model = files.load_model(MODEL.value)
    config, predict = model.config, mask_rcnn_tf.make_predictor(model)
    ids, bands = coco_results.category_ids(config), [int(band) for band in BANDS.value]
    with rasters.Raster(INPUT.value, bands, config.preprocess.pixels) as raster:
        found = tiles.predict_tiles(predict, raster, tiling, config.detection, verbose=1)
        found = [piece for piece in found if piece.score >= MIN_SCORE.value]
        rasters.write_geojson(pathlib.Path(OUTPUT.value), raster, found, ids, config.class_names)
        if RESULTS.value:
            coco_results.write_json(tiles.to_results(found, 1, raster.shape[:2], ids), RESULTS.value)
    print(f"{len(found)} objects: {OUTPUT.value}")


if __name__ == "__main__":
    run(main)
