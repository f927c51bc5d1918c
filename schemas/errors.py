"""Errors that a user can cause and mend: one sentence and one exit code each."""

from collections.abc import Sequence


class UserError(Exception):
    """Says what is wrong, where, and what to do, in one sentence.

    Args:
        sentence: The sentence.
        details: Lines that the command line prints beside it, such as the first bad rows.
    """

    exit_code = 1

    def __init__(self, sentence: str, details: Sequence[str] = ()):
        super().__init__(sentence)
        self.details = tuple(details)


class ConfigError(UserError):
    """The command line or the config is wrong."""

    exit_code = 2


class DataError(UserError):
    """The log cannot be used as the config says."""

    exit_code = 3


NOT_BLESSED = 4
SERVING_CHECK_FAILED = 5


class ServingError(UserError):
    """The candidate would not serve what was evaluated."""

    exit_code = SERVING_CHECK_FAILED
