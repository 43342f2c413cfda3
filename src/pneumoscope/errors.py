"""The kinds of error, and the exit code that the command line gives each.

Every message reads `<what>: expected <rule>, found <value>. <next step>`, on one line. Classes also
subclass the nearest built-in, so that callers who do not know pneumoscope catch them as usual.
"""

from __future__ import annotations


class PneumoscopeError(Exception):
    """Base of all errors that pneumoscope raises on purpose."""

    exit_code = 3


class UsageError(PneumoscopeError, ValueError):
    """An option or a name that does not exist or does not fit."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe, a variant or an override that does not hold together."""


class InputError(PneumoscopeError, ValueError):
    """An image, a study or an archive that cannot be read, or that a model may not judge."""


class DataError(InputError):
    """A dataset folder or manifest that cannot be used as it is."""


class LeakError(DataError):
    """One patient on both sides of a split."""


class BundleError(InputError):
    """A path that is not a bundle, or a bundle that cannot do what was asked of it."""


class IntegrityError(PneumoscopeError, ValueError):
    """Bytes that are not the ones that were hashed, or a check that gives another answer."""

    exit_code = 4


class MissingError(PneumoscopeError, RuntimeError):
    """An optional extra or a weights file that is not here; the message says what supplies it.

    lasting: the message without folders of this machine and answers of this minute, for files that are handed on.
    """

    exit_code = 5

    def __init__(self, message: str, *, lasting: str = "") -> None:
        super().__init__(message)
        self.lasting = lasting or message


def missing_extra(what: str, extra: str) -> MissingError:
    """The error for work that needs an extra which is not installed."""
    return MissingError(
        f"{what}: expected the extra '{extra}', found it not installed. Run: pip install 'pneumoscope[{extra}]'"
    )
