"""`workbench`: every act of the bench as a command. Each command lives in a module of `workbench.commands`."""

import typer

from workbench.commands import data, dft, evaluate, generate, models, open_bench, propose, reference, session, train

app = typer.Typer(
    name="workbench",
    help="Design inorganic crystals: prepare data, train, generate, judge, and open the bench.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data.app, name="data", help="Crystals in: prepare CSV or parquet files for training.")
app.add_typer(reference.app, name="reference", help="Known crystals to compare with.")
app.add_typer(models.app, name="model", help="List, show, convert models; teach readouts.")
app.command("train")(train.train)
app.command("finetune")(train.finetune)
app.command("generate")(generate.generate)
app.add_typer(propose.app, name="propose", help="Crystals by other ways: random search, substitution, screening.")
app.add_typer(dft.app, name="dft", help="Chosen candidates to VASP, and what it found back into verdicts.")
app.command("evaluate")(evaluate.evaluate)
app.add_typer(session.app, name="session", help="What the bench has kept: list it, hand it on as a page or files.")
app.command("open")(open_bench.open_bench)


def main() -> None:
    """Entry point of the console command."""
    app()
