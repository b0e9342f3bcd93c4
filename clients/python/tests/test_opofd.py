"""The client against a real opofd: every dialect, every profile."""

import pathlib
import subprocess
import sys
import time

import pytest
from conftest import DEADLINE, session

import opof

DIALECTS = [dialect.name for dialect in opof.DIALECTS]
EXAMPLE = pathlib.Path(__file__).parents[1] / "examples/offload.py"


@pytest.fixture(params=opof.PROFILES)
def profile(request):
    return request.param


@pytest.fixture
def connect(opofd):
    """A client of a new opofd whose listener has this profile."""
    clients = []

    def connect(dialect="v1", profile="spec", keys="", arguments=()):
        device = opofd(f"plaintext=true,profile={profile}{keys}", arguments)
        target = f"127.0.0.1:{device.port}"
        clients.append(opof.Client(target, plaintext=True, dialect=dialect, profile=profile, deadline=DEADLINE))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture(params=DIALECTS)
def client(request, connect, profile):
    return connect(request.param, profile)


def test_accepted_exists_and_rejected(client):
    assert client.add([session(1)]) == opof.AddOutcome(accepted=1)
    outcome = client.add([session(2), session(1), session(4, in_lif=9), session(5)])
    assert outcome.accepted == 2
    assert [(one.id, one.reason.name) for one in outcome.refused] == [(1, "ALREADY_EXISTS"), (4, "REJECTED")]
    assert client.get(2).state is opof.State.ESTABLISHED


def test_a_full_table(connect, profile):
    client = connect(profile=profile, arguments=["--max-sessions", "100"])
    outcome = client.add(session(number) for number in range(150))
    assert outcome.accepted == 100
    assert {one.reason for one in outcome.refused} == {opof.Refusal.TABLE_FULL}
    assert [one.id for one in outcome.refused] == list(range(100, 150))


def test_get_and_delete(client):
    assert client.get(7) is None
    assert client.delete(7) is None
    client.add([session(7)])
    assert client.get(7).end_time is None
    gone = client.delete(7)
    assert (gone.id, gone.state, gone.close_code) == (7, opof.State.CLOSED, opof.CloseCode.NOT_CLOSED)
    assert gone.counted == (not client.profile.report_deleted)
    assert client.get(7) is None
    assert [report.id for report in client.closed()] == ([7] if client.profile.report_deleted else [])


def test_lists_across_pages(client):
    assert list(client.list()) == []
    assert client.add(session(number) for number in range(1100)).accepted == 1100
    assert [report.id for report in client.list()] == list(range(1100))
    assert [report.id for report in client.list(1000, page_size=7)] == list(range(1000, 1100))


def test_idle_sessions_are_collected_once(client):
    assert list(client.closed()) == []
    before = time.monotonic()
    assert client.add(session(number, timeout_seconds=1) for number in range(150)).accepted == 150
    stream = client.follow_closed()
    reports = [next(stream) for _ in range(150)]
    assert 1 <= time.monotonic() - before <= 4
    assert sorted(report.id for report in reports) == list(range(150))
    assert {(one.state, one.close_code) for one in reports} == {(opof.State.CLOSED, opof.CloseCode.TIMEOUT)}
    assert {(one.in_packets, one.out_packets, one.in_bytes, one.out_bytes) for one in reports} == {(0, 0, 0, 0)}
    assert all(1 <= (one.end_time - one.start_time).total_seconds() <= 3 for one in reports)
    assert list(client.closed()) == []


def test_sessions_of_every_shape(client):
    v6 = {"source": ("2001:db8::1", 1), "destination": ("2001:db8::2", 2)}
    shapes = [
        session(1, **v6), session(2, protocol="udp"), session(3, in_vlan=5, out_vlan=5), session(4, in_lif=2, out_lif=1),
        session(5, action=opof.Action.DROP), session(6, in_lif=0, out_lif=0, timeout_seconds=2**32 - 1),
    ]
    assert client.add(shapes) == opof.AddOutcome(accepted=len(shapes))


def test_with_tls_the_server_has_to_be_who_it_says(opofd):
    device = opofd("self_signed=true")
    for target, name in ((f"localhost:{device.port}", None), (f"127.0.0.1:{device.port}", "localhost")):
        with opof.Client(target, tls=opof.Tls(ca=device.certificate, server_name=name)) as client:
            assert client.add([session(3)]).accepted + client.delete(3).id == 4
    for tls in (opof.Tls(), opof.Tls(ca=device.certificate, server_name="elsewhere")):
        with opof.Client(f"localhost:{device.port}", tls=tls, deadline=5) as client:
            with pytest.raises(opof.Unreachable, match="give the CA that signed the device's certificate"):
                client.get(1)


def test_the_raw_stub(connect):
    from opof.proto.v1 import openoffload_pb2 as pb

    client = connect()
    stub = client.stub
    assert stub.addSession(iter([client.message(session(9))]), timeout=DEADLINE).requestStatus == pb._SESSION_ACCEPTED
    assert stub.getSession(pb.sessionId(sessionId=9), timeout=DEADLINE).sessionState == pb._ESTABLISHED


def test_the_example_runs_and_is_the_one_in_the_readme(opofd):
    device = opofd("self_signed=true")
    run = subprocess.run(
        [sys.executable, EXAMPLE, device.certificate, f"localhost:{device.port}"],
        capture_output=True, text=True, timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "2 accepted; refused: []",
        "session 1: ESTABLISHED, 0 packets in, 0 out",
        "session 2: ESTABLISHED, 0 packets in, 0 out",
        "session 2 closed: TIMEOUT, 0 bytes",
        "deleted: 1",
    ]
    assert EXAMPLE.read_text() in (EXAMPLE.parents[1] / "README.md").read_text()


def test_tunnelled_sessions(connect):
    for dialect in ("v1.1", "v1beta1"):
        client = connect(dialect)
        # The same tuple within a tunnel and outside is two sessions.
        twins = [session(1, tunnel="gtpu"), session(2, source=session(1).source)]
        assert client.add(twins).accepted == 2
        assert [client.get(one.id).state for one in twins] == [opof.State.ESTABLISHED] * 2
        assert all(client.delete(one.id) for one in twins)


def test_a_shutdown_needs_a_permission(connect):
    client = connect("v1.1")
    with pytest.raises(opof.PermissionDenied):
        client.shutdown_server(1)
    assert client.add([session(1)]).accepted == 1


def test_who_made_it(connect):
    assert connect("v1beta1").service_version().version


def test_a_reset_closes_what_is_there(connect, profile):
    client = connect("v1beta1", profile)
    client.add(session(number) for number in range(10))
    client.reset()
    assert list(client.list()) == []
    assert sorted(report.id for report in client.closed()) == list(range(10))


def test_a_session_goes_by_a_next_hop_and_closes_with_it(connect, profile):
    client = connect("v1beta1", profile)
    for number in (11, 12, 12):
        client.set_next_hop(number, "02:00:00:00:00:01", "02:00:00:00:00:02")
    outcome = client.add([session(7, out_link=opof.Link(next_hop=11)), session(8), session(9, out_link=opof.Link(next_hop=5))])
    assert (outcome.accepted, [one.id for one in outcome.refused]) == (2, [9])
    field = "action.actionParams_outLif.nextHopId"
    assert outcome.messages == (f"session 9: {field}: no next hop 5 for IPv4",)
    client.destroy_next_hop(11)
    assert [report.id for report in client.closed()] == [7]
    with pytest.raises(opof.RequestRefused):
        client.destroy_next_hop(11)
    client.clear_next_hops()
    assert [report.id for report in client.list()] == [8], "it refers to none"


def test_vlan_flows(connect):
    client = connect("v1beta1")
    assert client.vlan_flows() == ()
    for vlan, lif in ((200, 2), (100, 1), (300, 1)):
        client.add_vlan_flow(vlan, lif)
    client.remove_vlan_flow(300)
    assert client.vlan_flows() == (opof.VlanFlow(100, 1), opof.VlanFlow(200, 2))
    client.clear_vlan_flows()
    assert client.vlan_flows() == ()
