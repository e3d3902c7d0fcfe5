"""Whether a pickle makes much more of itself than it is long, found without making anything of it.

torch's reader of weights alone runs no program, but a few bytes can bid it fill gigabytes: bytearray(8 * 2**30), a set
of the rows of a tensor that says to have billions, one long list copied again and again. No checkpoint does such
things.
"""

import dataclasses
import io
import pickletools
import re
import types
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

MOST_BYTES = 16 * 2**20
"""The pickle of a checkpoint of Stable Diffusion XL takes half a MiB: its weights lie outside."""
MOST_STEPS = 1_000_000
"""A tensor takes about 25."""
MOST_COPIED = 16 * 2**20
_NEEDED = re.compile(
    r"torch\.((storage\.)?\w+Storage|(?!\w*Tensor)\w+|nn\.parameter\.Parameter|serialization\._get_layout"
    r"|_utils\._rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state))"
    r"|collections\.\w+|_codecs\.encode|builtins\.(set|complex)|(numpy|pytorch_lightning)\..*"
)
_FILLING = ("torch.", "builtins.bytearray")
_THOROUGH = ("collections.", "_codecs.", "builtins.", "torch.Size")
"""What begins so goes through all it is given, and a tensor may say to have any number of rows."""

_Kind = Literal["tuple", "list", "dict", "made", "name", "plain"]
_EMPTY: Mapping[str, _Kind] = types.MappingProxyType(
    {"EMPTY_TUPLE": "tuple", "EMPTY_LIST": "list", "EMPTY_DICT": "dict"}
)
_PLAIN = ("NONE", "NEWFALSE", "NEWTRUE", "EMPTY_SET", "BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1")


def swells(content: bytes, pickles: int) -> bool:
    """Whether one of the `pickles` pickles that `content` begins with could fill the memory.

    Of what torch does not read either the answer is no.
    """
    stream = io.BytesIO(content[:MOST_BYTES])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of texts in the old spelling with odd backslashes
            for _ in range(pickles):
                _Walk().through(stream)
    except _Swells:
        return True
    except (ValueError, LookupError):
        return stream.tell() >= MOST_BYTES
    return False


class _Swells(Exception):
    """The pickle does what no checkpoint needs and what could fill the memory."""


@dataclasses.dataclass(slots=True)
class _Thing:
    """Something in a pickle: of what kind, of about how many parts, and the name of a function or class."""

    kind: _Kind
    size: int = 1
    name: str = ""
    holds_made: bool = False

    def take(self, parts: "Sequence[_Thing]") -> None:
        """`parts` lie in it from now on."""
        self.size = min(self.size + sum(part.size for part in parts), MOST_COPIED + 1)
        self.holds_made = self.holds_made or any(part.holds_made for part in parts)


class _Walk:
    """The machine that a pickle is a program for; of everything it makes only how large it would be."""

    def __init__(self) -> None:
        self._stack: list[_Thing] = []
        self._below: list[list[_Thing]] = []
        self._memo: dict[int, _Thing] = {}
        self._copied = 0

    def through(self, stream: io.BytesIO) -> None:
        """Reads one pickle. Raises _Swells, and ValueError or LookupError for what torch does not read."""
        for number, (code, given, _) in enumerate(pickletools.genops(stream)):
            if number >= MOST_STEPS:
                raise _Swells
            self._step(code.name, given)

    def _step(self, code: str, given: Any) -> None:
        match code:
            case "PROTO" | "STOP":
                pass
            case "MARK":
                self._below.append(self._stack)
                self._stack = []
            case "BINPUT" | "LONG_BINPUT":
                self._memo[given] = self._stack[-1]
            case "BINGET" | "LONG_BINGET":
                found = self._memo[given]
                # What lies in a tuple may have grown since: none is given to a function but where it is laid out.
                self._stack.append(dataclasses.replace(found, kind="plain") if found.kind == "tuple" else found)
            case "GLOBAL":
                self._stack.append(_named(given))
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                parts = self._since_mark() if code == "TUPLE" else self._last(int(code[-1]))
                self._put("tuple").take(parts)
            case "APPEND" | "SETITEM":
                parts = self._last(1 if code == "APPEND" else 2)
                self._stack[-1].take(parts)
            case "APPENDS" | "SETITEMS":
                parts = self._since_mark()
                self._stack[-1].take(parts)
            case "BINPERSID":
                self._last(1)
                self._put("made")
            case "BUILD":
                self._given(self._stack.pop(), "tuple", "dict")
            case "REDUCE" | "NEWOBJ":
                self._call(self._stack.pop())
            case "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT":
                self._put(_EMPTY[code])
            case "BINUNICODE" | "SHORT_BINSTRING":
                self._put("plain").size += len(given)
            case _ if code in _PLAIN:
                self._put("plain")
            case _:
                raise ValueError(code)

    def _put(self, kind: _Kind) -> _Thing:
        self._stack.append(_Thing(kind, holds_made=kind == "made"))
        return self._stack[-1]

    def _last(self, count: int) -> list[_Thing]:
        return [self._stack.pop() for _ in range(count)]

    def _since_mark(self) -> list[_Thing]:
        found, self._stack = self._stack, self._below.pop()
        return found

    def _call(self, given: _Thing) -> None:
        self._given(given, "tuple")
        name = self._stack.pop().name
        if not name or name.endswith("Storage") or (given.holds_made and name.startswith(_THOROUGH)):
            raise _Swells
        self._put("made")

    def _given(self, what: _Thing, *kinds: _Kind) -> None:
        """What a function or a thing gets is taken apart or copied, so it has to be laid out in the pickle."""
        self._copied += what.size
        if what.kind not in kinds or self._copied > MOST_COPIED:
            raise _Swells


def _named(given: str) -> _Thing:
    """The function or class of a module and a name. Raises _Swells, and ValueError for what torch does not know."""
    name = given.replace(" ", ".").replace("__builtin__.", "builtins.")
    if not _NEEDED.fullmatch(name):
        raise _Swells if name.startswith(_FILLING) else ValueError(name)
    return _Thing("name", name=name)
