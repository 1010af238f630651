"""Checks of jobs on large files take turns, so that the process does not hold many of them at once."""

from threading import Event, Thread

import pytest

from app.errors import Refused
from app.room import Room
from tests.app.serving import JOBS, SPEC, Served
from tests.app.test_files import uploaded
from tests.waiting import PATIENCE, until


def test_what_does_not_fit_waits() -> None:
    room, inside, begun = Room(100, PATIENCE), Event(), Event()

    def other() -> None:
        begun.set()
        with room.taken(60):
            inside.set()

    thread = Thread(target=other)
    with room.taken(60):
        thread.start()
        assert begun.wait(PATIENCE)
        with room.taken(40):
            assert not inside.is_set()
    assert inside.wait(PATIENCE)
    thread.join(PATIENCE)


def test_what_never_fits_is_held_alone() -> None:
    room = Room(100, 0)
    with room.taken(1000), pytest.raises(Refused) as refused, room.taken(1):
        pass
    assert refused.value.problem.status == 503
    with room.taken(1), pytest.raises(Refused), room.taken(1000):
        pass


def test_a_check_takes_the_room_of_its_file(served: Served) -> None:
    room, file_id = served.services.room, uploaded(served)
    stored = served.services.files.get(file_id).stored
    answers: list[int] = []
    job = {**SPEC, "data": {"file": file_id}}

    def ask() -> None:
        answers.append(served.http.post(JOBS, params={"dry_run": "true"}, json=job).status_code)

    with room.taken(served.services.settings.check_bytes - stored + 1):
        thread = Thread(target=ask)
        thread.start()
        until(lambda: served.services.pools.work.waiting == 0 and thread.is_alive())
        assert served.http.post(JOBS, params={"dry_run": "true"}, json=SPEC).status_code == 200
        assert not answers
    thread.join(PATIENCE)
    assert answers == [200]
