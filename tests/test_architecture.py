"""The house: who may import whom, how long things may be, and that public names are explained.

Each rule is a function from a source to its violations, itself tested on small sources below the project's tests.
"""

import ast
import dataclasses
import functools
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE, CLIENT = "mask_rcnn_tf", "mask_rcnn_client"
ALL = (
    "applications",
    "arguments",
    "config",
    "detections",
    "fields",
    "pixels",
    "strict_json",
    "whole_files",
    "command",
    "explained",
    "progress",
    "starting",
    "untuned",
    "presets",
    "configs",
    "ops",
    "coco",
    "conversion",
    "data",
    "models",
    "weights",
    "evaluation",
    "visualize",
    "report",
    "export",
    "training",
    "benchmark",
    "experiments",
)

EVERYWHERE = ("arguments", "pixels", "untuned")  # each folder may import these, and they import nothing
# What a part of the package may import besides itself. The longest key that fits a module counts.
IMPORTS = {
    **dict.fromkeys((*EVERYWHERE, "applications", "command", "fields", "ops", "progress"), ()),
    **dict.fromkeys(("starting", "strict_json", "whole_files"), ()),
    "__init__": ALL,
    "config": ("applications", "fields", "validation"),
    "validation": ("applications", "fields"),
    "explained": ("config", "fields"),
    "presets": ("config", "configs"),  # load_config finds the presets
    "configs": ("config",),
    "__main__": ("command",),
    "coco": ("ops", "strict_json", "whole_files"),
    "conversion": ("ops", "coco", "strict_json", "whole_files"),
    "data": ("ops", "coco", "config", "progress", "strict_json"),
    "detections": ("config", "coco", "visualize"),
    "models": ("ops", "config", "detections"),  # predict_images gives what people use
    "weights": ("applications", "models", "config", "fields", "presets", "strict_json", "whole_files"),
    "evaluation": ("ops", "coco", "config", "progress", "weights", "whole_files"),  # loads models
    "visualize": ("ops", "coco"),
    "report": ("coco", "config", "evaluation", "explained", "presets", "visualize", "whole_files"),
    "export": ("models", "ops", "coco", "config", "progress", "strict_json", "whole_files", "evaluation", "data"),
    "training": tuple(name for name in ALL if name not in ("training", "benchmark", "experiments")),
    "benchmark": ALL,
    "experiments": ("config", "whole_files", "visualize", "report", "training"),
}
BANNED = {
    "tensorflow_addons": "it ended in May 2024 and does not import beside Keras 3",
    "keras.src": "private; it moves without notice",
    "tensorflow.python": "private; it moves without notice",
    "keras.ops": "tensor maths is in tf",
    "tensorflow.keras": "import keras",
    "tf_keras": "Keras 2",
}
CATCH_ALL_NAMES = ("utils", "util", "misc", "common", "helpers")
FILE_LINES, TOOL_LINES, FUNCTION_LINES = 350, 80, 60


@dataclasses.dataclass
class Source:
    """One Python file: its path relative to the repository's root, and its text."""

    path: str
    text: str

    def __post_init__(self):
        self.tree = ast.parse(self.text)
        parts = pathlib.PurePosixPath(self.path).with_suffix("").parts
        self.is_package = parts[-1] == "__init__"
        parts = parts[:-1] if self.is_package else parts
        self.module = ".".join((PACKAGE, *parts) if parts[0] == "configs" else parts)


def sources(*folders: str) -> list[Source]:
    """Every Python file of the folders, without tests/golden, which holds other projects' ways of writing."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    paths = [path.relative_to(ROOT) for path in paths if "golden" not in path.parts and "__pycache__" not in path.parts]
    return [_source(path) for path in paths]


@functools.cache  # parsed once for all rules
def _source(path):
    return Source(path.as_posix(), (ROOT / path).read_text())


def imported_modules(source: Source) -> list[tuple[int, str]]:
    """(line, dotted name) of everything imported anywhere in the file, relative and dynamic imports resolved."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base(source, node)
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and _call_name(node) in ("import_module", "__import__") and node.args:
            found.append((node.lineno, _literal_start(node.args[0])))
    return found


def _base(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module
    package = source.module.split(".") if source.is_package else source.module.split(".")[:-1]
    package = package[: len(package) - (node.level - 1)]
    return ".".join(package + ([node.module] if node.module else []))


def _call_name(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _literal_start(node: ast.expr) -> str:
    """The constant text that a string or f-string begins with."""
    first = node.values[0] if isinstance(node, ast.JoinedStr) else node
    return first.value.rstrip(".") if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _part(module: str) -> str:
    """`mask_rcnn_tf.models.mask_rcnn` -> `models.mask_rcnn`; the package itself -> `__init__`."""
    return module.partition(".")[2] or "__init__"


def forbidden_imports(source: Source) -> list[str]:
    """Imports between parts of the package that the table does not allow."""
    part = _part(source.module)
    keys = [key for key in IMPORTS if part == key or part.startswith(key + ".")]
    if not keys:
        return [f"{source.path}: {part!r} is not in the import table"]
    allowed = (part.split(".")[0], *EVERYWHERE, *IMPORTS[max(keys, key=len)])
    violations = []
    for line, name in imported_modules(source):
        if name == PACKAGE or name.startswith(PACKAGE + "."):
            target = _part(name).split(".")[0]
            if target not in allowed:
                violations.append(f"{source.path}:{line}: {part} imports {name}; allowed: {', '.join(allowed)}")
    return violations


def banned_imports(source: Source) -> list[str]:
    """Modules that nobody here imports, by statement or as an attribute (`tf.keras`, `keras.ops`)."""
    used = imported_modules(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            used.append((node.lineno, ast.unparse(node).replace("tf.", "tensorflow.", 1)))
    return [
        f"{source.path}:{line}: {name}: {reason}"
        for line, name in used
        for banned, reason in BANNED.items()
        if name == banned or name.startswith(banned + ".")
    ]


def long_functions(source: Source, limit: int = FUNCTION_LINES) -> list[str]:
    """Functions whose body, without its docstring, has more lines than the limit."""
    violations = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = node.end_lineno - body[0].lineno + 1 if body else 0
            if lines > limit:
                violations.append(f"{source.path}:{node.lineno}: {node.name} has {lines} lines; allowed: {limit}")
    return violations


def long_files(source: Source, limit: int = FILE_LINES) -> list[str]:
    """The file, if it has more lines than the limit."""
    lines = len(source.text.splitlines())
    return [f"{source.path}: {lines} lines; allowed: {limit}"] if lines > limit else []


def catch_all_files(source: Source) -> list[str]:
    """The file, if its name says nothing."""
    stem = pathlib.PurePosixPath(source.path).stem
    return [f"{source.path}: a name for nothing in particular"] if stem in CATCH_ALL_NAMES else []


def missing_docstrings(source: Source) -> list[str]:
    """The module, and its public functions, classes and methods, that have no docstring."""
    nodes = [] if ast.get_docstring(source.tree) or not source.tree.body else [f"{source.path}: the module"]
    return nodes + _undocumented(source.path, source.tree)


def _undocumented(path: str, parent: ast.Module | ast.ClassDef) -> list[str]:
    violations = []
    for node in parent.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            violations.append(f"{path}:{node.lineno}: {node.name} has no docstring")
        if isinstance(node, ast.ClassDef):
            violations += _undocumented(path, node)
    return violations


PACKAGE_RULES = (forbidden_imports, banned_imports, long_functions, long_files, catch_all_files, missing_docstrings)


@pytest.mark.parametrize("rule", PACKAGE_RULES, ids=lambda rule: rule.__name__)
def test_package(rule):
    files = sources(PACKAGE, "configs")
    assert len(files) > 5
    assert not [violation for source in files for violation in rule(source)]


def test_the_client_needs_numpy_alone():
    files = sources(CLIENT)
    assert len(files) > 3
    imported = {name.split(".")[0] for source in files for _, name in imported_modules(source)}
    assert imported - set(sys.stdlib_module_names) == {"numpy", CLIENT}
    rules = (long_functions, long_files, catch_all_files, missing_docstrings)
    assert not [violation for source in files for rule in rules for violation in rule(source)]


def test_tools_are_flags_and_one_call():
    for source in sources("tools"):
        assert not long_files(source, TOOL_LINES)
        assert not banned_imports(source) + missing_docstrings(source)
        assert not [name for _, name in imported_modules(source) if name.split(".")[0] == "tools"]


@pytest.mark.parametrize("rule", [long_files, long_functions, banned_imports], ids=lambda rule: rule.__name__)
def test_tests_are_short_too(rule):
    assert not [violation for source in sources("tests") for violation in rule(source)]


def test_data_and_models_never_meet():
    """Follows the table transitively: neither reaches the other through a third part."""
    for start, other in (("data", "models"), ("models", "data")):
        reached, queue = set(), [start]
        while queue:
            part = queue.pop()
            if part not in reached:
                reached.add(part)
                queue += [name for key in IMPORTS if key.split(".")[0] == part for name in IMPORTS[key]]
        assert other not in reached


@pytest.mark.parametrize(
    "path, text",
    [
        ("mask_rcnn_tf/data/coco.py", "from mask_rcnn_tf.models import fpn"),
        ("mask_rcnn_tf/data/coco.py", "from mask_rcnn_tf import models"),
        ("mask_rcnn_tf/data/coco.py", "from ..models import fpn"),
        ("mask_rcnn_tf/data/coco.py", "from .. import models"),
        ("mask_rcnn_tf/data/__init__.py", "from ..models.fpn import Fpn"),
        ("mask_rcnn_tf/data/coco.py", "import importlib\nm = importlib.import_module('mask_rcnn_tf.models')"),
        ("mask_rcnn_tf/data/coco.py", "def f(n):\n    return __import__(f'mask_rcnn_tf.models.{n}')"),
        ("mask_rcnn_tf/data/coco.py", "def f():\n    import mask_rcnn_tf.models.rpn as rpn\n    return rpn"),
        ("mask_rcnn_tf/models/rpn.py", "from mask_rcnn_tf.data import coco"),
        ("mask_rcnn_tf/models/rpn.py", "from mask_rcnn_tf.evaluation import files"),
        ("mask_rcnn_tf/models/heads/rpn.py", "from ...export import signatures"),
        ("mask_rcnn_tf/ops/boxes.py", "from ..config import Config"),
        ("mask_rcnn_tf/ops/boxes.py", "import mask_rcnn_tf as mrcnn"),
        ("mask_rcnn_tf/coco/results.py", "from ..config import ModelConfig"),
        ("mask_rcnn_tf/coco/reader.py", "from mask_rcnn_tf.data.report import Report"),
        ("mask_rcnn_tf/config/data.py", "from ..ops import boxes"),
        ("mask_rcnn_tf/evaluation/callback.py", "from mask_rcnn_tf.models.mask_rcnn import MaskRCNN"),
        ("mask_rcnn_tf/training/fit.py", "from mask_rcnn_tf.benchmark import timing"),
        ("mask_rcnn_tf/novelty.py", "import numpy"),
    ],
)
def test_forbidden_imports_are_seen(path, text):
    assert len(forbidden_imports(Source(path, text))) == 1


@pytest.mark.parametrize(
    "path, text",
    [
        (
            "mask_rcnn_tf/data/coco.py",
            "from mask_rcnn_tf.ops import boxes\nfrom ..config import Config\nfrom . import shapes",
        ),
        ("mask_rcnn_tf/models/mask_rcnn.py", "from mask_rcnn_tf.config import ModelConfig\nfrom .rpn import Rpn"),
        ("mask_rcnn_tf/models/__init__.py", "from .mask_rcnn import MaskRCNN"),
        ("mask_rcnn_tf/training/fit.py", "from ..data import pipeline\nfrom ..models import mask_rcnn"),
        ("mask_rcnn_tf/__init__.py", "from mask_rcnn_tf.models.mask_rcnn import MaskRCNN\nfrom . import data"),
        ("mask_rcnn_tf/ops/boxes.py", "import numpy\nimport mask_rcnn_tf_extras"),
    ],
)
def test_allowed_imports_pass(path, text):
    assert not forbidden_imports(Source(path, text))


@pytest.mark.parametrize(
    "text",
    [
        "import tensorflow_addons as tfa",
        "from keras.src import backend",
        "from keras import ops",
        "from tensorflow import keras",
        "from tensorflow.python.ops import array_ops",
        "import keras\nx = keras.ops.shape(1)",
        "import tensorflow as tf\nx = tf.keras.Model",
        "import importlib\nimportlib.import_module('tensorflow_addons')",
    ],
)
def test_banned_imports_are_seen(text):
    assert banned_imports(Source("mask_rcnn_tf/ops/boxes.py", text))


def test_public_keras_and_tensorflow_pass():
    text = "import keras\nimport tensorflow as tf\nx = keras.layers.Layer\ny = tf.nn.relu\nz = tf.raw_ops.Abs"
    assert not banned_imports(Source("mask_rcnn_tf/ops/boxes.py", text))


def test_lengths_are_measured():
    body = "".join(f"    x{i} = {i}\n" for i in range(60))
    docstring = '    """One.\n' + "    more\n" * 40 + '    """\n'
    assert not long_functions(Source("a.py", "def f():\n" + docstring + body))
    assert long_functions(
        Source("a.py", "class A:\n    def f(self):\n" + body.replace("    ", "        ") + "        y = 1\n")
    )
    assert not long_files(Source("a.py", "x = 1\n" * 350))
    assert long_files(Source("a.py", "x = 1\n" * 351))
    assert catch_all_files(Source("mask_rcnn_tf/ops/utils.py", "")) and not catch_all_files(Source("a/boxes.py", ""))


def test_missing_docstrings_are_seen():
    methods = "    def g(self):\n        pass\n    def _h(self):\n        pass\n"
    text = '"""M."""\ndef f():\n    pass\nclass A:\n    """A."""\n' + methods
    found = [line.split(": ")[1] for line in missing_docstrings(Source("a.py", text))]
    assert found == ["f has no docstring", "g has no docstring"]
    assert missing_docstrings(Source("a.py", "x = 1")) == ["a.py: the module"]
    assert not missing_docstrings(Source("a/__init__.py", ""))
