"""What an installation contains and needs, and the commands that set it up."""

import ast
import configparser
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
NEEDED_BY_OTHERS = {"importlib-resources": "tensorflow-datasets imports it without requiring it"}
NOT_INSTALLED = {"jax", "jaxlib"}  # they run StableHLO exports where they are, and are half a gigabyte


def _name(text: str) -> str:
    """The normalised distribution name that a requirement begins with."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", text).group()).lower()


@pytest.fixture(scope="module")
def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def _requirements(text: str) -> set[str]:
    return {_name(line) for line in text.splitlines() if line and not line.startswith("#")}


def _imported_distributions() -> set[str]:
    """Distributions of every third-party module that the package or a tool imports."""
    modules = set()
    for path in [*(ROOT / "mask_rcnn_tf").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.split(".")[0])
    owners = importlib.metadata.packages_distributions()
    third_party = modules - set(sys.stdlib_module_names) - {"mask_rcnn_tf"} - NOT_INSTALLED
    assert not third_party - set(owners), "imported but not installed"
    return {_name(owners[module][0]) for module in third_party}


def test_every_requirement_is_used_and_every_import_is_required(setup_cfg):
    extra = setup_cfg["options.extras_require"]["export"]
    required = _requirements(setup_cfg["options"]["install_requires"]) | _requirements(extra)
    used = {re.sub("^tensorflow-cpu$", "tensorflow", name) for name in _imported_distributions()}
    assert used - {"tensorflow"} == required - set(NEEDED_BY_OTHERS)


def test_tensorflow_is_chosen_by_extra(setup_cfg):
    """A hard requirement would install `tensorflow` over `tensorflow-cpu`, which provide the same files."""
    assert not {"tensorflow", "tensorflow-cpu"} & _requirements(setup_cfg["options"]["install_requires"])
    assert _requirements(setup_cfg["options.extras_require"]["cpu"]) == {"tensorflow-cpu"}
    assert setup_cfg["options.extras_require"]["gpu"].startswith("tensorflow[and-cuda]")


def test_floors_are_not_above_what_runs_here(setup_cfg):
    extras = setup_cfg["options.extras_require"]
    for line in (setup_cfg["options"]["install_requires"] + extras["export"] + extras["serving"]).splitlines():
        if ">=" in line:
            floor = re.search(r">=([\d.]+)", line).group(1)
            installed = importlib.metadata.version(_name(line))
            assert _release(installed) >= _release(floor), line


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.match(r"[\d.]*\d", version).group().split("."))


def test_build_system_and_lint_agree_on_python(setup_cfg):
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    assert build["build-backend"] == "setuptools.build_meta"
    lint = tomllib.loads((ROOT / "ruff.toml").read_text())
    assert setup_cfg["options"]["python_requires"] == ">=3.11,<3.14" and lint["target-version"] == "py311"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy, by setuptools alone: no network, nothing written into the checkout."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    for name in ("mask_rcnn_tf", "tests", "tools"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "golden"))
    code = "import setuptools.build_meta as b; b.build_wheel('dist')"
    (copy / "dist").mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True, timeout=300)
    (path,) = (copy / "dist").glob("*.whl")
    return path


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {p.relative_to(ROOT).as_posix() for p in (ROOT / "mask_rcnn_tf").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.startswith("mask_rcnn_tf/configs/mask_rcnn") for name in names)
    assert [name for name in names if name.endswith("LICENSE")]


def test_wheel_works_outside_the_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import pathlib, mask_rcnn_tf; from mask_rcnn_tf import config\n"
        "print(pathlib.Path(mask_rcnn_tf.__file__).parent.parent)\n"
        "print(len([config.load_config(name) for name in config.preset_names()]))"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    where, presets = done.stdout.split()[-2:]
    assert pathlib.Path(where).samefile(tmp_path / "site")
    assert int(presets) == len([path for path in (ROOT / "mask_rcnn_tf/configs").glob("[!_]*.py")])


@pytest.fixture
def makefile(tmp_path):
    """A folder with what `make` reads, and no package to install."""
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return lambda *arguments: subprocess.run(
        ["make", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )


needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@needs_make
def test_make_says_which_python_it_needs(makefile):
    done = makefile("setup", "PYTHON=false no-such-python")
    assert done.returncode != 0
    assert "Tried: false no-such-python. Needed: Python 3.11, 3.12 or 3.13" in done.stderr


@needs_make
@pytest.mark.parametrize("target", ["test", "test-all", "demo", "demo-short", "lint"])
def test_make_targets_set_up_first(makefile, target):
    commands = makefile("-n", target).stdout
    assert 0 < commands.index("-m venv") < commands.index("pip install") < len(commands)
    assert "ruff check" in commands or target.startswith("demo")


@needs_make
def test_make_test_leaves_slow_tests_out(makefile):
    assert re.search(r'pytest .*-m "not slow"', makefile("-n", "test").stdout)
    assert "not slow" not in makefile("-n", "test-all").stdout


def test_ci_is_a_program():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], timeout=60).returncode == 0
    assert "make test" in script.read_text() and "set -euo pipefail" in script.read_text()


def test_project_files_name_no_machine():
    """Nothing refers to the machine that the project was written on."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".cfg", ".toml", "") and path.is_file():
            assert not re.search(r"(?<![\w.])/(work|root|home)/", path.read_text()), name
