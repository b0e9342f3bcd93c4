"""The calls, against a server that answers as each test says."""

import dataclasses
import subprocess
import time

import grpc
import pytest
from conftest import Fake, free_port, session

import opof
from opof.proto.v1beta1 import openoffload_pb2 as pb

BEGINNING = 0xFFFFFFFF
EXCLUSIVE = dataclasses.replace(opof.SPEC, list_cursor="exclusive")


def accept_all(requests, context):
    return pb.addSessionResponse()


def aborting(code, details=""):
    return lambda request, context: context.abort(code, details)


def info(number, **fields):
    return pb.sessionResponse(sessionId=number, **fields)


def sizes(fake):
    return [len(requests) for method, requests in fake.calls if method == "addSession"]


# Adding.


@pytest.mark.parametrize("dialect", [dialect.name for dialect in opof.DIALECTS])
def test_every_call_goes_to_the_dialects_own_path(connect, dialect):
    fake = Fake(dialect).on("addSession", accept_all).on("getSession", lambda request, _: info(request.sessionId))
    fake.on("deleteSession", lambda request, _: info(request.sessionId, sessionState=pb._CLOSED))
    fake.on("getAllSessions", lambda *_: pb.sessionResponses(sessionInfo=[info(7)]))
    fake.on("getClosedSessions", lambda *_: iter([]))
    client = connect(fake)
    assert client.add([session(7)]) == opof.AddOutcome(accepted=1)
    assert client.get(7).id == 7
    assert client.delete(7).state is opof.State.CLOSED
    assert [report.id for report in client.list()] == [7]
    assert list(client.closed()) == []
    assert len(fake.calls) == 5


def test_adds_of_any_length_are_read_and_sent_in_batches(connect):
    fake = Fake().on("addSession", accept_all)
    read = []

    def endless(count):
        for number in range(count):
            read.append(number)
            # Nothing is read ahead of the batch that is sent next.
            assert len(read) <= sum(sizes(fake)) + opof.limits.ADD_BATCH
            yield session(number)

    outcome = connect(fake).add(endless(10_000))
    assert outcome == opof.AddOutcome(accepted=10_000)
    assert sizes(fake) == [4096, 4096, 10_000 - 2 * 4096]
    assert connect(fake).add([]) == opof.AddOutcome()


@pytest.mark.parametrize("profile", ["c-client", "bluefield"])
def test_no_stream_is_longer_than_the_errors_that_its_answer_has_room_for(connect, profile):
    def refuse_all(requests, context):
        return pb.addSessionResponse(responseError=[{"sessionId": one.sessionId, "errorStatus": 6} for one in requests])

    fake = Fake().on("addSession", refuse_all)
    outcome = connect(fake, profile=profile).add(session(number) for number in range(130))
    assert sizes(fake) == [64, 64, 2]
    assert outcome.accepted == 0
    assert outcome.refused == tuple(opof.Refused(n, opof.Refusal.ALREADY_EXISTS, 6) for n in range(130))


def test_the_refused_and_what_the_server_says_of_them(connect):
    def answer(requests, context):
        texts = [("opof-refused", f"session {one.sessionId}: sourcePort: 70000") for one in requests[:2]]
        context.send_initial_metadata([("other", "x"), *texts])
        errors = [pb.sessionResponseError(sessionId=one.sessionId, errorStatus=2) for one in requests[:3]]
        return pb.addSessionResponse(requestStatus=2, responseError=errors)

    outcome = connect(Fake().on("addSession", answer)).add(session(number) for number in range(5, 15))
    assert outcome.accepted == 7
    assert [(one.id, one.reason) for one in outcome.refused] == [(n, opof.Refusal.TABLE_FULL) for n in (5, 6, 7)]
    assert outcome.messages == ("session 5: sourcePort: 70000", "session 6: sourcePort: 70000")


def test_the_texts_that_are_kept_have_a_bound(connect):
    def answer(requests, context):
        context.send_initial_metadata([("opof-refused", f"session {requests[0].sessionId}")] * 3)
        return pb.addSessionResponse()

    client = connect(Fake().on("addSession", answer), profile="c-client")
    messages = client.add(session(number) for number in range(64 * 30)).messages
    assert len(messages) == opof.limits.REFUSED_TEXTS
    assert messages[-1] == f"session {64 * 21}"


def test_after_an_error_the_outcome_of_the_batches_before_is_told(connect):
    fake = Fake()

    def second_fails(requests, context):
        if len(fake.calls) == 2:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")
        return pb.addSessionResponse(requestStatus=4, responseError=[{"sessionId": 3, "errorStatus": 4}])

    fake.on("addSession", second_fails)
    with pytest.raises(opof.ResourceExhausted) as error:
        connect(fake).add(session(number) for number in range(5000))
    assert (error.value.outcome.accepted, error.value.outcome.refused[0].id) == (4095, 3)


def test_a_session_that_cannot_be_said_stops_its_batch_before_it_is_sent(connect):
    fake = Fake().on("addSession", accept_all)
    with pytest.raises(opof.UnsupportedByDialect) as error:
        connect(fake).add([session(1), session(2, tunnel="gtpu")])
    assert fake.calls == []
    assert error.value.outcome == opof.AddOutcome()


def test_an_answer_that_makes_no_sense_is_not_taken_for_success(connect):
    def client(answer, profile="spec"):
        return connect(Fake().on("addSession", lambda *_: answer), profile=profile)

    two = [{"sessionId": 1, "errorStatus": 1}] * 2
    for answer in (pb.addSessionResponse(requestStatus=2), pb.addSessionResponse(responseError=two)):
        with pytest.raises(opof.BadAnswer, match="makes no sense; is it of this profile"):
            client(answer).add([session(1)])
    assert client(pb.addSessionResponse(requestStatus=2), "c-client").add([session(1)]).accepted == 1


# One session.


@pytest.mark.parametrize("profile", list(opof.PROFILES))
@pytest.mark.parametrize("call", ["get", "delete"])
def test_there_is_none_with_this_id_said_either_way(connect, profile, call):
    method = f"{call}Session"
    status = info(7, requestStatus=pb._REJECTED_SESSION_NONEXISTENT, sessionState=pb._UNKNOWN_STATE)
    for answer in (lambda *_: status, aborting(grpc.StatusCode.NOT_FOUND)):
        client = connect(Fake().on(method, answer), profile=profile)
        assert getattr(client, call)(7) is None


def test_counters_of_a_delete_are_final_unless_the_closed_stream_has_them(connect):
    fake = Fake().on("deleteSession", lambda *_: info(7, inPackets=5)).on("getSession", lambda *_: info(7))
    assert [connect(fake, profile=name).delete(7).counted for name in opof.PROFILES] == [True, True, False]
    assert connect(fake, profile="bluefield").get(7).counted


def test_a_refusal_in_an_answer_is_an_error(connect):
    fake = Fake().on("getSession", lambda *_: info(7, requestStatus=pb._REJECTED_INTERNAL_ERROR))
    with pytest.raises(opof.RequestRefused, match="session 7: the server answered REJECTED_INTERNAL_ERROR"):
        connect(fake).get(7)


# Lists.


def table(ids, exclusive, cap=0):
    """A server's getAllSessions over these ids."""

    def answer(args, context):
        first = args.startSession
        if exclusive:
            first = 0 if first == BEGINNING else first + 1
        size = min(args.pageSize or len(ids), cap or len(ids))
        rows = [number for number in ids if number >= first]
        page, rest = rows[:size], rows[size:]
        cursor = (page[-1] if page else 0) if exclusive else (rest[0] if rest else 0)
        return pb.sessionResponses(sessionInfo=[info(number) for number in page], nextkey=cursor)

    return Fake().on("getAllSessions", answer)


@pytest.mark.parametrize("profile, cap", [("spec", 0), ("c-client", 64), ("bluefield", 64), (EXCLUSIVE, 0)])
@pytest.mark.parametrize("count", [0, 1, 64, 65, 1000, 2048])
def test_lists_of_any_length_with_both_cursors(connect, profile, cap, count):
    fake = table(range(count), exclusive=profile != "spec", cap=cap)
    client = connect(fake, profile=profile)
    assert [report.id for report in client.list()] == list(range(count))
    assert all(0 < args.pageSize <= (cap or opof.limits.PAGE) for _, args in fake.calls)
    assert [report.id for report in client.list(60)] == list(range(60, count))


@pytest.mark.parametrize("profile", ["spec", EXCLUSIVE])
@pytest.mark.parametrize("page_size", [1, 2, 3])
def test_ids_around_the_cursor_that_means_the_beginning(connect, profile, page_size):
    ids = [0, 1, BEGINNING - 1, BEGINNING, BEGINNING + 1, 2**64 - 1]
    client = connect(table(ids, exclusive=profile != "spec"), profile=profile)
    for start in [0, 1, 2, BEGINNING, BEGINNING + 1, BEGINNING + 2, 2**64 - 1]:
        listed = [report.id for report in client.list(start, page_size=page_size)]
        assert listed == [number for number in ids if number >= start]


def test_a_cursor_that_does_not_move_is_an_error_and_not_a_loop(connect):
    fake = Fake().on("getAllSessions", lambda args, _: pb.sessionResponses(sessionInfo=[info(5)], nextkey=5))
    with pytest.raises(opof.BadAnswer, match="goes on at session 5; is its cursor exclusive"):
        list(connect(fake).list(5))
    with pytest.raises(opof.BadAnswer, match="is its cursor inclusive"):
        list(connect(table(range(10), exclusive=False), profile=EXCLUSIVE).list(3, page_size=4))


# Closed sessions.


def queue(ids, *, cap=0, pages=True, empty=()):
    """A server's getClosedSessions: each of these once."""
    waiting = list(ids)

    def answer(args, context):
        if not waiting and empty:
            context.abort(*empty)
        size = min(args.pageSize or len(waiting), cap or len(waiting), len(waiting)) if pages else len(waiting)
        for _ in range(size):
            yield info(waiting.pop(0), sessionState=pb._CLOSED, sessionCloseCode=pb._TIMEOUT)

    return Fake().on("getClosedSessions", answer)


@pytest.mark.parametrize("profile, cap, empty", [
    ("spec", 0, ()), ("c-client", 64, (grpc.StatusCode.NOT_FOUND, "none")), ("spec", 10, ()),
    ("bluefield", 64, (grpc.StatusCode.NOT_FOUND, "none")), ("spec", 0, (grpc.StatusCode.NOT_FOUND, "none")),
])
def test_closed_sessions_are_collected_to_the_last(connect, profile, cap, empty):
    fake = queue(range(3000), cap=cap, empty=empty)
    client = connect(fake, profile=profile)
    assert [report.id for report in client.closed()] == list(range(3000))
    assert list(client.closed()) == []
    asked = {args.pageSize for _, args in fake.calls}
    assert asked == {64 if profile != "spec" else opof.limits.CLOSED_PAGE}


def test_no_more_closed_sessions_than_wanted(connect):
    client = connect(queue(range(3000)))
    assert [report.id for report in client.closed(5)] == list(range(5))
    assert [report.id for report in client.closed(1500)] == list(range(5, 1505))


def test_a_server_without_pages_loses_nothing(connect):
    client = connect(queue(range(3000), pages=False))
    assert [report.id for report in client.closed(7)] == list(range(3000))


def test_what_came_before_a_stream_broke_is_told_before_the_error(connect):
    def breaks(args, context):
        yield from map(info, range(3))
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    seen = []
    with pytest.raises(opof.Unreachable, match="gone"):
        for report in connect(Fake().on("getClosedSessions", breaks)).closed():
            seen.append(report.id)
    assert seen == [0, 1, 2]


def test_the_deadline_does_not_run_while_the_user_works(connect):
    client = connect(queue(range(200)), deadline=0.5)
    closed = client.closed()
    assert next(closed).id == 0
    time.sleep(0.8)
    assert [report.id for report in closed] == list(range(1, 200))


# Errors.


@pytest.mark.parametrize(
    "code, kind, advice",
    [
        ("PERMISSION_DENIED", opof.PermissionDenied, "the operator of the device can allow it"),
        ("UNAUTHENTICATED", opof.Unauthenticated, "give a certificate and key"),
        ("RESOURCE_EXHAUSTED", opof.ResourceExhausted, "ask for less at once, or later"),
        ("INVALID_ARGUMENT", opof.InvalidArgument, "refused getAllSessions"),
        ("NOT_FOUND", opof.NotFound, "refused getAllSessions"),
        ("UNIMPLEMENTED", opof.Unimplemented, "does the server speak this dialect?"),
        ("UNAVAILABLE", opof.Unreachable, "the request may have been carried out"),
        ("INTERNAL", opof.CallRefused, "(INTERNAL): not today"),
    ],
)
def test_each_status_is_an_error_of_its_own(connect, code, kind, advice):
    client = connect(Fake().on("getAllSessions", aborting(grpc.StatusCode[code], "not today")))
    with pytest.raises(opof.Error) as error:
        list(client.list())
    assert type(error.value) is kind
    assert (error.value.code, error.value.details) == (grpc.StatusCode[code], "not today")
    assert "not today" in str(error.value) and advice in str(error.value) and client.target in str(error.value)


def test_a_deadline_is_kept(connect):
    client = connect(Fake().on("getSession", lambda *_: time.sleep(1) or info(1)), deadline=0.2)
    before = time.monotonic()
    with pytest.raises(opof.DeadlineExceeded, match="to getSession within 0.2 s; the request may"):
        client.get(1)
    assert time.monotonic() - before < 1


def test_nobody_there():
    with opof.Client(f"127.0.0.1:{free_port()}", plaintext=True, deadline=5) as client:
        with pytest.raises(opof.Unreachable, match="check that the device listens there") as error:
            client.get(1)
        assert "carried out" not in str(error.value)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Two self-signed certificates, each with its key."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in ("a", "b"):
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "1"]
        command += ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def test_a_certificate_and_its_key_are_looked_at_first(pairs):
    def made(cert, key):
        opof.Client("localhost:1", tls=opof.Tls(cert=cert, key=key)).close()

    made(pairs / "a.pem", pairs / "a.key")
    made((pairs / "a.pem").read_bytes(), (pairs / "a.key").read_bytes())
    with pytest.raises(opof.InvalidConfiguration, match="key: it is not the key of cert; "):
        made(pairs / "a.pem", pairs / "b.key")
    broken = pairs / "broken.key"
    broken.write_text("-----BEGIN PRIVATE KEY-----\nMIIB\n")
    with pytest.raises(opof.InvalidConfiguration, match="key: it or cert is broken: "):
        made(pairs / "a.pem", broken)


def test_an_encrypted_key_is_called_so(pairs):
    cert = (pairs / "a.pem").read_bytes()
    old = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
    for key in (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", old):
        with pytest.raises(opof.InvalidConfiguration, match="the key is encrypted; an unencrypted PEM key is needed"):
            opof.Tls(cert=cert, key=key).credentials()


def test_a_closed_client_says_so(connect):
    client = connect(Fake())
    client.close()
    for call in (lambda: client.get(1), lambda: client.add([session(1)]), lambda: list(client.closed())):
        with pytest.raises(opof.ClientClosed, match="the client is closed; make another"):
            call()
    assert list(client.follow_closed()) == []


def test_over_a_unix_socket(serve, tmp_path):
    _, target = serve(Fake().on("getSession", lambda *_: info(4)), f"unix:{tmp_path / 'socket'}")
    with opof.Client(target, plaintext=True) as client:
        assert client.get(4).id == 4


@pytest.mark.parametrize(
    "target, wanted",
    [
        ("localhost", "localhost:3443"), ("localhost:1", "localhost:1"), ("[::1]", "[::1]:3443"), ("[::1]:1", "[::1]:1"),
        ("unix:/run/socket", "unix:/run/socket"),
    ],
)
def test_targets(target, wanted):
    with opof.Client(target, plaintext=True) as client:
        assert client.target == wanted


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"target": "https://localhost:3443"}, "it should look like localhost:3443"),
        ({"target": "::1"}, "put an IPv6 address in brackets"),
        ({"target": "localhost:0"}, "not a host and a port from 1 to 65535"),
        ({"target": "localhost:http"}, "not a host and a port"),
        ({"target": ":3443"}, "not a host and a port"),
        ({"target": "unix:"}, "no path"),
        ({"target": ""}, "not a target"),
        ({"plaintext": False}, "give tls=opof.Tls(...) or plaintext=True"),
        ({"tls": opof.Tls()}, "and not both"),
        ({"dialect": "v3"}, "no dialect 'v3'; there are v1, v1.1, v1beta1, v2"),
        ({"deadline": 0}, "deadline 0: give seconds"),
        ({"plaintext": False, "tls": opof.Tls(ca="/nowhere/ca.pem")}, "can't read ca"),
        ({"plaintext": False, "tls": opof.Tls(ca=b"hello")}, "ca: the bytes given: no PEM in there"),
        ({"plaintext": False, "tls": opof.Tls(cert=b"-----BEGIN CERTIFICATE-----")}, "cert and key go together"),
    ],
)
def test_a_client_that_cannot_be_made_says_what_to_give(arguments, message):
    with pytest.raises(opof.InvalidConfiguration) as error:
        opof.Client(**{"target": "localhost:3443", "plaintext": True, **arguments})
    assert message in str(error.value)


# What one dialect alone has.


def test_shutdown(connect):
    answer = opof.proto.v1_1.openoffload_pb2.shutdownResponse
    fake = Fake("v1.1").on("shutdownServer", lambda request, _: answer(errorStatus=request.deadline % 2))
    client = connect(fake)
    client.shutdown_server(4)
    with pytest.raises(opof.RequestRefused, match="does not shut down: status 1"):
        client.shutdown_server(5)


def test_the_calls_of_routed_devices(connect):
    fake = Fake("v1beta1")
    fake.on("getServiceVersion", lambda *_: pb.versionResponse(vendor="a", name="b", version="c", copyright="d"))
    for method in ("setNextHop", "destroyNextHop", "clearNextHops"):
        fake.on(method, lambda request, _: pb.nextHopResponse(nextHopId=request.nextHopId))
    for method in ("reset", "addVlanFlow", "removeVlanFlow", "clearVlanFlows"):
        fake.on(method, lambda *_: pb.sessionResponse())
    flows = [pb.vlanFlowDef(vlanId=100, internalLif=1), pb.vlanFlowDef(vlanId=200, internalLif=2)]
    fake.on("getVlanFlows", lambda *_: pb.vlanFlowList(flowDefs=flows))
    client = connect(fake)
    assert client.service_version() == opof.ServiceVersion("a", "b", "c", "d")
    client.set_next_hop(12, "02:00:00:00:00:01", b"\2\0\0\0\0\2")
    client.set_next_hop(13, "02-00-00-00-00-01", "020000000002", ip_version=6)
    client.destroy_next_hop(12)
    client.clear_next_hops()
    client.reset()
    client.add_vlan_flow(100, 1)
    client.remove_vlan_flow(100)
    assert client.vlan_flows() == (opof.VlanFlow(100, 1), opof.VlanFlow(200, 2))
    client.clear_vlan_flows()
    macs = pb.MACRewrite(srcMac=b"\2\0\0\0\0\1", dstMac=b"\2\0\0\0\0\2")
    assert [call for call in fake.calls if "NextHop" in call[0]] == [
        ("setNextHop", pb.nextHopParameters(nextHopId=12, macRewrite=macs)),
        ("setNextHop", pb.nextHopParameters(nextHopId=13, macRewrite=macs, ipVersion=pb._IPV6)),
        ("destroyNextHop", pb.nextHopParameters(nextHopId=12)),
        ("clearNextHops", pb.nextHopParameters()),
    ]
    assert ("addVlanFlow", flows[0]) in fake.calls


@pytest.mark.parametrize("profile, status", [("spec", 4), ("bluefield", 6)])
def test_refusals_of_routed_devices(connect, profile, status):
    fake = Fake("v1beta1").on("setNextHop", lambda *_: pb.nextHopResponse(errorStatus=status))
    fake.on("removeVlanFlow", lambda *_: pb.sessionResponse(requestStatus=pb._REJECTED_SESSION_NONEXISTENT))
    client = connect(fake, profile=profile)
    with pytest.raises(opof.RequestRefused, match="next hop 1: already exists") as error:
        client.set_next_hop(1, "02:00:00:00:00:01", "02:00:00:00:00:02")
    assert (error.value.reason, error.value.status) == (opof.Refusal.ALREADY_EXISTS, status)
    with pytest.raises(opof.RequestRefused, match="VLAN flow 5: the server answered REJECTED_SESSION_NONEXISTENT"):
        client.remove_vlan_flow(5)
    for wrong in ("02:00:00:00:00", "no", b""):
        with pytest.raises(opof.InvalidSession, match="looks like '02:00:00:00:00:01'"):
            client.set_next_hop(1, wrong, "02:00:00:00:00:02")
    for wrong in (0, 4095):
        with pytest.raises(opof.InvalidSession, match="it is from 1 to 4094"):
            client.add_vlan_flow(wrong, 1)


def test_refusals_in_the_servers_own_words(connect):
    def saying(text, answer):
        def method(request, context):
            context.send_initial_metadata([("opof-refused", text)])
            return answer

        return method

    missing = saying("next hop 8: nextHopId: no next hop 8", pb.nextHopResponse(errorStatus=1))
    fake = Fake("v1beta1").on("destroyNextHop", missing)
    taken = pb.sessionResponse(requestStatus=pb._REJECTED_SESSION_ALREADY_EXISTS)
    fake.on("addVlanFlow", saying("VLAN 100: vlanId: taken", taken))
    client = connect(fake)
    with pytest.raises(opof.RequestRefused, match="next hop 8: nextHopId: no next hop 8$") as error:
        client.destroy_next_hop(8)
    assert (error.value.details, error.value.status) == ("nextHopId: no next hop 8", 1)
    with pytest.raises(opof.RequestRefused, match="VLAN flow 100: vlanId: taken$") as error:
        client.add_vlan_flow(100, 1)
    assert error.value.details == "vlanId: taken"


ROUTED = {
    "service_version": (), "reset": (), "set_next_hop": (1, b"123456", b"123456"), "destroy_next_hop": (1,),
    "clear_next_hops": (), "add_vlan_flow": (1, 1), "remove_vlan_flow": (1,), "vlan_flows": (), "clear_vlan_flows": (),
}


@pytest.mark.parametrize("dialect", [dialect.name for dialect in opof.DIALECTS])
def test_a_call_that_a_dialect_lacks_names_the_one_that_has_it(connect, dialect):
    fake = Fake(dialect)
    client = connect(fake)
    lacking = {name: ("v1beta1", arguments) for name, arguments in ROUTED.items() if dialect != "v1beta1"}
    if dialect != "v1.1":
        lacking["shutdown_server"] = ("v1.1", (1,))
    for name, (able, arguments) in lacking.items():
        with pytest.raises(opof.UnsupportedByDialect, match=f"{name}: not in dialect {dialect}; {able} has it"):
            getattr(client, name)(*arguments)
    assert fake.calls == []


@pytest.mark.parametrize("dialect", [dialect.name for dialect in opof.DIALECTS])
def test_the_raw_stub_is_on_the_same_channel(connect, dialect):
    fake = Fake(dialect).on("addSession", accept_all)
    client = connect(fake)
    call = client.stub.AddSession if dialect == "v2" else client.stub.addSession
    call(iter([client.message(session(9))]), timeout=5)
    assert fake.calls[0][1][0].sessionId == 9
