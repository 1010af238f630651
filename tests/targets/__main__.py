"""`python -m tests.targets PYTHON`: let the real classes read what the translation writes, and record what they say."""

import click

from tests.targets.written import REAL, Record, asked, draw, written, wrong


@click.command()
@click.argument("python")
def main(python: str) -> None:
    """Read configs with the libraries of an interpreter, such as that of .venv-peers; any refusal fails."""
    drawn = draw()
    every = list(written(REAL, drawn))
    answers = asked(python, every)
    faults = wrong(every, answers)
    for text in faults[:50]:
        click.echo(text, err=True)
    click.echo(f"{len(every)} configs read back, {len(faults)} refused or read otherwise")
    if not faults:
        Record.of(drawn, every, answers).save()
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
