"""The one exception whose text is meant for the user."""


class UserError(Exception):
    """Something the user can mend; its text is one sentence that says what is wrong and what to do."""
