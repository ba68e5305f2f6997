"""Keys that hooks name: from a folder or from the API server, remembered for a while, and told to nobody."""

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from ordinaut_api.identity.authority import AuthorityAway
from ordinaut_api.webhooks.doors import Door, Doors
from ordinaut_api.webhooks.secrets import (
    BAD_SECONDS,
    GOOD_SECONDS,
    MAX_SIZE,
    ClusterSecrets,
    Folder,
    Nowhere,
    Read,
    Reference,
    Secrets,
)
from ordinaut_api.webhooks.styles import github, standard

REFERENCE = Reference("team-a", "github-webhook", "secret")
SECRET = "hunter2-hunter2"


class Clock:
    """Seconds that the test passes."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """An API server that gives one answer to all."""

    def __init__(self, status: int = 200, body: bytes | None = None, *, data: dict[str, str] | None = None) -> None:
        self.answer = status, orjson.dumps({"data": data}) if body is None else body
        self.asked: list[str] = []

    async def get(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        return self.answer


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


async def read(server: Server) -> Read:
    return await ClusterSecrets(server).read(REFERENCE)  # type: ignore[arg-type]


def keep(folder: Path, reference: Reference, value: bytes) -> None:
    path = folder / reference.namespace / reference.name / reference.key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value)


async def test_a_folder_has_the_keys_as_pods_have_them_mounted(tmp_path: Path) -> None:
    keep(tmp_path, REFERENCE, SECRET.encode() + b"\n")

    assert (await Folder(tmp_path).read(REFERENCE)).text == SECRET


async def test_a_file_that_can_not_be_read_is_named_with_the_remedy(tmp_path: Path) -> None:
    found = await Folder(tmp_path).read(REFERENCE)

    assert not found
    assert found.why == (
        f"the file {tmp_path}/team-a/github-webhook/secret can't be read (No such file or directory): write it, or set "
        "ORDINAUT_SECRETS_DIR"
    )


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"x" * (MAX_SIZE + 1), f"it has more than {MAX_SIZE} bytes: write the key alone"),
        (b"\xff\xfe", "it is not text: write the key as its sender shows it"),
    ],
)
async def test_what_is_no_key_is_told_without_it(tmp_path: Path, value: bytes, why: str) -> None:
    keep(tmp_path, REFERENCE, value)

    assert (await Folder(tmp_path).read(REFERENCE)).why == why
    assert (await read(Server(data={"secret": encoded(value)}))).why == why


async def test_the_api_server_is_asked_for_the_secret_of_the_namespace() -> None:
    server = Server(data={"secret": encoded(SECRET.encode())})

    assert (await read(server)).text == SECRET
    assert server.asked == ["/api/v1/namespaces/team-a/secrets/github-webhook"]


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (
            Server(403, b'{"message": "secrets is forbidden"}'),
            "the api may not read it: bind a Role with get on secrets, resourceNames [github-webhook], in namespace"
            " team-a to the service account of the api",
        ),
        (Server(404, b"{}"), "there is no such Secret: make it"),
        (Server(500, b"{}"), "the API server answers with status 500"),
        (Server(data={"other": encoded(b"x")}), "the Secret has no such key: add it"),
        (Server(200, b'{"data": null}'), "the Secret has no such key: add it"),
        (Server(200, b"<html>"), "something else answers in place of the API server"),
        (Server(200, b"[]"), "something else answers in place of the API server"),
        (Server(200, b'{"data": {"secret": 7}}'), "something else answers in place of the API server"),
    ],
)
async def test_why_the_api_server_gives_no_key_is_told_with_the_remedy(server: Server, why: str) -> None:
    assert (await read(server)).why == why


async def test_without_a_source_it_says_which_there_are() -> None:
    assert "set ORDINAUT_SECRETS_DIR" in (await Secrets(Nowhere()).get(REFERENCE)).why


async def test_a_key_is_asked_for_once_and_again_when_half_a_minute_is_over(tmp_path: Path) -> None:
    clock = Clock()
    secrets = Secrets(Folder(tmp_path), clock=clock)
    assert not await secrets.get(REFERENCE)
    keep(tmp_path, REFERENCE, b"first")
    assert not await secrets.get(REFERENCE)
    clock.now += BAD_SECONDS + 1
    assert (await secrets.get(REFERENCE)).text == "first"
    keep(tmp_path, REFERENCE, b"second")
    clock.now += GOOD_SECONDS - 1
    assert (await secrets.get(REFERENCE)).text == "first"
    clock.now += 2
    assert (await secrets.get(REFERENCE)).text == "second"


async def test_an_api_server_that_is_away_is_a_reason_like_others() -> None:
    class Away:
        async def read(self, reference: Reference) -> Read:
            assert reference == REFERENCE
            raise AuthorityAway("The Kubernetes API server can't be asked: it does not answer.")

    found = await Secrets(Away()).get(REFERENCE)

    assert not found
    assert found.why.startswith("The Kubernetes API server")


def test_no_text_shows_a_key() -> None:
    assert SECRET not in f"{Read(SECRET)} {Read(SECRET)!r}"


def door(*keys: str, style: Any = github.STYLE) -> Door:
    return Door("team-a", "hook", "a.b", style, tuple(Reference("team-a", "s", key) for key in keys))


async def test_a_door_has_the_keys_that_can_be_read_and_says_whether_these_are_all(tmp_path: Path) -> None:
    keep(tmp_path, Reference("team-a", "s", "old"), b"one")
    doors = Doors(Secrets(Folder(tmp_path)))

    assert await doors.keys(door("old")) == ([b"one"], True)
    assert await doors.keys(door("old", "new")) == ([b"one"], False)
    assert await doors.keys(door("new")) == ([], False)


async def test_what_is_wrong_with_a_key_is_logged_once_and_its_end_too(tmp_path: Path) -> None:
    clock = Clock()
    keep(tmp_path, Reference("team-a", "s", "key"), f"whsec_{SECRET}-".encode())
    doors = Doors(Secrets(Folder(tmp_path), clock=clock))
    one = door("key", style=standard.STYLE)
    with structlog.testing.capture_logs() as logged:
        assert await doors.keys(one) == ([], False)
        assert await doors.keys(one) == ([], False)
        keep(tmp_path, Reference("team-a", "s", "key"), b"whsec_c2VjcmV0")
        clock.now += GOOD_SECONDS + 1
        assert await doors.keys(one) == ([b"secret"], True)

    assert [(entry["event"], entry["hook"], entry["secret"]) for entry in logged] == [
        ("a hook can't check signatures", "team-a/hook", "key key of Secret team-a/s"),
        ("a hook can check signatures again", "team-a/hook", "key key of Secret team-a/s"),
    ]
    assert logged[0]["why"] == "the key is not whsec_ and base64: write it as its sender shows it"
    assert SECRET not in str(logged)


async def test_each_door_lets_in_so_many_a_minute() -> None:
    doors = Doors(limit=2, clock=Clock())
    first, second = door("a"), Door("team-b", "hook", "a.b", github.STYLE, ())

    assert [doors.admit(one).allowed for one in (first, first, first, second)] == [True, True, False, True]
