"""`python -m tests.targets PYTHON`: let the real classes read what the translation writes; any refusal fails."""

import click

from tests.targets.written import refusals


@click.command()
@click.argument("python")
def main(python: str) -> None:
    """Read configs with the libraries of an interpreter, such as that of .venv-peers."""
    read, wrong = refusals(python)
    for text in wrong[:50]:
        click.echo(text, err=True)
    click.echo(f"{read} configs read back, {len(wrong)} refused or read otherwise")
    raise SystemExit(bool(wrong) or not read)


if __name__ == "__main__":
    main()
