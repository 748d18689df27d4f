"""Command lines of tools that end in one line, for mistakes that people make; tools/test_mistakes.py runs them."""

EVALUATE = "evaluate --model=m.keras --annotations=a.json --images=images --output=out.json"
PREDICT = "predict --model=m.keras --input=images --output=out"
EXPORT = "export --model=m.keras --format=saved_model --images=images --output=new"
TRAIN = "train --config=mask_rcnn_small --model_dir=run --config.data.train_annotations=a.json"
TRAIN += " --config.data.train_images=images --config.data.val_annotations=a.json --config.data.val_images=images"
TRAIN += " --config.data.data_dir=data"
IMPORT = "import_weights --from=torchvision --checkpoint=weights.pth --output=new.keras"
COMPARE = "compare_exports --a=m.keras --b=m.keras --images=images"
RESULTS = "compare_results --results=results.json --reference=results.json"
CHECK = "check_data --annotations=a.json --images=images"
BENCHMARK = "benchmark --config=mask_rcnn_shapes --height=64 --width=64 --runs=1"
MODELS = ("none.keras", "images", "empty.keras", "text.keras", "weights.pth", "a.json")
JSONS = ("none.json", "images", "empty.json", "text.json", "list.json", "other.json", "number.json", "deep.json")
JSONS += ("digits.json", "m.keras")

DISTILL = "distill --model=m.keras --images=images --labelled=a.json --output=new_labels.json"
PROPOSE = "write_proposals --model=m.keras --annotations=a.json --images=images --output=new.npz"
CITY = "convert_cityscapes --root=nothing --output=new_city.json"
TABLE = "experiments --table=mask_head --output=new_tables"
FOUR = TRAIN.replace("train ", "train_four_steps ", 1)


def with_flag(line, flag, value):
    return " ".join([part for part in line.split() if not part.startswith(f"--{flag}=")] + [f"--{flag}={value}"])


SPLIT = "split --annotations=a.json --output=new_parts"
CONVERT = "convert --from=labelme --input=images --output=new_annotations.json"

VIDEO = "predict_video --model=m.keras --input=none.mp4 --output=new.mp4"

SUGGEST = "suggest --annotations=a.json --output=new_preset.py"
FOLDS = "train_folds --config=mask_rcnn_small --folds=none --images=images --model_dir=new_folds"
RASTER = "predict_raster --model=m.keras --input=none.tif --output=new.geojson --tile=64 --overlap=16"

MISTAKES = [  # command line, exit status, words of the message
    (SPLIT, 1, "2 parts of 1 image files; allowed: 2 to 1000, and at most one a file"),
    (SPLIT + " --folds=1", 1, "folds is 1; allowed: 2 or more"),
    (SPLIT + " --folds=2 --val_share=0.5", 1, "val_share and folds are given; allowed: one of them"),
    (SPLIT + " --val_share=0", 1, "val_share is 0.0; allowed: above 0 and below 1"),
    (with_flag(SPLIT, "output", "a.json"), 1, "annotations and output are one place"),
    *((with_flag(SPLIT, "annotations", path), 1, path) for path in JSONS),
    (CONVERT + " --split=train", 1, "split is 'train', and from is 'labelme'; allowed with it: cvat, voc, yolo"),
    (with_flag(CONVERT, "from", "coco"), 1, "annotations is 'images'; there is no such file"),
    (with_flag(CONVERT, "to", "yolov9"), 2, "to"),
    (
        CONVERT,
        1,
        "no images of 'images' were found that can be used: left out: 1 x image without a JSON file of LabelMe",
    ),
    (with_flag(CONVERT, "from", "labelmi"), 2, "from"),
    (with_flag(CONVERT, "input", "none"), 1, "input is 'none'; there is no such file or folder"),
    (with_flag(CONVERT, "input", "a.json"), 1, "images is 'a.json'; there is no such folder"),
    (CONVERT + " --images=none", 1, "images is 'none'; there is no such folder"),
    (with_flag(CONVERT, "output", "full"), 1, "full"),
    (with_flag(CONVERT, "output", "images"), 1, "input and output are one place"),
    (PREDICT + " --classes=ball,owl", 1, "classes has 'owl'; allowed: a name or number of 1 ball, 2 box, 3 star"),
    (PREDICT + " --min_score=2", 2, "min_score"),
    (VIDEO + " --every=0", 2, "every"),
    *((with_flag(SUGGEST, "annotations", path), 1, path) for path in JSONS),
    (with_flag(SUGGEST, "output", "new.json"), 1, "output is 'new.json'; allowed: a path that ends in .py"),
    (with_flag(SUGGEST, "output", "misspelt.py"), 1, "output is 'misspelt.py', which exists; allowed: a new file"),
    (with_flag(SUGGEST, "pixels", "9"), 2, "pixels"),
    (FOLDS, 1, "folds is 'none', with 0 folds; allowed: a folder of tools/split.py --folds"),
    (with_flag(FOLDS, "folds", "images"), 1, "folds is 'images', with 0 folds"),
    (RASTER, 1, "input is 'none.tif'; there is no such file"),
    (with_flag(RASTER, "input", "a.json"), 1, "input is 'a.json'; it cannot be read"),
    (
        with_flag(RASTER, "input", "images/a.png") + " --bands=1,2",
        1,
        "bands is (1, 2); allowed: 3 numbers from 1 to 3",
    ),
    (RASTER + " --bands=red", 1, "bands is red; allowed: numbers such as 1,2,3"),
    (with_flag(RASTER, "tile", "0"), 1, "tile is 0; allowed: a side in pixels"),
    (with_flag(RASTER, "overlap", "40"), 1, "overlap is 40; allowed: 0 to 32 pixels, half of the tile"),
    (PREDICT + " --tile=32", 1, "tile is 32; allowed: 64 or more pixels"),
    (EVALUATE + " --tile=64 --overlap=40", 1, "overlap is 40; allowed: 0 to 32 pixels, half of the tile"),
    (CITY, 1, "root is 'nothing'; allowed: a folder with images nothing/leftImg8bit/train/<city>/*_leftImg8bit.png"),
    (CITY + " --split=dev", 2, "split"),
    (CITY + " --results=results.json", 1, "allowed: --root, or --annotations and --results"),
    (with_flag(CITY, "output", "full"), 1, "full"),
    (
        "convert_cityscapes --annotations=a.json --results=results.json --output=new_results",
        1,
        "image 'a.png'; allowed: names that end in _leftImg8bit.png",
    ),
    (with_flag(TABLE, "table", "none"), 2, "table"),
    (TABLE + " --seeds=0", 2, "seeds"),
    (with_flag(TABLE, "output", "a.json"), 1, "a.json"),
    (with_flag(PROPOSE, "output", "a.json"), 1, "annotations and output are one place"),
    (EVALUATE + " --proposals=none.npz", 1, "proposals is 'none.npz'; allowed: '', since the model has an RPN"),
    (FOUR + " --config.model.rpn.enabled=False", 1, "one is False; allowed: both, which train in turns"),
    (TRAIN + " --config.model.rpn.enabled=False", 1, "config.data.train_proposals is ''; allowed"),
    *((with_flag(EVALUATE, "model", path), 1, path) for path in MODELS),
    *((with_flag(PREDICT, "model", path), 1, path) for path in MODELS),
    *((with_flag(EXPORT, "model", path), 1, path) for path in MODELS),
    *((f"export_weights --model={path} --output=new.safetensors", 1, path) for path in MODELS),
    *((with_flag(COMPARE, "b", path), 1, path) for path in (*MODELS, "text.tflite", "empty.tflite", "text.onnx")),
    *((with_flag(EVALUATE, "annotations", path), 1, path) for path in JSONS),
    *((with_flag(CHECK, "annotations", path), 1, path) for path in JSONS),
    *((with_flag(RESULTS, "results", path), 1, path) for path in JSONS if path != "list.json"),
    *((with_flag(RESULTS, "reference", path), 1, path) for path in JSONS if path != "list.json"),
    *((with_flag(TRAIN, "config.data.train_annotations", path), 1, path) for path in JSONS),
    *((with_flag(IMPORT, "checkpoint", path), 1, path) for path in ("none.pth", "images", "empty.pth", "text.pth")),
    (IMPORT, 1, "weights.pth"),
    (with_flag(IMPORT, "checkpoint", "m.keras"), 1, "m.keras"),
    (with_flag(EVALUATE, "annotations", "more.json"), 1, "91"),
    (with_flag(EVALUATE, "images", "none"), 1, "none"),
    (with_flag(EVALUATE, "images", "a.json"), 1, "a.json"),
    (with_flag(PREDICT, "input", "none/*.jpg"), 1, "none/*.jpg"),
    (with_flag(PREDICT, "input", "nothing"), 1, "nothing"),
    (with_flag(CHECK, "images", "none"), 1, "none"),
    (with_flag(COMPARE, "images", "nothing"), 1, "nothing"),
    (with_flag(COMPARE, "annotations", "text.json"), 1, "text.json"),
    (with_flag(EXPORT, "images", "nothing"), 1, "nothing"),
    (with_flag(EXPORT, "images", "none"), 1, "none"),
    (with_flag(EXPORT, "output", "full"), 1, "full"),
    (with_flag(EXPORT, "output", "a.json/new"), 1, "a.json"),
    (with_flag(EXPORT, "format", "pickle"), 2, "pickle"),
    (EXPORT + " --batch=2", 1, "batch"),
    (EXPORT + " --limit=0", 2, "limit"),
    (with_flag(EXPORT, "format", "tflite") + " --canvas=96", 1, "canvas"),
    (with_flag(EXPORT, "format", "tflite") + " --canvas=96,abc", 1, "canvas"),
    (with_flag(EXPORT, "model", "boxes.keras") + " --pasted", 1, "pasted"),
    (with_flag(EVALUATE, "output", "/proc/none/out.json"), 1, "/proc/none"),
    ("write_shapes --output=full", 1, "full"),
    ("write_shapes --output=a.json", 1, "a.json"),
    ("write_shapes --output=new_shapes --count=0", 1, "count"),
    ("write_shapes --output=new_shapes --count=many", 2, "count"),
    ("write_shapes --output=new_shapes --split=test", 2, "split"),
    *((with_flag(DISTILL, "labelled", path), 1, path) for path in JSONS),
    (with_flag(DISTILL, "model", "none.keras"), 1, "none.keras"),
    (with_flag(DISTILL, "images", "nothing"), 1, "nothing"),
    (with_flag(DISTILL, "output", "a.json/new.json"), 1, "a.json"),
    (DISTILL + " --together=new.json", 1, "labelled_images"),
    (DISTILL + " --short_sides=96,big", 1, "short_sides"),
    (EVALUATE + " --short_sides=0", 1, "short_sides"),
    ("data_cache --data_dir=none", 1, "none"),
    ("data_cache --data_dir=a.json", 1, "a.json"),
    ("data_cache --data_dir=nothing --remove=everything", 1, "everything"),
    ("export_weights --model=m.keras --output=a.json/new.safetensors", 1, "a.json"),
    ("export_weights --model=m.keras --output=full", 1, "full"),
    (with_flag(IMPORT, "output", "new.h5"), 1, ".keras"),
    (with_flag(IMPORT, "output", "a.json/new.keras"), 1, "a.json"),
    (with_flag(IMPORT, "from", "caffe"), 2, "caffe"),
    (IMPORT + " --anchor_sizes=big", 2, "anchor_sizes"),
    (IMPORT + " --norm_epsilon=tiny", 2, "norm_epsilon"),
    (with_flag(TRAIN, "config", "mask_rcnn_smal"), 2, "mask_rcnn_smal"),
    *((with_flag(TRAIN, "config", name), 2, name) for name in ("syntax.py", "raises.py", "imports.py", "other.py")),
    *((with_flag(TRAIN, "config", name), 2, name) for name in ("misspelt.py", "without.py", "empty.py", "none.py")),
    (TRAIN + " --config.train.steps=-5", 2, "steps"),
    (TRAIN + " --config.train.steps=1e3", 2, "steps"),
    (TRAIN + " --config.train.stepps=5", 2, " Did you mean 'steps'?"),
    (TRAIN + " --config.train.decay_steps=(5,3)", 2, "decay_steps"),
    (TRAIN + f" --config.train.steps={'9' * 40}", 2, "steps"),
    (TRAIN + f" --config.model.seed={2**63}", 2, "seed"),
    (TRAIN + " --config.train.init_from=text.keras", 1, "text.keras"),
    (TRAIN + " --config.train.init_from=none.keras", 1, "none.keras"),
    (with_flag(TRAIN, "model_dir", "a.json"), 1, "a.json"),
    (with_flag(TRAIN, "config.data.train_images", "none"), 1, "none"),
    (with_flag(TRAIN, "config.data.train_images", "nothing"), 1, "image"),
    (with_flag(TRAIN, "config.data.data_dir", "a.json"), 1, "a.json"),
    (TRAIN + " --unknown=1", 2, "unknown"),
    (TRAIN + " stray", 2, "stray"),
    ("train --config=mask_rcnn_small", 2, "model_dir"),
    ("predict --model=m.keras", 2, "output"),
    ("predict --model=m.keras --output=out", 1, "input"),
    (PREDICT + " --score_threshold=high", 2, "score_threshold"),
    (EVALUATE + " --max_dets=1,many", 1, "max_dets"),
    (EVALUATE + " --max_dets=100,1", 1, "max_dets"),
    (EVALUATE + " --keypoint_sigmas=a", 1, "a"),
    (with_flag(EVALUATE, "output", "images"), 1, "images"),
    (with_flag(EVALUATE, "output", "a.json/new.json"), 1, "a.json"),
    (with_flag(PREDICT, "output", "a.json"), 1, "a.json"),
    (with_flag(CHECK, "output", "a.json"), 1, "a.json"),
    (CHECK + " --max_gt=0", 2, "max_gt"),
    (CHECK + " --config=mask_rcnn_shapes", 1, "config is given without pictures"),
    (CHECK + " --config=mask_rcnn_shapes --output=drawn --config.data.crop=2", 2, "config.data.crop is 2"),
    (CHECK + " --config.data.crop=0.5 --output=drawn", 2, "--config is missing"),
    (with_flag(COMPARE, "output", "full"), 1, "full"),
    (BENCHMARK + " --weights=m.keras", 1, "m.keras"),
    (BENCHMARK + " --weights=text.keras", 1, "text.keras"),
    (BENCHMARK + " --weights=text.json", 1, "text.json"),
    (BENCHMARK + " --output=full", 1, "full"),
    (BENCHMARK + " --runs=0", 2, "runs"),
    (with_flag(BENCHMARK, "height", "16"), 2, "height"),
    (RESULTS + " --paste=best", 2, "paste"),
    (RESULTS + " --box_tolerance=-1", 2, "box_tolerance"),
    (RESULTS + " --score_tolerance=nan", 2, "score_tolerance is nan"),
    (RESULTS + " --mask_iou=2", 2, "mask_iou"),
    (RESULTS + " --max_detections=0", 2, "max_detections"),
    (PREDICT + " --score_threshold=-1", 2, "score_threshold"),
    (PREDICT + " --max_megapixels=nan", 2, "max_megapixels is nan"),
    (with_flag(TRAIN, "model_dir", ""), 2, "model_dir is ''"),
    (with_flag(TRAIN, "model_dir", "loop"), 1, "loop"),
    (with_flag(TRAIN, "config.data.train_images", "loop"), 1, "loop"),
    (with_flag(EVALUATE, "output", ""), 2, "output is ''"),
    # What is to be written is read too, and would be lost.
    (with_flag(EVALUATE, "output", "./a.json"), 1, "annotations and output are one place"),
    (with_flag(EVALUATE, "output", "linked.json"), 1, "annotations and output are one place"),
    (with_flag(EVALUATE, "output", "m.keras"), 1, "model and output are one place"),
    (EVALUATE + " --results=out.json", 1, "output and results are one place"),
    (with_flag(COMPARE, "output", "m.keras"), 1, "a and b and output are one place"),
    (BENCHMARK + " --weights=m.keras --output=m.keras", 1, "weights and output are one place"),
    (CHECK + " --output=images/", 1, "images and output are one place"),
    (CHECK + " --usable=a.json", 1, "annotations and usable are one place"),
    (with_flag(PREDICT, "output", "images"), 1, "input and output are one place"),
    ("export_weights --model=m.keras --output=m.keras", 1, "model and output are one place"),
    (RESULTS + " --box_tolerance=near", 2, "box_tolerance"),
]
