"""Sessions to messages and messages to reports, against the vectors of an independent implementation."""

import dataclasses
import datetime
import json

import pytest
from conftest import VECTORS, session
from test_stubs import messages, vectors

import opof
from opof.dialect import dialect_of
from opof.proto.v1beta1 import openoffload_pb2 as pb
from opof.translate import closed_report, refusal, session_report, session_request

HOST = dataclasses.replace(opof.SPEC, ipv4_order="host")
V4 = {"source": ("10.0.0.1", 12345), "destination": ("10.1.0.3", 80), "protocol": "tcp"}
V6 = {
    "source": ("2001:db8:85a3::8a2e:370:7332", 4430),
    "destination": ("2001:db8:85a3::8a03:370:234f", 80),
    "protocol": "tcp",
}
MIRRORED = opof.Session(
    8, ("10.0.0.1", 12345), ("10.1.0.4", 80), "udp", action=opof.Action.MIRROR, collector="12.2.3.4"
)
V1 = {
    "add_v4_tcp_forward_inet_pton": (opof.SPEC, opof.Session(12345678910, **V4)),
    "add_v4_tcp_forward_host": (HOST, opof.Session(12345678910, **V4)),
    "add_v6_tcp_forward": (opof.SPEC, opof.Session(12345678911, **V6)),
    "add_v4_udp_drop_vlan100": (
        opof.SPEC,
        opof.Session(
            7, ("192.0.2.1", 5000), ("198.51.100.9", 53), "udp", in_vlan=100, out_vlan=100,
            action=opof.Action.DROP, timeout_seconds=30,
        ),
    ),
    "add_v4_udp_mirror": (opof.SPEC, MIRRORED),
    "add_v6_udp_snoop_max": (
        opof.SPEC,
        opof.Session(
            9, ("2001:db8::1", 1), ("2001:db8::2", 65535), "udp", action=opof.Action.SNOOP, collector="2001:db8::c0",
            timeout_seconds=2**32 - 1,
        ),
    ),
}
WANTED = {
    "v1": V1,
    "v1.1": {
        **V1,
        "add_gtpu_inner": (
            opof.SPEC, opof.Session(20, ("10.0.0.1", 1), ("10.1.0.4", 2), "udp", tunnel="gtpu"),
        ),
    },
    "v1beta1": {
        "add_l3_snat_vlan_rewrite": (
            opof.BLUEFIELD,
            opof.Session(
                30, ("10.0.0.1", 40000), ("203.0.113.7", 443), "tcp", in_vlan=100, out_vlan=200, timeout_seconds=60,
                in_link=opof.Link(next_hop=11, vlan=100),
                out_link=opof.Link(next_hop=12, snat=opof.Nat("198.51.100.20", 61000), vlan=200),
            ),
        ),
        "add_v6_gtpu_dnat": (
            opof.BLUEFIELD,
            opof.Session(
                31, ("2001:db8::1", 40000), ("2001:db8:ffff::7", 443), "udp", tunnel="gtpu",
                out_link=opof.Link(dnat=opof.Nat("2001:db8:1::7", 8443)),
            ),
        ),
    },
    "v2": {
        "add_v4_tcp_forward_inet_pton": V1["add_v4_tcp_forward_inet_pton"],
        "add_v6_tcp_forward": (
            opof.SPEC, opof.Session(12345678911, ("2001:db8::1", 4430), ("2001:db8::2", 80), "tcp", timeout_seconds=60),
        ),
    },
}
# A session has no way to say these.
REJECTED = {"add_extremes", "add_v6_short_address"}


def of_requests(dialect):
    package = dialect_of(dialect).package
    return {one["name"]: one for one in vectors(package) if one["message"].lower().endswith(".sessionrequest")}


@pytest.mark.parametrize("dialect", WANTED)
def test_each_vector_of_a_session_is_said(dialect):
    assert set(of_requests(dialect)) - REJECTED == set(WANTED[dialect])


@pytest.mark.parametrize("dialect, name", [(dialect, name) for dialect in WANTED for name in WANTED[dialect]])
def test_a_session_is_encoded_as_in_its_vector(dialect, name):
    profile, said = WANTED[dialect][name]
    module = messages(dialect_of(dialect).package)
    kind = module.SessionRequest if dialect == "v2" else module.sessionRequest
    wanted = kind.FromString(bytes.fromhex(of_requests(dialect)[name]["hex"]))
    if said.action is opof.Action.FORWARD:
        # Some clients name a next hop with FORWARD, where it means nothing.
        for field in ("actionNextHop", "actionNextHopV6", "action_next_hop", "action_next_hop_v6"):
            if field in wanted.action.DESCRIPTOR.fields_by_name:
                wanted.action.ClearField(field)
    encoded = session_request(said, dialect_of(dialect), profile).SerializeToString()
    assert kind.FromString(encoded) == wanted
    assert len(encoded) == wanted.ByteSize()


def test_the_client_hands_out_the_dialects_own_message():
    for dialect in opof.DIALECTS:
        with opof.Client("localhost", plaintext=True, dialect=dialect.name) as client:
            message = client.message(session(7))
        assert message.DESCRIPTOR.full_name.lower() == f"openoffload.{dialect.package}.sessionrequest"
        assert getattr(message, "session_id" if dialect.pascal_case else "sessionId") == 7


def test_the_two_orders_of_ten_zero_zero_one():
    assert session_request(session(1), dialect_of("v1"), opof.SPEC).sourceIp == 0x0100000A
    assert session_request(session(1), dialect_of("v1"), HOST).sourceIp == 0x0A000001


def test_vlans_are_above_the_lif_or_in_fields_of_their_own():
    tagged = session(1, in_lif=3, out_lif=4, in_vlan=100, out_vlan=100)
    for dialect in ("v1", "v1.1", "v2"):
        request = session_request(tagged, dialect_of(dialect), opof.SPEC)
        assert (request.inLif, request.outLif) == (100 << 16 | 3, 100 << 16 | 4)
        assert (request.vlan_inLif, request.vlan_outLif) == (0, 0)
    request = session_request(tagged, dialect_of("v1beta1"), opof.SPEC)
    assert (request.inLif, request.outLif, request.vlan_inLif, request.vlan_outLif) == (3, 4, 100, 100)
    assert not request.action.HasField("actionParams_outLif")


def test_two_vlans_are_a_rewrite_in_v1beta1_too():
    def links(**changes):
        request = session_request(session(1, in_vlan=5, out_vlan=6, **changes), dialect_of("v1beta1"), opof.SPEC)
        return request.action.actionParams_inLif.vlan, request.action.actionParams_outLif.vlan

    assert links() == (5, 6)
    assert links(out_link=opof.Link(next_hop=1, vlan=7)) == (5, 7)
    assert links(action=opof.Action.DROP) == (0, 0)


def test_what_a_dialect_cannot_say_is_an_error_that_names_those_that_can():
    def refused(dialect, **changes):
        with pytest.raises(opof.UnsupportedByDialect) as error:
            session_request(session(4, **changes), dialect_of(dialect), opof.SPEC)
        return error.value

    for dialect in ("v1", "v2"):
        error = refused(dialect, tunnel="gtpu")
        assert error.dialects == ("v1.1", "v1beta1")
        assert str(error).startswith(f"session 4 in a GTP-U tunnel: not in dialect {dialect}; v1.1 and v1beta1 have it")
    for dialect in ("v1", "v1.1", "v2"):
        for links in ({"in_link": opof.Link(next_hop=1)}, {"out_link": opof.Link(vlan=0)}):
            assert refused(dialect, **links).dialects == ("v1beta1",)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"source": ("10.0.0.1", 65536)}, "source port 65536; it is from 0 to 65535"),
        ({"source": ("10.0.0.1", True)}, "source port True; it is a number from 0 to 65535"),
        ({"source": "10.0.0.1"}, "source '10.0.0.1'; give an address and a port"),
        ({"source": ("localhost", 1)}, "source 'localhost'; it is an IPv4 or IPv6 address"),
        ({"source": (167772161, 1)}, "source 167772161; it is an IPv4 or IPv6 address"),
        ({"source": ("2001:db8::1", 1)}, "both must be IPv4, or both IPv6"),
        ({"destination": ("0.0.0.0", 1)}, "destination 0.0.0.0; no host has this address"),
        ({"source": ("fe80::1%eth0", 1)}, "the interface is given by the session's LIFs"),
        ({"protocol": "icmp"}, "only 'tcp' and 'udp' are offloaded"),
        ({"tunnel": "vxlan"}, "known are None and 'gtpu'"),
        ({"in_vlan": 4095, "out_vlan": 1}, "in_vlan 4095; it is from 0 to 4094"),
        ({"in_vlan": 5}, "give both sides a VLAN, or neither"),
        ({"in_lif": 0}, "give both, or 0 on both sides"),
        ({"out_lif": 65536}, "out_lif 65536"),
        ({"timeout_seconds": -1}, "timeout_seconds -1"),
        ({"action": opof.Action.MIRROR}, "MIRROR without a collector"),
        ({"collector": "10.0.0.9"}, "a collector with FORWARD"),
        ({"action": opof.Action.DROP, "in_link": opof.Link()}, "in_link with DROP: links are for FORWARD"),
        ({"out_link": opof.Link(vlan=5)}, "out_link: VLAN 5 for an untagged session"),
        ({"out_link": opof.Link(snat=opof.Nat("2001:db8::1"))}, "not of the session's IP version"),
    ],
)
def test_what_no_device_would_accept_is_not_a_session(changes, message):
    with pytest.raises(opof.InvalidSession) as error:
        session(1, **changes)
    assert message in str(error.value)
    assert isinstance(error.value, ValueError)


def test_ids_have_64_bits():
    assert session_request(session(2**64 - 1), dialect_of("v1"), opof.SPEC).sessionId == 2**64 - 1
    for number in (2**64, -1):
        with pytest.raises(opof.InvalidSession):
            session(number)


def test_codes_of_refusals_under_both_readings():
    def read(profile, *codes):
        return [refusal(code, profile).name for code in codes]

    assert read(opof.SPEC, 1, 2, 3, 4, 6) == ["REJECTED", "TABLE_FULL", "UNAVAILABLE", "ALREADY_EXISTS", "REJECTED"]
    codes = [3, 6, 8, 9, 13, 14, -1]
    reasons = ["REJECTED", "ALREADY_EXISTS", "TABLE_FULL", "REJECTED", "REJECTED", "UNAVAILABLE", "REJECTED"]
    assert read(opof.C_CLIENT, *codes) == read(opof.BLUEFIELD, *codes) == reasons


def test_a_report_has_all_of_its_answer():
    lines = (VECTORS / "openoffload_v1.jsonl").read_text().splitlines()
    vector = next(one for one in map(json.loads, lines) if one["name"] == "session_response_closed_timeout")
    utc = datetime.timezone.utc
    assert session_report(pb.sessionResponse.FromString(bytes.fromhex(vector["hex"]))) == opof.SessionReport(
        id=1001, in_packets=1000, out_packets=200000, in_bytes=64000, out_bytes=12800000, state=opof.State.CLOSED,
        close_code=opof.CloseCode.TIMEOUT, start_time=datetime.datetime(2026, 5, 28, 20, 26, 40, tzinfo=utc),
        end_time=datetime.datetime(2026, 5, 28, 20, 27, 40, 500000, tzinfo=utc),
    )


def test_answers_that_no_server_should_give():
    report = session_report(pb.sessionResponse.FromString(bytes([0x30, 9, 0x38, 9])))
    assert (report.state, report.close_code, report.start_time) == (opof.State.UNKNOWN, opof.CloseCode.UNKNOWN, None)
    response = pb.sessionResponse(sessionId=3, inBytes=5, requestStatus=pb._REJECTED)
    response.startTime.seconds = 2**60
    with pytest.raises(opof.RequestRefused, match="session 3: the server answered REJECTED") as error:
        session_report(response)
    assert error.value.status == 1
    # What is told once is not thrown away for its looks.
    assert (closed_report(response).in_bytes, closed_report(response).start_time) == (5, None)


def test_profiles_by_name_and_by_switch():
    with opof.Client("localhost", plaintext=True, profile=opof.Profile(ipv4_order="host")) as client:
        assert client.message(session(1)).sourceIp == 0x0A000001
    assert (opof.PROFILES["c-client"].page_cap, opof.PROFILES["bluefield"].report_deleted) == (64, True)
    with pytest.raises(opof.InvalidConfiguration, match="ipv4_order: 'network'; it is one of inet_pton, host"):
        opof.Profile(ipv4_order="network")
    with pytest.raises(opof.InvalidConfiguration, match="no profile 'C'; there are spec, c-client, bluefield"):
        opof.Client("localhost", plaintext=True, profile="C")
