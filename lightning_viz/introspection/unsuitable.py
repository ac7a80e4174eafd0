"""What a user gave does not suit: errors that are said once for all callbacks, in one line that names the cure."""

__all__ = ["UnsuitableError"]


class UnsuitableError(Exception):
    """What was given (a batch, a data set, a network) does not suit; the message names the cure.

    Several callbacks meet the same, at every drawing: a session says it once, and without a traceback, which would
    show our code. Classes of this kind also inherit from the built-in error that callers expect.

    Attributes:
        about: What does not suit; errors with the same text are said once. The message, unless it is told otherwise.
    """

    def __init__(self, message: str, about: str | None = None) -> None:
        super().__init__(message)
        self.about = about or message
