"""
Credentials are read anew when their files change, and only once they can be.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.secret_source import SecretFile
from proxy.config.secrets import read_file, read_token
from proxy.core.credential import FixedToken, Issuer, ServiceUser, private_key
from proxy.core.keyfile import parse_key_json
from proxy.core.secret import Secret
from proxy.errors import CredentialInvalid
from proxy.rotation.rotation import HANGS, MEANWHILE, MOST_COMPLAINTS, MOST_HUNG, Rotation
from proxy.rotation.sight import IS_GONE, state
from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUER = Issuer("zitadel", "https://issuer.test")
PATIENCE = 0.2

ticks = itertools.count(1_800_000_000)


def put(path, text, *, mode="w"):
    """
    Write a private file, at another moment than any before as far as the file system knows.
    """
    with path.open(mode) as file:
        file.write(text)
    path.chmod(0o600)
    moment = next(ticks)
    os.utime(path, (moment, moment))


def rename(path, text):
    """
    Put another file in the place of *path*, as careful tools do.
    """
    beside = path.with_name(path.name + ".new")
    put(beside, text)
    beside.replace(path)


class Gate:
    """
    A place where a thread waits until it is opened: a file system that hangs.
    """

    def __init__(self):
        self._entered, self._open = threading.Event(), threading.Event()

    def __call__(self, *_):
        """
        Wait, in a thread.
        """
        self._entered.set()
        self._open.wait(30)

    async def entered(self):
        """
        Wait until a thread waits.
        """
        assert await asyncio.to_thread(self._entered.wait, 30)

    def open(self):
        """
        Let all pass.
        """
        self._open.set()


class Place:
    """
    A folder with one token file per service user, and what a Rotation of them told and handed out.
    """

    def __init__(self, folder, names=("robot",), **options: Any):
        self.folder = folder
        self.now = 1000.0
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.given: list[str] = []
        self.reads: list[str] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.before_read: Callable[[str], object] = lambda _name: None
        for name in names:
            put(self.path(name), f"{name}-1")
        self.rotation = Rotation(
            [self._user(name) for name in names],
            self.read,
            lambda name: (self.path(name),),
            on_event=lambda event, **facts: self.told.append((event, facts)),
            boot=lambda: self.now,
            **{"patience": PATIENCE, **options},
        )

    def path(self, name):
        """
        Return where the token of *name* lies.
        """
        return self.folder / name

    def read(self, name):
        """
        Read a user's file, as the program does.
        """
        self.reads.append(name)
        self.before_read(name)
        return self._user(name)

    async def look(self, times=1):
        """
        Look so many times; return what was handed to the keeper meanwhile.
        """
        before = len(self.given)
        for _ in range(times):
            await self.rotation.look(lambda user: self.given.append(value(user)))
        return self.given[before:]

    def ask(self):
        """
        Begin to reread the robot's file.
        """
        return spawn(self.tasks, self.rotation.reread("robot"), name="reread")

    def events(self, name="credential.unreadable"):
        """
        Return the facts of all events of that name so far.
        """
        return [facts for event, facts in self.told if event == name]

    def reasons(self):
        """
        Return what was complained of so far.
        """
        return [(facts["service_user"], facts["reason"]) for facts in self.events()]

    def _user(self, name):
        token = read_token(SecretFile(self.path(name)), self.folder, {})
        return ServiceUser(name, ISSUER, FixedToken(token))


def value(user):
    """
    Return the token of a user.
    """
    return user.credential.value.reveal()


@pytest.fixture
def place(tmp_path):
    """
    One service user, looked at once.
    """
    return Place(tmp_path)


@pytest.fixture(scope="module")
def pems():
    """
    Two private keys as ZITADEL writes them.
    """
    return [
        rsa.generate_private_key(65537, 2048)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        .decode()
        for _ in range(2)
    ]


async def test_files_that_stay_are_not_read(place):
    """
    A look costs a `stat`: what has not changed is neither read nor handed out.
    """
    assert await place.look(5) == []
    assert (place.reads, place.told) == ([], [])


@pytest.mark.parametrize("change", [put, rename], ids=["in place", "renamed over"])
async def test_a_changed_file_is_taken_once_it_has_settled(place, change):
    """
    At the second look that finds it the same, once, and that is said without the secret.
    """
    await place.look()
    change(place.path("robot"), "robot-2")

    assert await place.look() == []
    assert await place.look() == ["robot-2"]
    assert await place.look(3) == []
    fingerprint = Secret("robot-2").fingerprint()
    assert place.told == [
        (
            "credential.reloaded",
            {
                "service_user": "robot",
                "method": "personal_access_token",
                "fingerprint": fingerprint,
            },
        )
    ]
    assert [value(user) for user in place.rotation.users] == ["robot-2"]


async def test_a_turned_link_is_followed(tmp_path):
    """
    Kubernetes mounts a secret as a link into `..data`, a link to a folder that it exchanges.
    """
    for number in (1, 2):
        (tmp_path / f"..{number}").mkdir()
        put(tmp_path / f"..{number}" / "token", f"robot-{number}")
    os.utime(tmp_path / "..1" / "token", (1, 1))
    os.utime(tmp_path / "..2" / "token", (1, 1))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "robot").symlink_to("..data/token")
    place = Place(tmp_path, ())
    place.rotation = Rotation(
        [place._user("robot")],
        place.read,
        lambda name: (tmp_path / name,),
        on_event=lambda event, **facts: place.told.append((event, facts)),
        boot=lambda: 0.0,
    )
    await place.look()

    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    assert await place.look(2) == ["robot-2"]


async def test_a_file_being_written_is_left_alone(place):
    """
    As long as it differs from one look to the next it is not read, though it could be.
    """
    await place.look()
    put(place.path("robot"), "")
    for part in ("ro", "bot", "-2"):
        await place.look()
        put(place.path("robot"), part, mode="a")

    assert (place.given, place.reads) == ([], [])
    assert await place.look(2) == ["robot-2"]
    assert place.events() == []


async def test_a_half_written_file_keeps_the_old(place):
    """
    Left half, it is complained of once, tried at each look, and taken when it is whole.
    """
    await place.look()
    put(place.path("robot"), "")
    assert await place.look(5) == []
    assert place.reads == ["robot"] * 4

    assert [facts["service_user"] for facts in place.events()] == ["robot"]
    assert "empty" in place.events()[0]["reason"]
    assert place.events()[0]["meanwhile"] == MEANWHILE
    put(place.path("robot"), "robot-2")
    assert await place.look(2) == ["robot-2"]


async def test_each_problem_is_told_once(place):
    """
    Another reason is another problem; after a good reading the same one is news again.
    """
    await place.look()
    path = place.path("robot")
    for text in ("", "two\nlines", "", "two\nlines"):
        put(path, text)
        await place.look(3)
    first, second = (facts["reason"] for facts in place.events())
    assert ("empty" in first, "one line" in second) == (True, True)

    put(path, "robot-1")
    await place.look(2)
    put(path, "")
    await place.look(2)
    assert [facts["reason"] for facts in place.events()] == [first, second, first]


async def test_a_change_that_is_undone_ends_its_problem(tmp_path):
    """
    Back with the very file that was read before, the same problem is news the next time.
    """
    folder = tmp_path / "mount"
    folder.mkdir()
    place = Place(folder)
    await place.look()
    for _ in range(2):
        folder.rename(tmp_path / "elsewhere")
        await place.look(2)
        (tmp_path / "elsewhere").rename(folder)
        await place.look(2)

    assert place.reasons() == [("robot", IS_GONE), ("robot", IS_GONE)]
    assert place.given == []


async def test_reasons_without_end_are_not_told_without_end(place):
    """
    A reader that finds another reason each time is cut short.
    """
    await place.look()
    numbers = itertools.count()

    def refuse(_name):
        raise CredentialInvalid(f"problem {next(numbers)}")

    place.before_read = refuse
    put(place.path("robot"), "robot-2")
    await place.look(2 * MOST_COMPLAINTS)

    assert len(place.events()) == MOST_COMPLAINTS


async def test_a_removed_file_keeps_the_old(place):
    """
    It is complained of once; back with what it held, nothing is news, and its next content is.
    """
    await place.look()
    place.path("robot").unlink()
    assert await place.look(4) == []
    assert place.reasons() == [("robot", IS_GONE)]

    put(place.path("robot"), "robot-1")
    assert await place.look(3) == []
    assert place.events("credential.reloaded") == []
    rename(place.path("robot"), "robot-2")
    assert await place.look(2) == ["robot-2"]


async def test_a_folder_that_is_gone_is_a_file_that_is_gone(tmp_path):
    """
    So it is when a volume is not mounted any more, or a file stands where its folder was.
    """
    folder = tmp_path / "mount"
    folder.mkdir()
    place = Place(folder)
    await place.look()
    folder.rename(tmp_path / "elsewhere")
    await place.look(2)
    put(folder, "")
    await place.look(2)

    assert place.reasons() == [("robot", IS_GONE)]


async def test_a_file_gone_before_the_first_look_is_complained_of(place):
    """
    The first look takes for granted what it finds, not what it does not find.
    """
    place.path("robot").unlink()
    await place.look(2)

    assert place.reasons() == [("robot", IS_GONE)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read files whatever their mode")
async def test_a_file_that_may_not_be_read_keeps_the_old(place):
    """
    A mode that shuts the process out is complained of, and read once it no longer does.
    """
    await place.look()
    put(place.path("robot"), "robot-2")
    place.path("robot").chmod(0)
    assert await place.look(3) == []
    assert len(place.events()) == 1

    place.path("robot").chmod(0o600)
    assert await place.look(2) == ["robot-2"]


async def test_a_file_that_others_may_read_keeps_the_old(place):
    """
    The rules for a secret's file hold for its successor; to put its mode right is enough.
    """
    await place.look()
    put(place.path("robot"), "robot-2")
    place.path("robot").chmod(0o644)
    assert await place.look(3) == []
    assert "chmod 640" in place.events()[0]["reason"]

    place.path("robot").chmod(0o600)
    assert await place.look(2) == ["robot-2"]


async def test_what_cannot_be_read_is_tried_at_every_look(place):
    """
    A problem that passes without a trace on the file is over at the next look.
    """
    await place.look()
    put(place.path("robot"), "robot-2")

    def refuse(_name):
        raise CredentialInvalid("the file cannot be read")

    place.before_read = refuse
    assert await place.look(3) == []
    place.before_read = lambda _name: None
    assert await place.look() == ["robot-2"]


@pytest.mark.parametrize("change", [put, rename], ids=["in place", "renamed over"])
async def test_the_same_content_again_is_no_news(place, change):
    """
    It is read, once, and neither handed out nor told of.
    """
    await place.look()
    change(place.path("robot"), "robot-1")

    assert await place.look(4) == []
    assert (place.reads, place.told) == (["robot"], [])


async def test_files_read_while_they_changed_are_read_again(tmp_path):
    """
    With the state from before the first reading, a change between it and the first look counts.
    """
    put(tmp_path / "robot", "robot-0")
    place = Place(tmp_path, seen={"robot": state([tmp_path / "robot"])})
    rename(place.path("robot"), "robot-2")

    assert await place.look(2) == ["robot-2"]


async def test_users_without_files_are_left_out(tmp_path):
    """
    What comes from the environment never changes, so nobody looks for it.
    """
    place = Place(tmp_path)
    user = ServiceUser("plain", ISSUER, FixedToken(Secret("plain-1")))
    rotation = Rotation(
        [user], place.read, lambda _name: (), on_event=pytest.fail, boot=lambda: 0.0
    )

    await rotation.look(lambda user: pytest.fail(user.name))

    assert await rotation.reread("plain") is None
    assert await rotation.reread("unknown") is None
    assert (place.reads, rotation.users) == ([], (user,))


async def test_one_users_trouble_does_not_hold_up_others(tmp_path):
    """
    Gone, damaged or read with a bug: the others' changes are taken at the same look.
    """
    place = Place(tmp_path, ("gone", "damaged", "bug", "fine"))
    await place.look()

    def stumble(name):
        if name == "bug":
            raise ValueError("canary in the file")

    place.before_read = stumble
    for name in ("bug", "fine"):
        put(place.path(name), f"{name}-2")
    place.path("gone").unlink()
    put(place.path("damaged"), "\0")

    assert await place.look(2) == ["fine-2"]
    assert [name for name, _ in place.reasons()] == ["gone", "damaged", "bug"]
    assert place.reasons()[2] == ("bug", "reading it failed (ValueError)")


async def test_a_keeper_that_fails_is_handed_the_user_again(place):
    """
    What was not taken is not remembered as taken.
    """
    await place.look()
    put(place.path("robot"), "robot-2")
    await place.look()
    with pytest.raises(ZeroDivisionError):
        await place.rotation.look(lambda _user: 1 / 0)

    assert await place.look() == ["robot-2"]


async def test_a_file_system_that_hangs_holds_up_its_users_alone(tmp_path):
    """
    They are left out until it answers, which is complained of once; looks do not pile up.
    """
    place = Place(tmp_path, ("a", "stuck", "z"))
    await place.look()
    gate = Gate()
    place.before_read = lambda name: gate() if name == "stuck" else None
    for name in ("a", "stuck", "z"):
        put(place.path(name), f"{name}-2")
    await place.look()

    assert await place.look() == ["a-2"]
    assert await place.look(2) == ["z-2"]
    assert place.reads == ["a", "stuck", "z"]
    assert place.reasons() == [("stuck", HANGS)]
    hung = place.rotation._hung["stuck"]
    gate.open()
    assert await hung.ended(30)
    assert await place.look() == ["stuck-2"]
    assert place.reads == ["a", "stuck", "z", "stuck"]


async def test_a_file_system_that_hangs_again_is_told_of_again(place):
    """
    Once it has answered in between, even if nothing was read then.
    """
    await place.look()
    for content in ("robot-2", "robot-3"):
        gate = Gate()
        place.before_read = gate
        put(place.path("robot"), content)
        await place.look(2)
        hung = place.rotation._hung["robot"]
        place.path("robot").unlink()
        gate.open()
        assert await hung.ended(30)
        await place.look()

    assert place.reasons() == [("robot", HANGS), ("robot", HANGS)]


async def test_not_every_user_of_a_file_system_that_hangs_costs_a_thread(tmp_path):
    """
    Once so many hang, no further thread is begun until one comes back.
    """
    names = [f"user-{number}" for number in range(MOST_HUNG + 2)]
    place = Place(tmp_path, names, patience=0.02)
    await place.look()
    gate = Gate()
    place.before_read = gate
    for name in names:
        put(place.path(name), f"{name}-2")

    while len(place.rotation._hung) < MOST_HUNG:
        await place.look()
    reads = len(place.reads)
    assert await place.look(3) == []

    assert len(place.reads) == reads == MOST_HUNG
    gate.open()
    for survey in place.rotation._hung.values():
        assert await survey.ended(30)
    place.rotation._patience = 30
    assert sorted(await place.look(2)) == sorted(f"{name}-2" for name in names)


async def test_a_look_that_is_under_way_is_the_only_one(place):
    """
    Another that is begun meanwhile returns at once.
    """
    await place.look()
    put(place.path("robot"), "robot-2")
    await place.look()
    gate = Gate()
    place.before_read = gate
    place.rotation._patience = 30
    first = spawn(place.tasks, place.look(), name="look")
    await gate.entered()

    assert await place.look() == []
    gate.open()
    assert await first == ["robot-2"]
    assert place.reads == ["robot"]


async def test_a_look_that_is_cancelled_takes_nothing(place):
    """
    What its thread still reads is for nobody; the next look finds it again.
    """
    await place.look()
    put(place.path("robot"), "robot-2")
    await place.look()
    gate = Gate()
    place.before_read = gate
    look = spawn(place.tasks, place.look(), name="look")
    await gate.entered()
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    gate.open()

    assert await place.look() == ["robot-2"]


async def test_after_a_refusal_files_are_read_at_once(place):
    """
    The successor is returned, told of, and not handed out again by the looks.
    """
    await place.look()
    put(place.path("robot"), "robot-2")

    user = await place.rotation.reread("robot")

    assert user is not None
    assert value(user) == "robot-2"
    assert [facts["service_user"] for facts in place.events("credential.reloaded")] == ["robot"]
    assert await place.look(4) == []
    assert place.reads == ["robot", "robot"]  # and once more when the file had settled


async def test_before_the_first_look_files_may_be_reread(place):
    """
    What was taken then is looked at again once it has settled.
    """
    put(place.path("robot"), "robot")
    user = await place.rotation.reread("robot")
    assert user is not None
    assert value(user) == "robot"
    put(place.path("robot"), "-2", mode="a")

    assert await place.look(3) == ["robot-2"]


async def test_after_a_refusal_the_same_content_is_no_help(place):
    """
    None, and nothing is told.
    """
    await place.look()

    assert await place.rotation.reread("robot") is None
    assert (place.reads, place.told) == (["robot"], [])


async def test_after_a_refusal_an_unreadable_file_is_told_once(place):
    """
    None, one complaint from refusals and looks together, and the looks go on trying.
    """
    await place.look()
    put(place.path("robot"), "")
    assert await place.rotation.reread("robot") is None
    place.now += 1
    assert await place.rotation.reread("robot") is None
    assert await place.look(3) == []
    assert len(place.events()) == 1

    put(place.path("robot"), "robot-2")
    assert await place.look(2) == ["robot-2"]


async def test_refusals_read_once_a_second(place):
    """
    By the boot clock, and per service user; in between the answer is None.
    """
    await place.look()
    assert await place.rotation.reread("robot") is None
    put(place.path("robot"), "robot-2")
    place.now += 0.999
    assert await place.rotation.reread("robot") is None
    assert place.reads == ["robot"]

    place.now += 0.002
    user = await place.rotation.reread("robot")
    assert user is not None
    assert value(user) == "robot-2"


async def test_all_who_are_refused_share_one_reading(place):
    """
    A hundred at a time cause one, and each gets the successor, also after one has left.
    """
    await place.look()
    put(place.path("robot"), "robot-2")
    gate = Gate()
    place.before_read = gate
    place.rotation._patience = 30
    waiting = [place.ask() for _ in range(100)]
    await gate.entered()
    waiting[0].cancel()
    gate.open()

    users = await asyncio.gather(*waiting[1:])

    assert place.reads == ["robot"]
    assert {value(user) for user in users} == {"robot-2"}
    assert len(place.events("credential.reloaded")) == 1


async def test_a_reading_nobody_waits_for_is_not_taken(place):
    """
    Its asker has left, so the looks hand the successor out.
    """
    await place.look()
    put(place.path("robot"), "robot-2")
    gate = Gate()
    place.before_read = gate
    place.rotation._patience = 30
    asker = place.ask()
    await gate.entered()
    asker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asker
    assert await place.rotation.reread("robot") is None
    gate.open()
    assert await place.rotation._rereads["robot"].survey.ended(30)

    assert await place.look(2) == ["robot-2"]


async def test_a_refusal_does_not_wait_for_a_file_system_that_hangs(place):
    """
    The first waits its patience, those after it not at all, and there is one thread.
    """
    await place.look()
    gate = Gate()
    place.before_read = gate
    assert await place.rotation.reread("robot") is None
    place.rotation._patience = 30
    place.now += 60
    assert await place.rotation.reread("robot") is None
    assert (place.reads, place.reasons()) == (["robot"], [("robot", HANGS)])

    put(place.path("robot"), "robot-2")
    gate.open()
    assert await place.rotation._rereads["robot"].survey.ended(30)
    user = await place.rotation.reread("robot")
    assert user is not None
    assert value(user) == "robot-2"


async def test_an_older_reading_does_not_undo_a_newer_one(place):
    """
    A look that read before the change and comes back after a refusal's reading counts for nothing.
    """
    await place.look()
    put(place.path("robot"), "robot-2")
    await place.look()
    gate = Gate()
    old = replace(place.rotation.users[0], credential=FixedToken(Secret("robot-2")))

    def slowly(name):
        gate()
        return old

    fast, place.rotation._read = place.rotation._read, slowly
    place.rotation._patience = 30
    look = spawn(place.tasks, place.look(), name="look")
    await gate.entered()
    place.rotation._read = fast
    put(place.path("robot"), "robot-3")
    user = await place.rotation.reread("robot")
    gate.open()

    assert await look == []
    assert user is not None
    assert value(user) == "robot-3"
    assert await place.look(4) == []
    assert [value(user) for user in place.rotation.users] == ["robot-3"]


async def test_a_refusal_learns_what_a_look_took_meanwhile(place):
    """
    Refused with the old, it is told of the successor whoever read it first.
    """
    await place.look()
    put(place.path("robot"), "robot-2")
    await place.look()
    gate = Gate()
    fast = place.rotation._read
    stale = place.rotation.users[0]
    place.rotation._read = lambda _name: (gate(), stale)[1]
    place.rotation._patience = 30
    asker = place.ask()
    await gate.entered()
    place.rotation._read = fast
    assert await place.look() == ["robot-2"]
    gate.open()

    user = await asker
    assert user is not None
    assert value(user) == "robot-2"


async def test_a_key_file_brings_its_key_id(tmp_path, pems):
    """
    A new key is taken with its id; cut in the middle it is not; a new date alone is a change too.
    """
    path = tmp_path / "robot.json"

    def text(number, expires=None):
        pem = pems[number]
        fields = {"type": "serviceaccount", "keyId": f"key-{number}", "userId": "u", "key": pem}
        return json.dumps(fields | ({"expirationDate": expires} if expires else {}))

    def read(name):
        key = parse_key_json(read_file(path, tmp_path))
        loaded = private_key(key.key, key_id=key.key_id, user_id=key.user_id, expires=key.expires)
        return ServiceUser(name, ISSUER, loaded)

    put(path, text(0))
    told: list[tuple[str, dict[str, Any]]] = []
    given: list[Any] = []
    rotation = Rotation(
        [read("robot")],
        read,
        lambda _name: (path,),
        on_event=lambda event, **facts: told.append((event, facts)),
        boot=lambda: 0.0,
    )
    contents = [text(1)[:900], text(1), text(1), text(1, "2031-01-01T00:00:00Z")]
    for content in ["", *contents]:
        for _ in range(3):
            await rotation.look(given.append)
        put(path, content)
    for _ in range(3):
        await rotation.look(given.append)

    assert [(event, facts.get("key_id")) for event, facts in told] == [
        ("credential.unreadable", None),
        ("credential.reloaded", "key-1"),
        ("credential.reloaded", "key-1"),
    ]
    assert [user.credential.expires for user in given] == [None, 1_924_992_000.0]
    assert "PRIVATE KEY" not in str(told)


async def test_a_user_of_many_files_is_read_when_one_changes(tmp_path):
    """
    With spares, each file counts; while one of them is gone, what was read before is used.
    """
    paths = (tmp_path / "first", tmp_path / "second")

    def read(name):
        first, spare = (FixedToken(read_token(SecretFile(p), tmp_path, {})) for p in paths)
        return ServiceUser(name, ISSUER, first, spares=(spare,))

    put(paths[0], "first-1")
    put(paths[1], "second-1")
    told: list[tuple[str, dict[str, Any]]] = []
    given: list[Any] = []
    rotation = Rotation(
        [read("robot")],
        read,
        lambda _name: paths,
        on_event=lambda event, **facts: told.append((event, facts)),
        boot=lambda: 0.0,
    )
    await rotation.look(given.append)
    paths[1].unlink()
    for _ in range(3):
        await rotation.look(given.append)
    assert (given, [event for event, _ in told]) == ([], ["credential.unreadable"])
    put(paths[1], "second-2")
    for _ in range(3):
        await rotation.look(given.append)

    assert [c.value.reveal() for c in given[0].credentials] == ["first-1", "second-2"]
    assert told[1][1]["of"] == 2


async def test_a_file_among_many_may_be_gone_for_good(tmp_path):
    """
    If its reader does without it, the rest is taken, now and when it changes; not if all are gone.
    """
    paths = (tmp_path / "first", tmp_path / "second")

    def read(name):
        there = [read_token(SecretFile(path), tmp_path, {}) for path in paths if path.exists()]
        first, *spares = map(FixedToken, there)
        return ServiceUser(name, ISSUER, first, spares=tuple(spares))

    for path in paths:
        put(path, path.name)
    told: list[tuple[str, dict[str, Any]]] = []
    given: list[Any] = []
    rotation = Rotation(
        [read("robot")],
        read,
        lambda _name: paths,
        on_event=lambda event, **facts: told.append((event, facts)),
        boot=lambda: 0.0,
    )
    await rotation.look(given.append)
    paths[0].unlink()
    for _ in range(3):
        await rotation.look(given.append)
    put(paths[1], "third")
    for _ in range(3):
        await rotation.look(given.append)
    paths[1].unlink()
    for _ in range(3):
        await rotation.look(given.append)

    assert [(value(user), user.spares) for user in given] == [("second", ()), ("third", ())]
    assert [event for event, _ in told] == ["credential.reloaded"] * 2 + ["credential.unreadable"]
    assert told[2][1]["reason"] == IS_GONE


async def test_a_thousand_users_take_one_thread_and_no_reading(tmp_path, monkeypatch):
    """
    A look at files that stay is one thread's work, however many there are.
    """
    place = Place(tmp_path, [f"user-{number}" for number in range(1000)], patience=30)
    threads = []
    start = threading.Thread.start

    def begin(thread):
        threads.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", begin)

    assert await place.look(2) == []
    assert (len(threads), place.reads) == (2, [])


def test_a_rotation_says_how_many_it_keeps(tmp_path):
    """
    Its `repr` holds a count and no name.
    """
    assert repr(Place(tmp_path).rotation) == "<Rotation of 1 service users>"


FATES = st.sampled_from(
    ["in place", "renamed", "turned", "half", "empty", "gone", "again", "look", "look", "reread"]
)


class Story(Place):
    """
    A place to which things happen, and what must hold of whatever is handed out.
    """

    def __init__(self, folder):
        super().__init__(folder, patience=30)
        self.numbers = itertools.count(2)
        self.content = self.last = self.used = "robot-1"
        self.seen_before = ""

    async def happen(self, fate):
        """
        Let one thing happen.
        """
        path = self.path("robot")
        match fate:
            case "look":
                await self.look_and_judge()
            case "reread":
                self.now += 1
                user = await self.rotation.reread("robot")
                if user is not None:
                    assert value(user) == self.content != self.used
                    self.used = value(user)
            case "gone":
                path.unlink(missing_ok=True)
                self.content = ""
            case _:
                self.write(path, fate)

    async def look_and_judge(self):
        """
        What is handed out is whole, has lain there since the look before, and is not in use yet.
        """
        for token in await self.look():
            assert token == self.content == self.seen_before != self.used
            self.used = token
        self.seen_before = self.content

    def write(self, path, fate):
        """
        Write something else, or the same again, in one of the ways there are.
        """
        whole = fate not in ("half", "empty")
        self.content = self.last if fate == "again" else f"robot-{next(self.numbers)}"
        text = self.content if whole else {"half": self.content + "\n-", "empty": ""}[fate]
        if fate == "turned":
            beside = path.with_name(self.content)
            put(beside, text)
            link = path.with_name("link")
            link.symlink_to(beside)
            link.replace(path)
        elif fate == "renamed":
            rename(path, text)
        else:
            put(path, text)
        self.content = self.content if whole else ""
        self.last = self.content or self.last


@settings(deadline=None, max_examples=150)
@given(st.lists(FATES, max_size=25))
def test_whatever_happens_to_a_file_its_last_content_wins(fates):
    """
    Nothing half is handed out, nothing twice, and what lies there in the end is what is used.
    """

    async def scenario(folder):
        story = Story(folder)
        await story.look_and_judge()
        for fate in fates:
            await story.happen(fate)
        await story.happen("in place")
        for _ in range(3):
            await story.look_and_judge()
        assert story.used == story.content
        assert [value(user) for user in story.rotation.users] == [story.content]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))
