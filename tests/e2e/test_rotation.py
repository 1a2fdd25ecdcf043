"""
Credentials that change under a running proxy: files on disk, keys and tokens at the issuer.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.sandbox.files import KEY_FILE, PAT_FILE, SECRET_FILE

API = "/management/v1/orgs/me"
DEV = "/dev/auth/v1/users/me"


def only(*users):
    """
    Return an edit that leaves some service users and their routes.
    """

    def edit(document):
        document["service_users"] = {user: document["service_users"][user] for user in users}
        document["routes"] = [each for each in document["routes"] if each["service_user"] in users]

    return edit


@pytest.fixture
def put(config, secrets):
    """
    Write a secret into a file beside proxy.yaml, as an operator does; it must never be seen again.
    """

    def write(name, secret):
        secrets.further.append(secret)
        fresh = config.parent / f"{name}.new"
        fresh.write_text(secret.reveal() + "\n")
        fresh.chmod(0o600)
        fresh.replace(config.parent / name)
        return str(config.parent / name)

    return write


async def test_a_new_client_secret_is_read_when_the_old_one_is_refused(
    sandbox, serve, secrets, put
):
    """
    A secret generated anew kills the old one: the mint that notices reads the file, nobody fails.
    """
    reporter = sandbox.users["reporter"]
    secrets.further.append(sandbox.client_secret)
    through = await serve(only("reporter"))
    assert (await through("GET", "/orders/42")).status == 200

    put(SECRET_FILE, sandbox.add_secret(reporter))
    sandbox.revoke(reporter)
    reply = await through("GET", "/orders/42")

    assert reply.status == 200
    assert (await through.log.done(reply))["replayed"] is True
    await through.log.wait("credential.reloaded", service_user="reporter")
    assert sandbox.mints.count(ok=True) == 2
    assert sandbox.mints.count(ok=False) <= 1
    assert (await through("GET", "/orders/42")).status == 200


async def test_a_key_swapped_as_kubernetes_does_is_taken_over(sandbox, serve, secrets, tmp_path):
    """
    Behind the link `..data` the whole folder changes at once; the new key mints before it is needed.
    """
    provisioner = sandbox.users["provisioner"]
    volume = tmp_path / "volume"

    def publish(name, secret):
        secrets.further.append(secret)
        (volume / name).mkdir(parents=True)
        (volume / name / KEY_FILE).write_text(secret.reveal())
        (volume / name / KEY_FILE).chmod(0o600)
        (volume / "..data_tmp").symlink_to(name)
        (volume / "..data_tmp").replace(volume / "..data")

    def mounted(document):
        only("provisioner")(document)
        document["service_users"]["provisioner"]["key_file"] = str(volume / KEY_FILE)

    publish("..one", sandbox.key_json)
    (volume / KEY_FILE).symlink_to(Path("..data") / KEY_FILE)
    through = await serve(mounted)
    assert (await through("GET", API)).status == 200

    new = sandbox.add_key(provisioner)
    (old,) = provisioner.keys.keys() - {json.loads(new.reveal())["keyId"]}
    publish("..two", new)
    await through.log.wait("credential.reloaded", service_user="provisioner")
    await through.log.wait("token.minted", renewal=True)
    del provisioner.keys[old]

    assert sandbox.mints[-1].header["kid"] == json.loads(new.reveal())["keyId"]
    sandbox.revoke(provisioner)
    assert (await through("GET", API)).status == 200
    assert sandbox.mints.count(ok=False) == 0


async def test_the_next_key_of_a_list_steps_in(sandbox, serve, put):
    """
    A key deleted at the issuer costs no request while another one of the list is good.
    """
    provisioner = sandbox.users["provisioner"]
    (first,) = provisioner.keys
    second = sandbox.add_key(provisioner)
    files = [put(KEY_FILE, sandbox.key_json), put("second.json", second)]

    def listed(document):
        only("provisioner")(document)
        document["service_users"]["provisioner"]["key_file"] = files

    through = await serve(listed)
    assert (await through("GET", API)).status == 200
    assert sandbox.mints[-1].header["kid"] == first

    del provisioner.keys[first]
    sandbox.revoke(provisioner)
    reply = await through("GET", API)

    assert reply.status == 200
    switched = await through.log.wait("credential.switched", service_user="provisioner")
    assert (switched["refused"], switched["used"], switched["of"]) == (1, 2, 2)
    assert sandbox.mints[-1].header["kid"] == json.loads(second.reveal())["keyId"]


async def test_a_replaced_personal_access_token_answers_the_very_request(
    sandbox, serve, secrets, put
):
    """
    The request that is refused the old token is sent once more with the one now in the file.
    """
    dev = sandbox.users["dev"]
    secrets.further.append(sandbox.pat)
    through = await serve(only("dev"))
    assert (await through("GET", DEV)).status == 200
    sandbox.hits.clear()

    sandbox.revoke(dev)
    put(PAT_FILE, sandbox.add_pat(dev))
    reply = await through("GET", DEV)

    assert reply.status == 200
    assert [hit.status for hit in sandbox.hits] == [401, 200]
    line = await through.log.done(reply)
    assert (line["replayed"], line["token"]) == (True, "static")
    assert not through.log.events("credential.dead")


async def test_a_dead_personal_access_token_is_said_and_its_successor_taken(
    sandbox, serve, secrets, put
):
    """
    The 401 is passed on once; then it is the proxy's trouble, said in words, until the file holds a
    new one.
    """
    dev = sandbox.users["dev"]
    secrets.further.append(sandbox.pat)
    through = await serve(only("dev"))
    sandbox.revoke(dev)

    first = await through("GET", DEV)
    dead = await through.log.wait("credential.dead", service_user="dev")
    second = await through("GET", DEV)

    assert (first.status, first.code) == (401, None)
    assert (second.status, second.code) == (503, "credential_invalid")
    assert "no longer knows the personal access token" in dead["reason"]
    assert dead["reason"] in (await through.log.done(second))["error"]
    assert sandbox.hits.total == 1

    put(PAT_FILE, sandbox.add_pat(dev))
    await through.log.wait("credential.reloaded", service_user="dev")
    assert (await through("GET", DEV)).status == 200


async def test_files_that_cannot_be_read_leave_the_old_credentials_in_use(sandbox, serve, config):
    """
    One file removed, another half written: that is told, and what was read before still mints.
    """
    whole = sandbox.key_json.reveal()
    through = await serve(only("provisioner", "reporter"))
    assert (await through("GET", API)).status == 200
    assert (await through("GET", "/orders/42")).status == 200

    (config.parent / SECRET_FILE).unlink()
    (config.parent / KEY_FILE).write_text(whole[: len(whole) // 2])
    for user in ("provisioner", "reporter"):
        told = await through.log.wait("credential.unreadable", service_user=user)
        assert told["level"] == "warning"
    sandbox.revoke()

    assert (await through("GET", API)).status == 200
    assert (await through("GET", "/orders/42")).status == 200
    assert not through.log.events("credential.reloaded")
    assert len(through.log.events("credential.unreadable")) == 2
