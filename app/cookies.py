"""Cookies of this program: read from a request, and named so that two programs on one machine keep theirs apart."""

from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers


def cookie(headers: Headers, name: str) -> str:
    """The value of a cookie; "" where there is none."""
    try:
        found = SimpleCookie("; ".join(headers.getlist("cookie"))).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def named(headers: Headers, what: str) -> str:
    """The name of the cookie for `what`: browsers give the cookies of a machine to all of its ports."""
    host = headers.get("host", "")
    port = host.rpartition(":")[2]
    return f"atelier-{what}-{port if ':' in host and port.isdecimal() else '80'}"
