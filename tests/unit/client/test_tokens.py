"""Where tokens come from: files that rotate, commands that are run again in time, and never a token in a text."""

import base64
import json
import os
import sys
from pathlib import Path

import pytest

from ordinaut.client import Client, StaticToken, TokenCommand, TokenFile, TokenUnavailable
from ordinaut.client.tokens import EARLY, UNKNOWN_LIFE, TokenSource, good_until

SECRET = "canary-7c1d"


def jwt(**claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part(claims)}.{part('signature')}"


def command(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


COUNT = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); n = len(p.read_text()) if p.exists() else 0; "
COUNT += "p.write_text('x' * (n + 1)); print(f'token-{n + 1}')"


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    source = TokenFile(file)
    assert await source.token() == "first"
    # As the kubelet does it: a link to another file, of the same size.
    (tmp_path / "new").write_text("other\n")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    (tmp_path / "link").replace(file)
    assert await source.token() == "other"


async def test_a_file_whose_token_was_refused_is_read_again_even_if_it_looks_the_same(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    source = TokenFile(file)
    assert await source.token() == "first"
    before = file.stat()
    file.write_text("other")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert await source.token() == "first"
    source.refused("first")
    assert await source.token() == "other"


async def test_a_command_is_run_again_when_its_token_is_too_old(tmp_path: Path) -> None:
    now = 1000.0
    source = TokenCommand(command(COUNT, str(tmp_path / "count")), now=lambda: now)
    assert [await source.token(), await source.token()] == ["token-1", "token-1"]
    now += UNKNOWN_LIFE
    assert await source.token() == "token-2"
    source.refused("token-2")
    assert await source.token() == "token-3"
    source.refused("token-2")  # another request found out too, late
    assert await source.token() == "token-3"


@pytest.mark.parametrize(
    ("token", "until"),
    [
        (jwt(exp=5000), 5000 - EARLY),
        (jwt(exp="5000"), 5000 - EARLY),
        (jwt(), 1000 + UNKNOWN_LIFE),
        (jwt(exp="soon"), 1000 + UNKNOWN_LIFE),
        ("a.b.c", 1000 + UNKNOWN_LIFE),
        ("a.!.c", 1000 + UNKNOWN_LIFE),
        ("opaque", 1000 + UNKNOWN_LIFE),
    ],
)
def test_a_token_is_used_until_shortly_before_it_expires(token: str, until: float) -> None:
    assert good_until(token, now=1000) == until


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (TokenFile("/nonexistent/token"), "No such file"),
        (TokenCommand(["/nonexistent/program"]), "cannot run it"),
        (TokenCommand(command("import sys; sys.exit('not logged in')")), "status 1: not logged in"),
        (TokenCommand(command("pass")), "it is empty"),
        (TokenCommand(command("print('two words')")), "it is no token"),
    ],
    ids=["file", "program", "status", "nothing", "words"],
)
async def test_a_source_without_a_token_says_why(source: TokenSource, words: str) -> None:
    with pytest.raises(TokenUnavailable, match=words):
        await source.token()


@pytest.mark.parametrize("text", ["", " \n", f"{SECRET}\nX-Evil: 1", f"{SECRET} {SECRET}", f"{SECRET}é", f"{SECRET}\0"])
def test_what_is_no_token_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(TokenUnavailable) as refused:
        StaticToken(text)
    assert SECRET not in str(refused.value)


def test_a_token_is_in_no_text(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    client = Client("http://127.0.0.1:1", token=SECRET)
    for one in (client, client.tasks, StaticToken(SECRET), TokenFile(file)):
        assert SECRET not in repr(one)
        assert SECRET not in str(one)


def test_one_source_is_enough() -> None:
    with pytest.raises(ValueError, match="give one of them"):
        Client("http://127.0.0.1:1", token="a", token_file="b")
    with pytest.raises(ValueError, match="give one of them"):
        Client("http://127.0.0.1:1", token=StaticToken("a"), token_command="b")
