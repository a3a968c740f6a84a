"""The one exception for a message that must not be used."""


class RejectedMessage(ValueError):
    """A message cannot be trusted; the text says what was got and what was expected.

    The receiver counts it, reports it and goes on without the message.
    """
