import re

import pytest
import sqlalchemy as sa

from worker.jobs import database
from worker.jobs.errors import KeyRefused
from worker.jobs.keys import SCOPES, USE_SECONDS, KeyStore
from worker.jobs.tables import api_keys, audit_log


@pytest.fixture
def keys(engine, clock) -> KeyStore:
    return KeyStore(engine, clock)


def test_a_token_finds_its_key_and_nothing_else_does(keys):
    key, token = keys.create("anna", ["write", "read"], name="laptop")
    assert re.fullmatch(r"hs_[A-Za-z0-9_-]{43}", token)
    found = keys.find(token)
    assert (found.id, found.tenant, found.name, found.scopes) == (key.id, "anna", "laptop", ("read", "write"))
    for wrong in ("", token[:-1], token.upper(), key.id, "\x00", "\ud800".encode("utf-8", "replace").decode()):
        assert keys.find(wrong) is None


def test_the_database_holds_no_token(keys, engine):
    _, token = keys.create("anna", ["read"])
    with database.reading(engine) as connection:
        (row,) = connection.execute(sa.select(api_keys)).all()
    assert token not in repr(row)
    assert token.removeprefix("hs_") not in repr(row)


def test_two_keys_share_no_token(keys):
    tokens = {keys.create("anna", ["read"])[1] for _ in range(50)}
    assert len(tokens) == 50


def test_a_revoked_key_opens_nothing(keys, clock):
    key, token = keys.create("anna", ["read"])
    first = keys.revoke(key.id)
    clock.now += 10
    assert keys.find(token) is None
    assert keys.revoke(key.id).revoked_at == first.revoked_at
    with pytest.raises(KeyRefused, match="no key 'key-unknown'"):
        keys.revoke("key-unknown")


def test_a_key_expires(keys, clock):
    _, token = keys.create("anna", ["read"], seconds=60)
    clock.now += 59
    assert keys.find(token) is not None
    clock.now += 1
    assert keys.find(token) is None


def test_the_last_use_is_noted_but_not_at_every_use(keys, clock):
    _, token = keys.create("anna", ["read"])
    assert keys.keys()[0].last_used_at is None
    first = clock.now
    keys.note_use(keys.find(token))
    clock.now += USE_SECONDS - 1
    keys.note_use(keys.find(token))
    assert keys.keys()[0].last_used_at == first
    clock.now += 1
    keys.note_use(keys.find(token))
    assert keys.keys("anna")[0].last_used_at == clock.now
    assert keys.keys("ben") == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scopes": ["admin"]}, f"Received the scopes admin; a key has one or more of {', '.join(SCOPES)}"),
        ({"scopes": []}, "Received the scopes none"),
        ({"tenant": ""}, "Received the tenant ''"),
        ({"tenant": "a b"}, "Received the tenant 'a b'"),
        ({"name": "x" * 101}, "up to 100 printable characters"),
        ({"name": "x\n"}, "up to 100 printable characters"),
        ({"seconds": 0.0}, "Received 0 seconds"),
    ],
)
def test_what_is_wrong_with_a_key_is_said(keys, changes, words):
    with pytest.raises(KeyRefused, match=words):
        keys.create(**{"tenant": "anna", "scopes": ["read"], **changes})


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET outcome = 200", "DELETE FROM audit_log"])
def test_the_database_refuses_to_change_the_audit_log(engine, statement):
    row = {"at": 1.0, "tenant": "t", "key_id": "k", "address": "a", "request_id": "r", "action": "x", "object": "o"}
    with database.writing(engine) as connection:
        connection.execute(sa.insert(audit_log).values(outcome=403, **row))
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.writing(engine) as connection:
        connection.execute(sa.text(statement))
    with database.reading(engine) as connection:
        assert connection.execute(sa.text("SELECT outcome FROM audit_log")).scalars().all() == [403]
