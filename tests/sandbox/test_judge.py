"""What the sandbox knows about agents that somebody pays for: who was told of
them, which are doubles; and the faults by which agents get lost."""

import collections
import concurrent.futures
import http.client
import time

import pytest

import agora
import faults
import wire
from sandbox import APP_CERTIFICATE, APP_ID

LOST = (ConnectionError, http.client.HTTPException)


def ids(agents):
    return [agent["agent_id"] for agent in agents]


def lost_join(sandbox, channel="room", **options):
    """A join whose answer does not arrive."""
    with pytest.raises(LOST):
        sandbox.join(channel, **options)


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# -- Billed but unknown -----------------------------------------------------

def test_agent_of_an_answered_join_is_known(sandbox):
    agent_id = sandbox.join("room").json()["agent_id"]
    assert sandbox.unknown() == []
    (agent,) = sandbox.agents()
    (told,) = agent["told"]
    assert (told["call"], told["number"], told["status"]) == ("join", 1, 200)
    assert agent["agent_id"] == agent_id


@pytest.mark.parametrize("what", [
    "lost", "lost-reset", "cut-headers", "no-body", "cut-body", "garbage",
    "no-id", "500-done"])
def test_agent_of_a_lost_answer_is_unknown(sandbox, what):
    try:
        sandbox.join(f"fault-{what}")
    except LOST:
        pass
    (agent,) = sandbox.unknown()
    assert agent["channel"] == f"fault-{what}"
    assert sandbox.ledger()[0]["whole"] == (
        what in ("garbage", "no-id", "500-done"))


def test_agent_is_unknown_until_its_answer_is_sent(sandbox):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(sandbox.join, "fault-slow-2")
        wait_for(sandbox.unknown)
        assert waiting.result().status == 200
    assert sandbox.unknown() == []


def test_answer_after_the_client_has_left_tells_nobody(sandbox):
    connection = sandbox.connection(timeout=1)
    with pytest.raises(TimeoutError):
        sandbox.join("fault-slow-2", over=connection)
    connection.close()
    time.sleep(1.5)
    assert len(sandbox.unknown()) == 1


@pytest.mark.parametrize("ask, call", [
    (lambda s, i: s.join("room"), "join"),
    (lambda s, i: s.call("GET", f"/agents/{i}"), "get"),
    (lambda s, i: s.call("GET", "/agents?channel=room"), "list")])
def test_every_answer_that_names_the_agent_tells(sandbox, ask, call):
    sandbox.fault("join", match={"times": 1}, close="before", execute=True)
    sandbox.fault("join", match={"nth": 2}, conflict_id="taskId")
    lost_join(sandbox)
    (agent,) = sandbox.unknown()
    ask(sandbox, agent["agent_id"])
    assert sandbox.unknown() == []
    assert [t["call"] for t in sandbox.agents()[0]["told"]] == [call]


def test_conflict_without_the_id_does_not_tell(sandbox):
    sandbox.fault("join", match={"times": 1}, close="before", execute=True)
    lost_join(sandbox)
    assert sandbox.join("room").status == 409
    assert len(sandbox.unknown()) == 1


def test_ended_agents_cost_nothing_but_are_remembered(sandbox):
    sandbox.fault("join", close="before", execute=True)
    lost_join(sandbox)
    (agent,) = sandbox.unknown()
    sandbox.leave(agent["agent_id"])
    assert sandbox.unknown() == []
    (agent,) = sandbox.unknown("any")
    assert [leave["status"] for leave in agent["leaves"]] == [200]


def test_leave_attempts_are_noted(sandbox):
    agent_id = sandbox.join("room").json()["agent_id"]
    sandbox.fault("leave", match={"times": 1}, status=503)
    sandbox.fault("leave", match={"times": 2}, close="before", execute=True)
    sandbox.leave(agent_id)
    with pytest.raises(LOST):
        sandbox.leave(agent_id)
    sandbox.leave(agent_id)
    (agent,) = sandbox.agents()
    assert [(leave["status"], leave["executed"])
            for leave in agent["leaves"]] == [
                (503, False), (None, True), (404, False)]


# -- Doubles ----------------------------------------------------------------

def test_two_agents_of_one_pair_are_doubles(sandbox):
    both = [sandbox.join("room", name=name).json()["agent_id"]
            for name in ("one", "two")]
    sandbox.join("room", uid="7")
    sandbox.join("hall")
    pair = {"channel": "room", "agent_rtc_uid": "58888506"}
    assert sandbox.duplicates() == {"now": [{**pair, "agents": both}],
                                    "ever": [{**pair, "most": 2}]}
    for agent_id in both:
        sandbox.leave(agent_id)
    assert sandbox.duplicates() == {"now": [], "ever": [{**pair, "most": 2}]}


def test_one_agent_after_the_other_is_no_double(sandbox):
    for name in ("one", "two"):
        sandbox.leave(sandbox.join("room", name=name).json()["agent_id"])
    first = sandbox.join("room", name="three").json()["agent_id"]
    sandbox.set_agent(first, status="STOPPING")
    sandbox.join("room", name="four")
    assert sandbox.duplicates() == {"now": [], "ever": []}


# -- Chance -----------------------------------------------------------------

def fates(sandbox, count=60):
    """What became of that many joins: executed and answered."""
    for number in range(count):
        try:
            sandbox.join(f"room{number}")
        except LOST:
            pass
    return [(entry["executed"], entry["whole"])
            for entry in sandbox.ledger()]


def test_chance_repeats_itself_and_follows_the_seed(sandbox):
    seen = []
    for seed in (1, 1, 2):
        sandbox.reset()
        sandbox.lose("join", before=0.3, after=0.3, seed=seed)
        seen.append(fates(sandbox, 25))
    assert seen[0] == seen[1] != seen[2]


def test_chance_loses_before_and_after(sandbox):
    sandbox.lose("join", before=0.3, after=0.3)
    fate = fates(sandbox)
    for wanted in ((False, False), (True, False), (True, True)):
        assert 3 < fate.count(wanted) < 40, wanted
    assert (False, True) not in fate
    assert len(sandbox.unknown()) == fate.count((True, False))


def test_chance_of_other_calls(sandbox):
    sandbox.lose("leave", "get", "list", before=1)
    agent_id = sandbox.join("room").json()["agent_id"]
    for method, path in (("POST", f"/agents/{agent_id}/leave"),
                         ("GET", f"/agents/{agent_id}"), ("GET", "/agents")):
        with pytest.raises(LOST):
            sandbox.call(method, path)


def test_chance_of_every_call():
    listed = faults.Faults()
    listed.add([{"do": {"status": 500}, "chance": 0.05, "seed": 3}])
    hits = sum(bool(listed.find(call=call, channel="c", agent_id=None,
                                host="h"))
               for call in faults.CALLS * 2500)
    assert 400 < hits < 600


@pytest.mark.parametrize("chance", [-0.1, 1.1, "1", True])
def test_impossible_chance_is_refused(sandbox, chance):
    with pytest.raises(ValueError, match="chance"):
        sandbox.fault("join", chance=chance, status=500)


# -- Late execution ---------------------------------------------------------

def test_call_is_executed_after_its_answer_was_lost(sandbox):
    sandbox.fault("join", match={"times": 1}, close="before",
                  execute_after_s=1.5)
    lost_join(sandbox)
    assert sandbox.agents() == []
    assert sandbox.ledger()[0]["executed"] is False
    wait_for(sandbox.unknown)
    assert sandbox.ledger()[0]["executed"] is True
    assert sandbox.join("room").status == 409


def test_late_join_meets_the_agent_of_the_second(sandbox):
    with pytest.raises(LOST):
        sandbox.join("fault-late-1.5x1")
    agent_id = sandbox.join("fault-late-1.5x1").json()["agent_id"]
    wait_for(lambda: sandbox.ledger()[0]["checked"] == 409)
    assert ids(sandbox.running()) == [agent_id]


def test_late_leave(sandbox):
    agent_id = sandbox.join("fault-leave-late-1.5").json()["agent_id"]
    with pytest.raises(LOST):
        sandbox.leave(agent_id)
    assert len(sandbox.running()) == 1
    wait_for(lambda: not sandbox.running())


def test_refused_call_is_not_executed_later(sandbox):
    sandbox.fault(close="before", execute_after_s=0)
    with pytest.raises(LOST):
        sandbox.call("POST", "/join", {})
    time.sleep(0.2)
    assert sandbox.agents() == []


def test_reset_forgets_calls_to_come(sandbox):
    sandbox.fault("join", status=504, execute_after_s=1)
    assert sandbox.join("room").status == 504
    sandbox.reset()
    time.sleep(1.5)
    assert sandbox.agents() == []


@pytest.mark.parametrize("do", [{}, {"close": "after"}, {"execute": True,
                                                         "status": 500}])
def test_late_execution_needs_a_lost_answer(sandbox, do):
    with pytest.raises(ValueError, match="execute_after_s"):
        sandbox.fault("join", execute_after_s=1, **do)


# -- States -----------------------------------------------------------------

def state(sandbox, agent_id):
    return sandbox.call("GET", f"/agents/{agent_id}").json()["status"]


@pytest.mark.parametrize("channel, first", [
    ("fault-starting-2", "STARTING"), ("fault-recovering-2",
                                         "RECOVERING")])
def test_agent_takes_its_time_to_run(sandbox, channel, first):
    data = sandbox.join(channel).json()
    assert data["status"] == first
    assert state(sandbox, data["agent_id"]) == first
    assert sandbox.join(channel).status == 409
    wait_for(lambda: state(sandbox, data["agent_id"]) == "RUNNING")


def test_stopping_agent_keeps_its_name_for_a_while(sandbox):
    agent_id = sandbox.join("fault-leave-burnt-2").json()["agent_id"]
    assert sandbox.leave(agent_id).status == 200
    assert state(sandbox, agent_id) == "STOPPING"
    assert sandbox.leave(agent_id).status == 400
    assert sandbox.join("fault-leave-burnt-2").status == 409
    wait_for(lambda: state(sandbox, agent_id) == "STOPPED")
    assert sandbox.join("fault-leave-burnt-2").status == 200


@pytest.mark.parametrize("status", ["STOPPED", "FAILED"])
def test_ended_agent_keeps_its_name_for_a_while(sandbox, status):
    agent_id = sandbox.join("room").json()["agent_id"]
    sandbox.fault("join", conflict_id="agent_id")
    sandbox.set_agent(agent_id, status=status, status_s=2)
    assert sandbox.running() == []
    answer = sandbox.join("room")
    assert (answer.status, answer.json()["agent_id"]) == (409, agent_id)
    assert sandbox.join("room", name="another").status == 200
    wait_for(lambda: sandbox.join("room").status == 200)
    assert state(sandbox, agent_id) == status


@pytest.mark.parametrize("members", [{"status": "DANCING"},
                                     {"status": "FAILED", "status_s": "5"}])
def test_misspelt_state_is_refused(sandbox, members):
    agent_id = sandbox.join("room").json()["agent_id"]
    with pytest.raises(ValueError, match="status"):
        sandbox.set_agent(agent_id, **members)
    assert state(sandbox, agent_id) == "RUNNING"


def test_agent_can_fail_at_once(sandbox):
    sandbox.fault("join", agent_status="FAILED", agent_status_s=60)
    assert sandbox.join("room").json()["status"] == "FAILED"
    assert sandbox.join("room").status == 409
    assert sandbox.running() == []


def test_list_can_show_foreign_agents(sandbox):
    ours = sandbox.join("room").json()["agent_id"]
    theirs = sandbox.join("hall").json()["agent_id"]
    sandbox.fault("list", unfiltered=True)
    data = sandbox.call("GET", "/agents?channel=room").json()
    assert ids(data["data"]["list"]) == [ours, theirs]


def test_member_can_be_missing(sandbox):
    agent_id = sandbox.join("room").json()["agent_id"]
    sandbox.fault("get", omit=["name", "nonsense"])
    data = sandbox.call("GET", f"/agents/{agent_id}").json()
    assert "name" not in data and data["agent_id"] == agent_id


@pytest.mark.parametrize("status", [401, 403])
def test_token_can_be_refused_by_list_and_get_alone(sandbox, status):
    agent_id = sandbox.join("room").json()["agent_id"]
    sandbox.fault("list", status=status)
    sandbox.fault("get", status=status)
    for path in ("/agents", f"/agents/{agent_id}"):
        answer = sandbox.call("GET", path)
        assert (answer.status, sandbox.ledger()[-1]["checked"]) == (
            status, 200)
    assert sandbox.join("hall").status == 200


# -- Many -------------------------------------------------------------------

def test_a_hundred_identical_joins_start_one_agent(sandbox):
    sandbox.fault("join", delay_s=0.3)
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: sandbox.join("room"), range(100)))
    statuses = collections.Counter(answer.status for answer in answers)
    assert statuses == {200: 1, 409: 99}
    assert len(sandbox.running()) == 1
    assert sandbox.duplicates() == {"now": [], "ever": []}
    assert len(sandbox.ledger(call="join")) == 100


def test_ledger_from_a_number_on(sandbox):
    for channel in ("one", "two", "two"):
        sandbox.join(channel)
    sandbox.call("GET", "/agents")
    assert [e["number"] for e in sandbox.ledger(after=2)] == [3, 4]
    assert [e["number"] for e in sandbox.ledger("two", after=2)] == [3]
    assert [e["number"] for e in sandbox.ledger(call="list")] == [4]


def test_the_judge_does_not_need_the_ledger(sandbox):
    """Ten thousand starts, of which the ledger keeps a few: every lost agent
    and every double is found all the same. In one process, for speed."""
    service = agora.Agora(APP_ID, APP_CERTIFICATE)
    service.ledger.entries = collections.deque(maxlen=10)
    body = sandbox.join_body("room")
    lost = set()
    for number in range(10000):
        body["name"] = f"agent {number}"
        agent = service.agents.start(body)
        if number % 100 == 0:
            lost.add(agent.agent_id)
        else:
            service.delivered(wire.json_response(
                200, {"agent_id": agent.agent_id}), service.ledger.open(
                    wire.Request("POST", "/", "HTTP/1.1", [])))
        if number % 100 > 1:
            service.agents.stop(agent)
    assert len(service.ledger.entries) == 10
    assert {agent.agent_id for agent in service.agents.unknown()} == lost
    doubles = service.agents.duplicates()
    assert [len(pair["agents"]) for pair in doubles["now"]] == [200]
    assert doubles["ever"][0]["most"] == 201
