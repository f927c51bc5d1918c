"""Errors of a command, as one sentence and an exit code."""

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import click


def sentence_for_errors(command: Callable[..., int | None]) -> Callable[..., None]:
    """Ends a user's mistake in one sentence and its exit code, a fault of ours in its message."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        from taskroute.schemas.errors import UserError

        try:
            code = command(*args, **kwargs)
        except UserError as error:
            for line in error.details:
                click.echo(line)
            click.echo(f"taskroute: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("taskroute: stopped; the same command goes on from the last stage", err=True)
            sys.exit(130)
        except Exception as error:
            if kwargs.get("verbose"):
                traceback.print_exc()
            cause = str(error).strip().splitlines()
            can_say_more = kwargs.get("verbose") is False
            hint = " (call again with -v for the traceback)" if can_say_more else ""
            click.echo(
                f"taskroute: {type(error).__name__}: {cause[0] if cause else 'no message'}{hint}",
                err=True,
            )
            sys.exit(1)
        sys.exit(code or 0)

    return run
