"""What a fresh machine needs: pins, environment.yml, the wheel, the README's commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


ELSEWHERE = """
from pathlib import Path
import minillama
here = Path(minillama.__file__).parent
assert "site" in here.parts and minillama.COURSE_MODEL == here / "course-model", minillama.COURSE_MODEL
assert minillama.language("zh") == "zh" and minillama.words.say("position") == "位置"
assert {path.suffix for path in (here / "widgets" / "front").iterdir()} == {".js", ".css"}
print(minillama.Llama.build().text_completion(["Once upon a time"], temperature=0, max_gen_len=5)[0]["generation"])
"""


def name_of(requirement):
    return re.split(r"[\s<>=!;\[]", requirement.strip(), maxsplit=1)[0].lower()


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {name_of(line): line for line in lines if line and not line.startswith("#")}


def test_every_direct_dependency_is_pinned_and_of_others_jsonschema_alone():
    direct = {name_of(each) for group in (PROJECT["dependencies"], *EXTRAS.values()) for each in group} - {"minillama"}
    assert direct | {"jsonschema"} == set(pins())
    assert all("==" in line for line in pins().values())
    assert pins()["torch"] == "torch==2.13.0", "no local suffix: the pin fits CPU, CUDA and macOS builds"


def test_environment_yml():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment.keys() == {"name", "channels", "dependencies"}
    assert environment["channels"][0] == "conda-forge"
    *packages, with_pip = environment["dependencies"]
    python = next(each for each in packages if each.startswith("python="))
    assert tuple(map(int, python.split("=")[1].split("."))) >= (3, 10)
    assert "pip" in packages
    constraints, editable = with_pip["pip"]
    assert (ROOT / constraints.removeprefix("-c ")).is_file()
    extras = re.fullmatch(r"-e \.\[(.*)\]", editable).group(1).split(",")
    assert set(extras) <= set(EXTRAS)


def test_a_wheel_completes_a_prompt_elsewhere(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True)
    run = subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, env={"PYTHONPATH": str(site)},
                         capture_output=True, text=True)  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def test_make_targets_of_the_documents_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for document in (
        "README.md",
        "README.zh.md",
        "CONTRIBUTING.md",
        "benchmarks/README.md",
        ".ci/run",
        ".pre-commit-config.yaml",
        "assets/course-model/MODEL_CARD.md",
    ):
        text = (ROOT / document).read_text(encoding="utf-8")
        named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)|entry: make ([a-z-]+)", text, re.M))
        assert {next(filter(None, each)) for each in named} <= targets, document


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "README.zh.md",
        "CONTRIBUTING.md",
        "minillama/README.md",
        "benchmarks/README.md",
        "benchmarks/RESULTS.md",
    ],
)
def test_local_links_lead_somewhere(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_the_loop_pictures_are_those_that_the_script_draws():
    sys.path.insert(0, str(ROOT / "assets"))
    try:
        import draw_loop
    finally:
        sys.path.pop(0)
    for step in draw_loop.STEPS:
        assert (ROOT / "assets" / f"loop-{step}.svg").read_text(encoding="utf-8") == draw_loop.draw(step)


def test_ci_runs_the_readmes_test_command_and_the_longer_tests():
    assert re.findall(r"^make (test\S*)$", (ROOT / ".ci" / "run").read_text(), re.M) == ["test", "test-full"]
    assert "make test" in (ROOT / "README.md").read_text()
    assert "bash .ci/run" in (ROOT / ".github" / "workflows" / "test.yml").read_text()
