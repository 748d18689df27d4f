"""The house: how far a name reaches, how many arguments, what is typed, and that private things stay private.

As in `test_architecture.py` each rule is a function from a source to its violations, tested on small sources below.
"""

import ast
import re

import pytest
from test_architecture import PACKAGE, Source, sources

from mask_rcnn_tf.ops.kernels import KERNELS

POSITIONAL, BODY_P90, BODY_MAX = 6, 20, 45
TYPED = ("ops", "coco", "conversion", "data", "evaluation", "training", "models", "benchmark", "export", "report")
DOCUMENTED = {"_replace", "_asdict", "_fields", "_exit"}  # named tuples and os; public, in spite of the underscore
KERNEL_TABLE = ("mask_rcnn_tf/ops/kernels.py", "mask_rcnn_tf/config/model.py")


def functions(tree: ast.AST, inside: bool = False):
    """(function, whether it lies in another one) of a module, methods included."""
    for node in ast.iter_child_nodes(tree):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function:
            yield node, inside
        yield from functions(node, inside or is_function)


def public(source: Source):
    """Functions and methods that others may call, constructors and calls included."""
    for node, inside in functions(source.tree):
        if not inside and (not node.name.startswith("_") or node.name in ("__init__", "__call__")):
            yield node


def arguments(node: ast.FunctionDef) -> list[ast.arg]:
    return [arg for arg in node.args.posonlyargs + node.args.args if arg.arg not in ("self", "cls")]


def many_positional(source: Source) -> list[str]:
    """Public functions that take more than POSITIONAL arguments by position."""
    found = ((node, len(arguments(node))) for node in public(source))
    return [f"{source.path}:{node.lineno}: {node.name} takes {count}" for node, count in found if count > POSITIONAL]


def untyped(source: Source) -> list[str]:
    """Public functions with an argument, or something returned, that has no type."""
    violations = []
    for node in public(source):
        bare = [arg.arg for arg in arguments(node) + node.args.kwonlyargs if arg.annotation is None]
        returns = any(isinstance(item, ast.Return) and item.value for item in own_nodes(node))
        if bare or (returns and node.returns is None):
            violations.append(f"{source.path}:{node.lineno}: {node.name}: {', '.join(bare) or 'what it returns'}")
    return violations


def own_nodes(node: ast.AST):
    """Every node of a function but those of functions inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def compared_kernels(source: Source) -> list[str]:
    """Comparisons with the name of a set of kernels."""
    violations = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Compare):
            words = {item.value for item in ast.walk(node) if isinstance(item, ast.Constant)}
            if words & set(KERNELS):
                violations.append(f"{source.path}:{node.lineno}: compares with {sorted(words & set(KERNELS))}")
    return violations


def defined_privately(files: list[Source]) -> set[str]:
    """Private names that the files themselves define, as functions, methods or attributes."""
    names = set()
    for source in files:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return names


def private_attributes(source: Source, own: set[str]) -> list[str]:
    """Private attributes of what somebody else wrote: neither defined in the project nor public by convention."""
    return [
        f"{source.path}:{node.lineno}: {node.attr}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr) and node.attr not in own | DOCUMENTED
    ]


def body_lines(source: Source) -> list[int]:
    """Lines of each function without its docstring."""
    lines = []
    for node, _ in functions(source.tree):
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        lines.append(node.end_lineno - body[0].lineno + 1 if body else 0)
    return lines


@pytest.fixture(scope="module")
def package():
    return sources(PACKAGE, "configs")


def test_few_arguments_by_position(package):
    assert not [line for source in package for line in many_positional(source)]


def test_types_are_written(package):
    files = [source for source in package if source.path.split("/")[1] in TYPED]
    assert len(files) > 60 and not [line for source in files for line in untyped(source)]


def test_only_the_table_knows_the_sets_of_kernels(package):
    files = [source for source in package if source.path not in KERNEL_TABLE]
    assert not [line for source in files for line in compared_kernels(source)]


def test_nobody_uses_what_is_private_elsewhere(package):
    own = defined_privately(package)
    assert not [line for source in package for line in private_attributes(source, own)]


def test_bodies_are_short(package):
    lines = sorted(count for source in package for count in body_lines(source))
    assert len(lines) > 500 and lines[-1] <= BODY_MAX and lines[len(lines) * 9 // 10] <= BODY_P90


@pytest.mark.parametrize("pattern, most", [(r"mask_head", 8), (r"[\"'][PC][2-6][\"']", 3)])
def test_how_far_a_name_reaches(package, pattern, most):
    """Files that name the mask head, and a level; foreign names in weights/ and the presets aside."""
    aside = ("mask_rcnn_tf/weights/", "configs/")
    files = [source.path for source in package if not source.path.startswith(aside)]
    naming = [source.path for source in package if source.path in files and re.search(pattern, source.text)]
    assert 0 < len(naming) <= most, naming


def test_rules_see_what_they_are_for():
    def of(text):
        return Source("mask_rcnn_tf/ops/a.py", text)

    assert many_positional(of("def f(a, b, c, d, e, f, g): pass"))
    assert not many_positional(of("def f(a, b, c, d, e, f, *, g): pass\ndef _g(a, b, c, d, e, f, g): pass"))
    assert many_positional(of("class A:\n    def __init__(self, a, b, c, d, e, f, g): pass"))
    assert untyped(of("def f(a): pass")) and untyped(of("def f(a: int):\n    return a"))
    assert not untyped(of("def f(a: int):\n    def g(b):\n        return b\n    g(a)"))
    assert compared_kernels(of("x = kernels == 'xla'")) and compared_kernels(of("x = k in ('native', 'onnx')"))
    assert not compared_kernels(of("x = get_kernels('xla').compiled"))
    own = defined_privately([of("class A:\n    def _mine(self):\n        self._too = 1")])
    assert private_attributes(of("model._flatten_layers()"), own) and private_attributes(of("self._var_key(v)"), own)
    assert not private_attributes(of("a._mine()\na._too\nt._replace(x=1)\na.__class__"), own)
    assert body_lines(of('def f():\n    """D."""\n    a = 1\n    return a')) == [2]
