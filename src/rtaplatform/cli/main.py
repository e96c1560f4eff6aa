"""The command `rta`: one module per command, loaded on demand.

A module `cli/commands/NAME.py` has a function `command`, typed for Typer, or `app`, a Typer of its own for a group.
COMMANDS lists them with their one-line help, so that `rta --help` loads none of them, and a broken command does not
break the others.
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
from rtaplatform.core.server_addresses import list_passwords, mask_urls, mask_values

# Command name → (module below rtaplatform.cli.commands, help line, whether it is a group).
COMMANDS: dict[str, tuple[str, str, bool]] = {
    "up": ("up", "Run the whole platform on this machine, with a simulated shop.", False),
    "status": ("status", "Show the address of an instance and the state of its parts.", False),
    "doctor": ("doctor", "Check everything that `rta up` needs.", False),
    "simulate": ("simulate", "Send the events of a simulated shop.", False),
    "worker": ("worker", "Run a worker: events in Kafka become totals in Redis.", False),
    "profiles": ("profiles", "Run the process that keeps user profiles: identify events become rows.", False),
    "api": ("api", "Serve collecting, queries, live updates and the catalog.", False),
    "migrate": ("migrate", "Bring catalog, topics, functions and shards to this version.", False),
    "keys": ("keys", "Make, list and revoke API keys.", True),
    "topics": ("topics", "List topics; accept a re-created or truncated one.", True),
    "dead-letters": ("letters.dead_letters", "List, show and replay dead letters.", True),
    "rebuild": ("rebuild", "Count everything again from the log, beside the live totals.", False),
    "reconcile": ("reconcile", "Compare the live totals with a recount of the log.", False),
    "import": (
        "history.import_history",
        "Import the history of another tool: Plausible, Umami, Matomo, GA4, or a CSV.",
        False,
    ),
    "catalog": ("catalog", "Import users and products.", True),
    "bench": ("bench", "Measure what the platform does on this machine.", True),
}
EXIT_OK, EXIT_BUG, EXIT_USAGE, EXIT_MISSING = 0, 1, 2, 3
EPILOG = "Examples:  rta up    rta up --port 0 --simulate 200    rta status --json"


def build_app(command: str | None) -> typer.Typer:
    """The application with this command. The other commands have only their names and help lines."""
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
        if name == command:
            _add(app, name, importlib.import_module(f"rtaplatform.cli.commands.{module}"), is_group)
        else:
            app.command(name, help=line)(_refuse_other_command)
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


def _refuse_other_command() -> None:
    raise AssertionError("only the requested command is loaded")


def _find_command(arguments: list[str]) -> str | None:
    return next((word for word in arguments if not word.startswith("-")), None)


def main() -> None:
    """Run the command of `sys.argv` and end with its exit code (docs/reference/record.md)."""
    if (words := sys.argv[1:])[:1] in (["--version"], ["-V"], ["version"]):
        print(f"rta {__version__}")
        sys.exit(EXIT_OK)
    if words[:1] == ["help"]:
        sys.argv[1:] = [*words[1:], "--help"]
    try:
        code = build_app(_find_command(sys.argv[1:]))(standalone_mode=False, prog_name="rta")
    except SetupError as error:
        _print_problem(error.problem, error.remedy)
        code = error.exit_code
    except Stopped as error:
        _print_problem(str(error), "See docs/how-to.")
        code = EXIT_MISSING
    except Unavailable as error:
        _print_problem(str(error), "See whether the server runs and can be reached; `rta status` says where ours are.")
        code = EXIT_MISSING
    except typer.TyperException as error:
        _show_usage(error)
        code = EXIT_USAGE
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        code = _discard_output()
    except SystemExit as exit_request:  # the library's own, if nobody reads the output any more, as with `| head`
        code = _discard_output() if isinstance(exit_request.__context__, BrokenPipeError) else exit_request.code
    except Exception as error:  # noqa: BLE001  # the outermost place
        code = _report_failure(error)
    sys.exit(code if isinstance(code, int) else EXIT_OK)


def _discard_output() -> int:
    """Discard the output, because nobody reads it: flushing it at exit must not fail. Returns the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_OK


def _report_failure(error: Exception) -> int:
    """Report a refused environment variable, or a bug of ours. Returns the exit code."""
    if type(error).__name__ == "ValidationError" and str(getattr(error, "title", "")).endswith("Settings"):
        from rtaplatform.cli.wrong_settings import describe_wrong_setting

        problem = describe_wrong_setting(error)  # type: ignore[arg-type]  # pydantic is not imported only for the name of its class
        _print_problem(problem.problem, problem.remedy)
        return problem.exit_code
    sys.stderr.write(_mask_secrets(traceback.format_exc()))
    _print_problem("This is a bug of ours.", "Please report it with the lines above.")
    return EXIT_BUG


def _mask_secrets(text: str) -> str:
    """The text without the secrets of environment and command line, and without logins in URLs."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("RTA_")}
    secrets = [value for name, value in variables.items() if name.endswith(("_PASSWORD", "_KEY"))]
    urls = [value for name, value in variables.items() if name.endswith("_URL")] + sys.argv[1:]
    return mask_urls(mask_values(text, secrets + [password for url in urls for password in list_passwords(url)]))


def _show_usage(error: typer.TyperException) -> None:
    """Show the error as Typer does, if it has a method for that."""
    show = getattr(error, "show", None)
    if show:
        show()
    else:
        sys.stderr.write(f"rta: {error}\n")


def _print_problem(problem: str, remedy: str) -> None:
    sys.stderr.write(f"rta: {_mask_secrets(problem)}\n  → {remedy}\n")


if __name__ == "__main__":
    main()
