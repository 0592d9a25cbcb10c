"""Errors out of nurseries."""


def sole_leaf(error: BaseException) -> BaseException:
    """The one error in the groups that nurseries wrap around it; a group of several stays."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
