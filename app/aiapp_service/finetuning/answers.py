"""How a provider says no."""


class Refused(Exception):
    """The provider refuses the job for good; `code` and `param` are its own, as far as it says them."""

    def __init__(self, message: str, code: str, param: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class Unreachable(Exception):
    """The provider does not answer, cannot now, or refuses our key: later it may do. Holds nothing secret."""
