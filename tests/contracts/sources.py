"""The project's own files, read once, as the house rules see them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("engine", "worker", "app")
FOLDERS = (*ROOMS, "tests", "benchmarks", "examples")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file of the project."""

    path: str
    """Relative to the project's root, with forward slashes."""
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The top folder it lies in."""
        return self.path.split("/", 1)[0]

    @property
    def module(self) -> str:
        """Its dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def lines(self) -> int:
        """How long it is."""
        return self.text.count("\n")

    def functions(self) -> Iterator[Function]:
        """Every function and method, inner ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def imports(self) -> Iterator[str]:
        """Dotted names of what it imports, wherever the import stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def sources() -> tuple[Source, ...]:
    """All Python files of the rooms, the tests, the benchmarks and the examples."""
    files = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))
    return tuple(_read(path) for path in files)


def _read(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    return Source(path.relative_to(ROOT).as_posix(), text, ast.parse(text, str(path)))


def code_lines(function: Function) -> int:
    """Lines of the body without its docstring."""
    docstring = ast.get_docstring(function, clean=False)
    lines = (function.end_lineno or 0) - function.body[0].lineno + 1
    return lines - (docstring.count("\n") + 1 if docstring else 0)
