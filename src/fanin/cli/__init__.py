"""The command line: one thin command a file. Nothing heavy is imported until a command runs.

`main` turns every error that fanin raises on purpose into one message and exit code 2.
"""

from __future__ import annotations

import os
import sys
import traceback

import typer

from fanin.cli import check, compare, demo, explain, gain, init, list_, plan, verify
from fanin.errors import FaninError

app = typer.Typer(
    name="fanin",
    help="Starts neural networks well: plans initial weights, measures what flows, names what is wrong and its remedy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("check")(check.check)
app.command("compare")(compare.compare)
app.command("plan")(plan.plan)
app.command("init")(init.init)
app.command("verify")(verify.verify)
app.command("gain")(gain.gain)
app.command("explain")(explain.explain)
app.command("list")(list_.list_)


def _version(wanted: bool) -> None:
    if wanted:
        from fanin import __version__

        typer.echo(f"fanin {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Run the command line; exit 0 when all is well, 1 on findings, 2 on misuse, 130 when interrupted."""
    try:
        app(standalone_mode=True)
    except FaninError as error:
        _say(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        _say("Interrupted.")
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  # a defect of ours: never a bare traceback, always a way to get one
        if os.environ.get("FANIN_TRACEBACK"):
            traceback.print_exc()
        _say(
            f"This should not happen: {type(error).__name__}: {error}. "
            "Please report it, with the output of the same command under FANIN_TRACEBACK=1."
        )
        sys.exit(70)


def _say(message: str) -> None:
    sys.stderr.write(f"fanin: {message}\n")
