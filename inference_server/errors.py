"""The one exception whose text is meant for the user, and how to tell that memory ran out."""


class UserError(Exception):
    """Something the user can mend; its text is one sentence that says what is wrong and what to do."""


class TooFarApart(UserError):
    """An object's clicks lie so far apart that the network cannot look at all between them."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of Python, numpy, torch or a device means that there was not enough memory."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in text
        or "out of memory" in text
    )
