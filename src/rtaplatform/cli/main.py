"""The command `rta`: one module per command, loaded when it is asked for.

A module `cli/commands/NAME.py` has a function `command`, typed for Typer, or `app`, a Typer of its own for a group.
COMMANDS lists them with their one-line help, so that `rta --help` loads none of them and a broken one does not break
the others.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Annotated, Any

import typer

from rtaplatform import __version__
from rtaplatform.core.errors import SetupError, Stopped, Unavailable
from rtaplatform.core.server_addresses import mask_urls, mask_values, passwords_of

# Command name → (module below rtaplatform.cli.commands, help line, whether it is a group).
COMMANDS: dict[str, tuple[str, str, bool]] = {
    "up": ("up", "Run the whole platform on this machine, with a simulated shop.", False),
    "status": ("status", "Say where an instance runs, and how its parts are.", False),
    "doctor": ("doctor", "Check everything that `rta up` needs.", False),
    "simulate": ("simulate", "Send the events of a simulated shop.", False),
    "worker": ("worker", "Run a worker: events in Kafka become totals in Redis.", False),
    "profiles": ("profiles", "Run the process that keeps user profiles: identify events become rows.", False),
    "api": ("api", "Serve collecting, queries, live updates and the catalog.", False),
    "migrate": ("migrate", "Bring catalog, topics, functions and shards to this version.", False),
    "keys": ("keys", "Make, list and revoke API keys.", True),
    "topics": ("topics", "List topics; accept a re-created or truncated one.", True),
    "rebuild": ("rebuild", "Count everything again from the log, beside the live totals.", False),
    "catalog": ("catalog", "Import users and products.", True),
    "bench": ("bench", "Measure what the platform does on this machine.", True),
}
EXIT_OK, EXIT_BUG, EXIT_USAGE, EXIT_MISSING = 0, 1, 2, 3
EPILOG = "Examples:  rta up    rta up --port 0 --simulate 200    rta status --json"


def build_app(asked: str | None) -> typer.Typer:
    """The application with the command that is asked for; the others are there by name and help line only."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        epilog=EPILOG,
        help="Real-time product analytics with exact numbers, on Kafka, Redis and PostgreSQL.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, (module, line, is_group) in COMMANDS.items():
        if name == asked:
            _add(app, name, importlib.import_module(f"rtaplatform.cli.commands.{module}"), is_group)
        else:
            app.command(name, help=line)(_unasked)
    return app


def _add(app: typer.Typer, name: str, module: Any, is_group: bool) -> None:
    if is_group:
        app.add_typer(module.app, name=name)
    else:
        app.command(name)(module.command)


def _root(
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version.")] = False,
) -> None:
    """Real-time product analytics with exact numbers, on Kafka, Redis and PostgreSQL."""


def _unasked() -> None:
    raise AssertionError("only the command that was asked for is run")


def _asked(arguments: list[str]) -> str | None:
    return next((word for word in arguments if not word.startswith("-")), None)


def main() -> None:
    """Run the command of `sys.argv` and end with its exit code (docs/reference/record.md)."""
    if (words := sys.argv[1:])[:1] in (["--version"], ["-V"], ["version"]):
        print(f"rta {__version__}")
        sys.exit(EXIT_OK)
    if words[:1] == ["help"]:
        sys.argv[1:] = [*words[1:], "--help"]
    try:
        code = build_app(_asked(sys.argv[1:]))(standalone_mode=False, prog_name="rta")
    except SetupError as error:
        _tell(error.problem, error.remedy)
        code = error.exit_code
    except Stopped as error:
        _tell(str(error), "docs/how-to has what to do about it.")
        code = EXIT_MISSING
    except Unavailable as error:
        _tell(str(error), "See whether the server runs and can be reached; `rta status` says where ours are.")
        code = EXIT_MISSING
    except typer.TyperException as error:
        _show_usage(error)
        code = EXIT_USAGE
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        code = _forget_output()
    except SystemExit as ending:  # the library's own, where nobody reads the output any more, as behind `| head`
        code = _forget_output() if isinstance(ending.__context__, BrokenPipeError) else ending.code
    except Exception as error:  # noqa: BLE001  # the outermost place
        code = _tell_of_failure(error)
    sys.exit(code if isinstance(code, int) else EXIT_OK)


def _forget_output() -> int:
    """Nobody reads it: what is left in the buffer must not fail at the end. Returns the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_OK


def _tell_of_failure(error: Exception) -> int:
    """An environment variable that its settings class refuses, or a bug of ours. Returns the exit code."""
    if type(error).__name__ == "ValidationError" and str(getattr(error, "title", "")).endswith("Settings"):
        from rtaplatform.cli.wrong_settings import wrong_settings

        wrong = wrong_settings(error)  # type: ignore[arg-type]  # pydantic is not loaded for the name of its class
        _tell(wrong.problem, wrong.remedy)
        return wrong.exit_code
    sys.stderr.write(_without_secrets(traceback.format_exc()))
    _tell("This is a bug of ours.", "Please report it with the lines above.")
    return EXIT_BUG


def _without_secrets(text: str) -> str:
    """Fit to be shown, and sent to us: without the secrets of environment and command line, and logins in URLs."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("RTA_")}
    secrets = [value for name, value in ours.items() if name.endswith(("_PASSWORD", "_KEY"))]
    urls = [value for name, value in ours.items() if name.endswith("_URL")] + sys.argv[1:]
    return mask_urls(mask_values(text, secrets + [one for url in urls for one in passwords_of(url)]))


def _show_usage(error: typer.TyperException) -> None:
    """As Typer shows it where the error knows how to show itself."""
    show = getattr(error, "show", None)
    if show:
        show()
    else:
        sys.stderr.write(f"rta: {error}\n")


def _tell(problem: str, remedy: str) -> None:
    sys.stderr.write(f"rta: {_without_secrets(problem)}\n  → {remedy}\n")


if __name__ == "__main__":
    main()
