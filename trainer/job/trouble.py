"""Errors that a person can do something about."""

from trainer.job.words import say


class Trouble(Exception):
    """What happened and what to do about it, from the sentences `key` and `key_advice`."""

    def __init__(self, key: str, **values: object) -> None:
        self.key = key
        self.reason = say(key, **values)
        self.advice = say(f"{key}_advice", **values)
        super().__init__(f"{self.reason} {self.advice}")


class Refused(Exception):
    """What cannot be done with a file, why, and what to do instead: the one sentence `key`."""

    def __init__(self, key: str, **values: object) -> None:
        self.key = key
        super().__init__(say(key, **values))
