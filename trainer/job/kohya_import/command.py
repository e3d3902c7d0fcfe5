"""A command line of sd-scripts as a person has it: bash, cmd.exe or PowerShell, on one line or many."""

import dataclasses
import itertools
import re
from collections.abc import Iterator

_WINDOWS = re.compile(r"\^[ \t]*\n|(?:^|[\s\"'=])[A-Za-z]:\\|%\w+%", re.MULTILINE)
# Nothing that may stand anywhere goes on over ends of lines: thousands of empty ones would take the square of them.
_POWERSHELL = re.compile(r"`[ \t]*\n|^[ \t]*\$\w+[ \t]*=", re.MULTILINE)
_CONTINUED = re.compile(r"[\\^`][ \t]*\n[ \t]*")
# There a line may end in a path that ends in a backslash; a sign of continuation stands apart.
_CONTINUED_ON_WINDOWS = re.compile(r"(?:\s\\|[\^`])[ \t]*\n[ \t]*")
_COMMENT = re.compile(r"^[^\S\n]*(?:#|::|@?rem\b).*$", re.IGNORECASE | re.MULTILINE)
_SET = re.compile(r"""^\s*(?:export\s+|set\s+|\$(?:env:)?)?("?)(\w+)\s*=\s*(.*?)\s*$""", re.IGNORECASE)
_SET_FIRST = re.compile(r"""\s*(?:export\s+|\$(?:env:)?)?(\w+)\s*=\s*("[^"]*"|'[^']*'|[^\s"';]*)\s*;\s*""")
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(?:env:)?(\w+)|%(\w+)%")
_ENDS = frozenset({"&&", "||", ";", "|", "&", ">", ">>", "2>&1", "<"})
_NAME = re.compile(r"--?[A-Za-z][\w-]*$")
# What word processors and web pages make of two hyphens, and the marks of Japanese keyboards.
_DASH = r"[\u2010-\u2015\u2212\uff0d]"
_DASHES = re.compile(rf"(?:(?<=\s)|^)(?:{_DASH}(?:{_DASH}|-)?|-{_DASH})(?=[A-Za-z])", re.MULTILINE)
_FULL_EQUALS = re.compile(r"(?<=\s)(--?\w+)\uff1d")
_ROUND_QUOTES = re.compile(r"(?<=[\s=])\u2018([^\u2018\u2019\n]*)\u2019(?=\s|$)")
_UNSET = re.compile(r"\$\{\w+\}|\$(?:env:)?[A-Za-z_]\w*|\$\(|%[A-Za-z_]\w*%")

_MOST_FILLED = 2**20

Flag = tuple[str, str | bool | list[str]]


@dataclasses.dataclass
class _Variables:
    """What the lines so far have set. `left` is how many letters they may still become: a variable that holds itself
    twice would double with every line.
    """

    values: dict[str, str] = dataclasses.field(default_factory=dict)
    left: int = _MOST_FILLED

    def filled(self, line: str) -> str:
        """`line` with its variables filled in; as it is where that would be too long."""
        size = sum(len(self.values.get(name, "")) for hit in _VARIABLE.findall(line) for name in hit if name)
        if size > self.left:
            return line
        self.left -= size
        return _VARIABLE.sub(lambda hit: self.values.get(hit[1] or hit[2] or hit[3], hit[0]), line)


def is_command(text: str) -> bool:
    """Whether this is a command or a script with one, not a TOML file."""
    text = plain(text)
    return bool(re.search(r"(?:^|\s)--[A-Za-z]\w*", text)) and (
        bool(re.search(r"\.py\b|\baccelerate\b", text)) or text.lstrip().startswith("--")
    )


def commands(text: str) -> list[list[str]]:
    """The words of every command in `text` that has flags, variables filled in. Raises ValueError for an open quote."""
    text = plain(text)
    windows, powershell = bool(_WINDOWS.search(text)), bool(_POWERSHELL.search(text))
    if powershell:
        text = text.replace('"\\"', "\\")  # there a backslash is never more than a letter
    joined = (_CONTINUED_ON_WINDOWS if windows else _CONTINUED).sub(" ", _COMMENT.sub("", text))
    variables = _Variables()
    found: list[list[str]] = []
    for line in _logical_lines(joined):
        line = _after_assignments(line, variables)
        assigned = _SET.match(line)
        if assigned and _is_value(assigned[3]):
            value = assigned[3].removesuffix('"') if assigned[1] else assigned[3]
            variables.values[assigned[2]] = _unquoted(variables.filled(value))
        elif re.search(r"(?:^|\s)--?\w", line):
            # In PowerShell what a variable holds is one word, elsewhere as many as it has blanks outside quotes.
            words = split(line if powershell else variables.filled(line), windows=windows)
            found += _separate([variables.filled(word) for word in words])
    return found


def plain(text: str) -> str:
    """`text` with the line ends, hyphens, equals signs and quotation marks that a shell knows."""
    text = re.sub(r"[\u201c\u201d\u201e\uff02]", '"', text.replace("\r\n", "\n").replace("\r", "\n"))
    return _ROUND_QUOTES.sub(r"'\1'", _FULL_EQUALS.sub(r"\1=", _DASHES.sub("--", text)))


def _logical_lines(text: str) -> list[str]:
    """The lines; where flags stand on lines of their own without a sign of continuation, they belong to one command."""
    joined: list[list[str]] = []
    for line in filter(str.strip, text.split("\n")):
        if joined and line.lstrip().startswith("-"):
            joined[-1].append(line.strip())
        else:
            joined.append([line])
    return [" ".join(lines) for lines in joined]


def _after_assignments(line: str, variables: _Variables) -> str:
    """What is left of `A=1; B="x y"; command`, the variables put into `variables`."""
    while found := _SET_FIRST.match(line):
        variables.values[found[1]] = _unquoted(variables.filled(found[2]))
        line = line[found.end() :]
    return line


def _is_value(text: str) -> bool:
    """Whether this is all of what a variable is set to, not `NAME=value command --flag`."""
    return not re.search(r"\s--\w", text) or text[:1] in ("'", '"', "(", "@")


def _unquoted(value: str) -> str:
    value = re.sub(r"\s+#.*$", "", value.strip())
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _separate(words: list[str]) -> Iterator[list[str]]:
    """The commands of a line that holds several, those without flags left out."""
    one: list[str] = []
    for word in [*words, ";"]:
        if word not in _ENDS:
            one.append(word)
            continue
        if any(_NAME.match(part.partition("=")[0]) for part in one):
            yield one
        one = []


def split(line: str, *, windows: bool) -> list[str]:
    """The words of a line. A backslash is a letter on Windows, where paths are full of them. Raises ValueError."""
    words: list[list[str]] = []
    quote, inside, at = "", False, 0
    while at < len(line):
        char, after = line[at], line[at + 1 : at + 2]
        at += 1
        if not quote and char.isspace():
            inside = False
            continue
        if not inside:
            words.append([])
            inside = True
        if char == "\\" and after and _escapes(after, line[at + 1 : at + 2], quote, windows=windows):
            words[-1].append(after)
            at += 1
        elif char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        else:
            words[-1].append(char)
    if quote:
        raise ValueError(quote)
    return ["".join(word) for word in words]


def _escapes(after: str, beyond: str, quote: str, *, windows: bool) -> bool:
    """Whether a backslash before `after` only says that `after` is meant as it is."""
    if windows:
        # A path such as "C:\out\" ends in a backslash; its quote is meant to close.
        return after == '"' and bool(quote) and beyond not in ("", " ", "\t")
    return quote != "'" and (not quote or after in '"\\$`')


def flags(words: list[str]) -> tuple[list[Flag], list[Flag], str]:
    """The flags for the script, those for what starts it, and the name of the script ("" without one)."""
    at = next((i for i, word in enumerate(words) if re.search(r"\.py$", word)), -1)
    script = re.split(r"[\\/]", words[at])[-1] if at >= 0 else ""
    return _flags(words[at + 1 :]), _flags(words[: max(at, 0)]), script


def strays(words: list[str]) -> list[str]:
    """The words behind the script that belong to no flag, such as @arguments.txt."""
    at = next((i for i, word in enumerate(words) if re.search(r"\.py$", word)), len(words))
    return list(itertools.takewhile(lambda word: not _NAME.match(word.partition("=")[0]), words[at + 1 :]))


def unset(words: list[str]) -> list[str]:
    """The variables in the words that nothing was set to."""
    return list(dict.fromkeys(found for word in words for found in _UNSET.findall(word)))


def _flags(words: list[str]) -> list[Flag]:
    found: list[tuple[str, list[str]]] = []
    for word in words:
        name, equals, value = word.partition("=")
        if _NAME.match(name):
            found.append((name.lstrip("-"), [value] if equals else []))
        elif found:
            found[-1][1].append(word)
    return [(name, True if not values else values[0] if len(values) == 1 else values) for name, values in found]


def pairs(value: str | list[str]) -> list[tuple[str, str]]:
    """`"weight_decay=0.1" betas=0.9,0.99`, as text or as a list, as (name, value). Raises ValueError."""
    words = [str(word) for word in value] if isinstance(value, list) else split(value, windows="\\" in value)
    found: list[tuple[str, str]] = []
    for word in words:
        name, equals, rest = word.strip().strip("\"'").partition("=")
        if equals:
            found.append((name.strip(), rest.strip().strip("\"'")))
        elif found:
            # betas=0.9, 0.99 with a space after the comma
            found[-1] = (found[-1][0], f"{found[-1][1].rstrip(',')},{name}")
        else:
            found.append((name, ""))
    return found
