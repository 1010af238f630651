"""README.md: every block is run against a service, or checked where running needs a container engine.

A block that fits none of `KINDS` fails, so that no new block goes unchecked.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contracts.sources import ROOT
from tests.e2e.stack import Stack, running
from tests.waiting import PATIENCE

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
BIN = Path(sys.executable).parent
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


@dataclass(frozen=True)
class Reader:
    """Somebody who follows the README: a folder with the examples, and a service that runs."""

    folder: Path
    stack: Stack

    def run(self, *command: str) -> str:
        """Return what a command printed, on both streams; it has to succeed."""
        environment = {
            **os.environ,
            "CURL_HOME": str(self.folder),
            "HALFSTEP_URL": self.stack.client.url,
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}"
        return done.stdout

    def shell(self, script: str) -> str:
        """Run lines of bash, as written but for the address and the folder of the installation."""
        address = self.stack.client.url.removeprefix("http://")
        text = script.replace("localhost:8000", address).replace(".venv/bin/", f"{BIN}/")
        return self.run("bash", "-c", f"set -euo pipefail\nshopt -s expand_aliases\neval {shlex.quote(text)}")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").mkdir()
    for path in (ROOT / "examples").glob("*.json"):
        job = json.loads(path.read_text(encoding="utf-8"))
        job["fit"]["epochs"] = 1
        (folder / "examples" / path.name).write_text(json.dumps(job), encoding="utf-8")
    # An answer such as 404 ends the script, and no proxy of the environment is asked.
    (folder / ".curlrc").write_text('fail\nnoproxy = "*"\n', encoding="utf-8")
    with running(folder / "data") as stack:
        yield Reader(folder, stack)


def commands(script: str) -> list[list[str]]:
    """Return the words of every line, without comments."""
    return [words for line in script.splitlines() if (words := shlex.split(line, comments=True))]


def make_targets(reader: Reader, script: str) -> str:
    """`make -n`: running these installs everything, and the tests would start themselves."""
    return "".join(reader.run("make", "-n", "-C", str(ROOT), *words[1:]) for words in commands(script))


def start_service(reader: Reader, script: str) -> str:
    """The service runs already (`tests.e2e.stack`): the command has to exist, and take what is written behind it."""
    shown = "".join(reader.run(str(BIN / "halfstep"), *words[1:], "--help") for words in commands(script))
    assert "--port" in shown
    return shown


def client_calls(reader: Reader, script: str) -> str:
    """Run the block; `JOB` is the id in the first answer of the same block."""
    if "JOB" not in script:
        return reader.shell(script)
    first, rest = script.split("\n", 1)
    answer = reader.shell(first)
    return answer + reader.shell(rest.replace("JOB", json.loads(answer)["id"]))


def compose_commands(reader: Reader, script: str) -> str:
    """Check services and options of `docker compose`, and that the client reads the variable that is exported."""
    for words in commands(script):
        if words[0] == "docker":
            check_compose(reader, words)
        else:
            variable = words[1].split("=")[0]
            assert variable in (ROOT / "app" / "client.py").read_text(encoding="utf-8")
    return ""


def check_compose(reader: Reader, words: list[str]) -> None:
    _docker, compose, action, *rest = words
    assert compose == "compose"
    if action == "up":
        assert all(part.split("=")[0] in SERVICES for part in rest if part != "--scale"), rest
        return
    assert action == "exec", f"{action} is not checked yet: add it here"
    service, program, *arguments = rest
    assert service in SERVICES
    names = [word for word in arguments if not word.startswith("-")][:2]
    help_text = reader.run(str(BIN / program), *names, "--help")
    assert all(word in help_text for word in arguments if word.startswith("-")), help_text


def python_block(reader: Reader, script: str) -> str:
    return reader.run(sys.executable, "-c", script)


KINDS: dict[tuple[str, frozenset[str]], Callable[[Reader, str], str]] = {
    ("sh", frozenset({"make"})): make_targets,
    ("sh", frozenset({"halfstep serve"})): start_service,
    ("sh", frozenset({"halfstep", "curl", "alias", "ask"})): client_calls,
    ("sh", frozenset({"docker", "export"})): compose_commands,
    ("python", frozenset()): python_block,
}
"""How a block is checked: by its language, and the programs that it runs."""


def programs(language: str, text: str) -> frozenset[str]:
    if language != "sh":
        return frozenset()
    names = (words[0].rsplit("/", 1)[-1] if words[1:2] != ["serve"] else "halfstep serve" for words in commands(text))
    return frozenset(names)


def check_of(language: str, text: str) -> Callable[[Reader, str], str]:
    used = programs(language, text)
    found = [check for (of, known), check in KINDS.items() if of == language and used <= known]
    assert len(found) == 1, f"README has a block that no test can run, add its kind to KINDS:\n{text}"
    return found[0]


def test_every_fence_is_one_of_a_block():
    assert README.count("```") == 2 * len(BLOCKS)
    assert BLOCKS


@pytest.mark.parametrize(("language", "text"), [("sh", "brew install halfstep"), ("yaml", "a: 1"), ("", "make demo")])
def test_a_block_of_no_known_kind_fails(language, text):
    with pytest.raises(AssertionError, match="no test can run"):
        check_of(language, text)


def test_every_block_runs_and_does_what_the_text_says(reader: Reader):
    printed = ""
    for language, text in BLOCKS:
        if language == "text":
            assert text in printed
        else:
            printed = check_of(language, text)(reader, text)
    assert (reader.folder / "model.safetensors").stat().st_size > 10_000
    jobs = list(reader.stack.client.jobs())
    assert len(jobs) == 3
    (exported,) = (job["id"] for job in jobs if job["policy_reach"]["layers"] == 2)
    assert reader.stack.ended(exported)["status"] == "succeeded"


def test_commands_within_sentences_exist(reader: Reader):
    inline = re.findall(r"`(docker compose [^`]+|make [a-z]+)`", README)
    assert len(inline) >= 3
    for command in inline:
        check = compose_commands if command.startswith("docker") else make_targets
        check(reader, command)


def test_names_of_folders_files_and_variables_exist():
    tree = re.findall(r"^    (\w+)/ ", README, flags=re.MULTILINE)
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert {"engine", "worker", "app", "tests"} <= set(tree)
    assert [name for name in tree + links if not (ROOT / name).exists()] == []
    settings = "".join((ROOT / room / "settings.py").read_text(encoding="utf-8") for room in ("app", "worker"))
    variables = re.findall(r"^\| `HALFSTEP_(\w+)`", README, flags=re.MULTILINE)
    assert variables
    assert [name for name in variables if f"{name.lower()}:" not in settings] == []


def test_the_tests_run_where_curl_is_installed():
    assert re.search(r"missing\+=\(curl\)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
