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
import tarfile
import tomllib
import zipfile

import pytest

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import shapes

ROOT = pathlib.Path(__file__).parents[1]
NEEDED_BY_OTHERS = {"importlib-resources": "tensorflow-datasets imports it without requiring it"}
NOT_INSTALLED = {"jax", "jaxlib"}  # they run StableHLO exports where they are, and are half a gigabyte
GIVEN_TO = {"supervision", "fiftyone"}  # whose objects `Detections` makes for those who have them
OWN = {"mask_rcnn_tf", "mask_rcnn_client"}


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
    for path in [
        *(ROOT / "mask_rcnn_tf").rglob("*.py"),
        *(ROOT / "mask_rcnn_client").rglob("*.py"),
        *(ROOT / "configs").glob("*.py"),
        *(ROOT / "tools").rglob("*.py"),
    ]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.split(".")[0])
    owners = importlib.metadata.packages_distributions()
    third_party = modules - set(sys.stdlib_module_names) - OWN - NOT_INSTALLED - GIVEN_TO
    assert not third_party - set(owners), "imported but not installed"
    return {_name(owners[module][0]) for module in third_party}


def test_every_requirement_is_used_and_every_import_is_required(setup_cfg):
    extras = setup_cfg["options.extras_require"]
    needed = (extras[name] for name in ("export", "geo", "lvis", "video"))
    required = _requirements("".join([setup_cfg["options"]["install_requires"], *needed]))
    used = {re.sub("^tensorflow-cpu$", "tensorflow", name) for name in _imported_distributions()}
    assert used - {"tensorflow"} == required - set(NEEDED_BY_OTHERS)


def test_tensorflow_is_chosen_by_extra(setup_cfg):
    """A hard requirement would install `tensorflow` over `tensorflow-cpu`, which provide the same files."""
    assert not {"tensorflow", "tensorflow-cpu"} & _requirements(setup_cfg["options"]["install_requires"])
    assert _requirements(setup_cfg["options.extras_require"]["cpu"]) == {"tensorflow-cpu"}
    assert setup_cfg["options.extras_require"]["gpu"].startswith("tensorflow[and-cuda]")


def test_floors_are_not_above_what_runs_here(setup_cfg):
    extras = setup_cfg["options.extras_require"]
    named = (extras[name] for name in ("docs", "export", "geo", "lvis", "serving", "video"))
    for line in "".join([setup_cfg["options"]["install_requires"], *named]).splitlines():
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
def source(tmp_path_factory):
    """A copy of what is published, in which setuptools may write."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, copy)
    for name in ("mask_rcnn_client", "mask_rcnn_tf", "configs", "tests", "tools"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "golden"))
    return copy


def build(source, kind):
    """What setuptools alone builds: no network, nothing written into the checkout. Kind: wheel, sdist or editable."""
    code = f"import setuptools.build_meta as b; b.build_{kind}('{kind}')"
    (source / kind).mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True, timeout=300)
    (path,) = (source / kind).iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(source):
    return build(source, "wheel")


def published():
    """Where each module of the package lies once it is installed."""
    package = {path.relative_to(ROOT).as_posix() for name in OWN for path in (ROOT / name).rglob("*.py")}
    beside = [path for folder in ("configs", "tools") for path in (ROOT / folder).glob("*.py")]
    return package | {f"mask_rcnn_tf/{path.parent.name}/{path.name}" for path in beside}


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = published() | {"mask_rcnn_tf/py.typed"}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.startswith("mask_rcnn_tf/configs/mask_rcnn") for name in names)
    assert [name for name in names if name.endswith("LICENSE")]


def test_sdist_builds_the_same_wheel(source, wheel, tmp_path):
    with tarfile.open(build(source, "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    again = zipfile.ZipFile(build(unpacked, "wheel")).namelist()
    assert sorted(again) == sorted(zipfile.ZipFile(wheel).namelist())


def presets_of(site, tmp_path):
    """Where the package was found, and how many presets load, in a process that has `site` before everything else."""
    code = (
        f"import pathlib, site; site.addsitedir({str(site)!r})\n"
        "import mask_rcnn_tf; from mask_rcnn_tf import presets\n"
        "print(pathlib.Path(mask_rcnn_tf.__file__).parent.parent)\n"
        "import mask_rcnn_tf.configs; print(mask_rcnn_tf.configs.__path__[0])\n"
        "print(len([presets.load_config(name) for name in presets.preset_names()]))"
    )
    env = {**os.environ, "PYTHONPATH": str(site), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    where, configs, count = done.stdout.split()[-3:]
    assert int(count) == len([path for path in (ROOT / "configs").glob("[!_]*.py")])
    return pathlib.Path(where), pathlib.Path(configs)


def test_wheel_works_outside_the_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    where, configs = presets_of(tmp_path / "site", tmp_path)
    assert where.samefile(tmp_path / "site") and configs.samefile(tmp_path / "site/mask_rcnn_tf/configs")


@pytest.mark.slow  # trains, scores, predicts and exports, a process each
def test_commands_of_a_wheel_on_somebodys_images(wheel, tmp_path):
    """`mrcnn COMMAND` from the wheel alone, in a folder with images and a COCO file."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    shapes.write_folder(Config(), "train", tmp_path / "images", 12)
    env = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "TFDS_DATA_DIR": str(tmp_path / "cache")}
    short = " ".join(f"--config.train.{name}=2" for name in ("steps", "evaluate_every", "checkpoint_every"))
    files = " ".join(f"--config.data.{part}_images=images" for part in ("train", "val"))
    files += " " + " ".join(f"--config.data.{part}_annotations=parts/{part}.json" for part in ("train", "val"))
    for line in (
        "check --annotations images/annotations.json --images images --output pictures",
        "split --annotations images/annotations.json --output parts",
        "suggest --annotations parts/train.json --output mine.py",
        f"train --config mine.py --model_dir run {short} {files}",
        "evaluate --model run --annotations parts/val.json --images images --output val.json --report val.html",
        "predict --model run --input images --output found",
        "export --model run/best.keras --format saved_model --output export/1 --images images",
    ):
        command = [sys.executable, "-m", "mask_rcnn_tf", *line.split()]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
    for name in ("run/report.html", "val.html", "found/results.json", "export/1/saved_model.pb"):
        assert (tmp_path / name).is_file(), name


def test_editable_install_finds_the_presets(source, tmp_path):
    zipfile.ZipFile(build(source, "editable")).extractall(tmp_path / "site")
    where, configs = presets_of(tmp_path / "site", tmp_path)
    assert where.samefile(source) and configs.samefile(source / "configs")


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
