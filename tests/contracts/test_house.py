"""What linters do not say: sizes, names, and who may import what. Limits only ever go down."""

import ast
import re
import sys

import pytest

from tests.contracts.sources import ROOMS, ROOT, Source, code_lines, sources

FILE_LINES = 400
FUNCTION_LINES = 50
NAMELESS = {"base_utils", "common", "core", "helper", "helpers", "misc", "util", "utils"}

ENGINE_MAY_IMPORT = {"engine", "numpy", "ml_dtypes", "numkong"} | sys.stdlib_module_names
APP_MAY_REACH = {"worker.specs", "worker.jobs", "worker.queue", "worker.settings"}
SAY_CELERY = {"worker.queue", "worker.tasks"}
SERVER_SIDE = {"engine", "worker", "fastapi", "starlette", "uvicorn", "sqlalchemy"}
"""None of these may be loaded by the SDK or the CLI, directly or through others (import-linter holds the latter)."""


def in_room(*rooms: str) -> list[Source]:
    return [source for source in sources() if source.room in rooms]


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_files_are_one_noun():
    assert [f"{s.path}: {s.lines} lines" for s in in_room(*ROOMS) if s.lines > FILE_LINES] == []


def test_functions_fit_a_screen():
    long = [
        f"{source.path}:{function.lineno} {function.name}: {code_lines(function)} lines"
        for source in sources()
        for function in source.functions()
        if code_lines(function) > FUNCTION_LINES
    ]
    assert long == []


def test_names_say_what_lives_there():
    assert [s.path for s in sources() if s.path.rsplit("/", 1)[-1].removesuffix(".py") in NAMELESS] == []


def test_the_engine_imports_only_arrays():
    foreign = {
        f"{source.path}: {name}"
        for source in in_room("engine")
        for name in source.imports()
        if name.split(".")[0] not in ENGINE_MAY_IMPORT
    }
    assert foreign == set()


def test_the_app_reaches_the_worker_through_four_doors():
    back_doors = {
        f"{source.path}: {name}"
        for source in in_room("app")
        for name in source.imports()
        if within(name, {"worker"}) and not within(name, APP_MAY_REACH)
    }
    assert back_doors == set()


def test_two_files_say_celery():
    speakers = {s.module for s in in_room(*ROOMS) for name in s.imports() if within(name, {"celery", "kombu"})}
    assert speakers <= SAY_CELERY


@pytest.mark.parametrize("module", ["app.client", "app.policy_calls", "app.cli"])
def test_the_client_imports_nothing_of_the_server(module):
    names = {name for s in in_room("app") if within(s.module, {module}) for name in s.imports()}
    assert {name for name in names if within(name, SERVER_SIDE)} == set()


def test_nothing_is_left_for_later():
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    here = "tests/contracts/test_house.py"
    assert [s.path for s in sources() if s.path != here and marks.search(s.text)] == []


def test_every_broad_except_raises_again():
    swallowed = [
        f"{source.path}:{node.lineno}"
        for source in in_room(*ROOMS)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node)
        if not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]
    assert swallowed == []


def _is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or getattr(handler.type, "id", "") in {"Exception", "BaseException"}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_hold_hashes_and_no_addresses(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    pins = re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==", text, flags=re.MULTILINE)
    blocks = re.split(r"^(?=[\w.-]+(?:\[[\w,-]+\])?==)", text, flags=re.MULTILINE)[1:]
    assert pins
    assert "://" not in text
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_public_names_exist():
    missing = [
        f"{source.path}: {name}"
        for source in in_room(*ROOMS)
        for name in _listed(source.tree)
        if name not in _defined(source.tree)
    ]
    assert missing == []


def _listed(tree: ast.Module) -> list[str]:
    """What `__all__` lists, where it is written out."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return []


def _defined(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names
