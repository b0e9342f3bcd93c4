use opof_client::{
    CloseCode, DirectionCounters, PortRole, Refusal, RefusedTally, SessionId, SessionState, SlowPathTally,
};

use super::*;

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_780_000_000_000 + millis)
}

fn live() -> SessionReport {
    SessionReport {
        id: SessionId(7),
        inward: DirectionCounters { packets: 1000, bytes: 64_000 },
        outward: DirectionCounters { packets: 2, bytes: 120 },
        state: SessionState::Established,
        close_code: CloseCode::NotClosed,
        started: Some(at(0)),
        ended: None,
    }
}

fn closed() -> SessionReport {
    SessionReport {
        id: SessionId(u64::MAX),
        state: SessionState::Closed,
        close_code: CloseCode::Timeout,
        ended: Some(at(30_250)),
        ..live()
    }
}

fn written(sessions: &[SessionReport], json: bool) -> String {
    let mut out = Vec::new();
    let mut writer = Sessions::new(&mut out, json);
    for session in sessions {
        writer.write(session).unwrap();
    }
    writer.flush().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_table_of_sessions() {
    let expected = "                  ID  STATE        CLOSED BY  IN PACKETS  IN BYTES  OUT PACKETS  OUT BYTES  STARTED               ENDED
                   7  established  -                1000     64000            2        120  2026-05-28T20:26:40Z  -
18446744073709551615  closed       timeout          1000     64000            2        120  2026-05-28T20:26:40Z  2026-05-28T20:27:10.25Z
";
    assert_eq!(written(&[live(), closed()], false), expected);
    assert_eq!(written(&[], false), "");
}

#[test]
fn one_object_a_session() {
    let lines = written(&[live(), closed()], true);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = json!({
        "id": 7, "state": "established", "close_code": "not_closed", "in_packets": 1000, "in_bytes": 64000,
        "out_packets": 2, "out_bytes": 120, "started": "2026-05-28T20:26:40Z", "ended": null,
    });
    assert_eq!(lines[0], first);
    assert_eq!((&lines[1]["id"], &lines[1]["ended"]), (&json!(u64::MAX), &json!("2026-05-28T20:27:10.25Z")));
}

#[test]
fn a_long_list_is_written_as_it_comes() {
    let table = written(&vec![live(); TABLE_ROWS + 1], false);
    assert_eq!(table.lines().count(), TABLE_ROWS + 1 + 1, "the header comes once");
    let wide = [vec![live(); TABLE_ROWS], vec![closed(), live()]].concat();
    let table = written(&wide, false);
    let ends: Vec<_> = table.lines().skip(TABLE_ROWS + 1).map(|line| line.find("  2026-")).collect();
    assert_eq!(ends[0], ends[1], "columns grow, and do not shrink again");
}

#[test]
fn a_table_without_an_end_has_its_header_first() {
    let mut out = Vec::new();
    let mut writer = Sessions::new(&mut out, false).endless();
    writer.flush().unwrap();
    for session in [live(), SessionReport { id: SessionId(1_000_000_000), ..closed() }] {
        writer.write(&session).unwrap();
        writer.flush().unwrap();
    }
    let expected = "        ID  STATE        CLOSED BY   IN PACKETS      IN BYTES  OUT PACKETS     OUT BYTES  STARTED                   ENDED
         7  established  -                 1000         64000            2           120  2026-05-28T20:26:40Z      -
1000000000  closed       timeout           1000         64000            2           120  2026-05-28T20:26:40Z      2026-05-28T20:27:10.25Z
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let mut out = Vec::new();
    Sessions::new(&mut out, true).endless().flush().unwrap();
    assert!(out.is_empty(), "JSON has no header");
}

#[test]
fn work_goes_on_when_nobody_reads() {
    struct Closed(io::ErrorKind);
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }
    let mut unread = Unread(Closed(io::ErrorKind::BrokenPipe));
    assert!(writeln!(unread, "x").is_ok() && unread.flush().is_ok());
    let mut full = Unread(Closed(io::ErrorKind::StorageFull));
    assert!(writeln!(full, "x").is_err() && full.flush().is_err());
}

#[test]
fn what_was_done() {
    assert_eq!(done("next hop 7", "set", json!({"next_hop": 7}), false), "next hop 7: set");
    let line: Value = serde_json::from_str(&done("next hop 7", "set", json!({"next_hop": 7}), true)).unwrap();
    assert_eq!(line, json!({"done": "set", "next_hop": 7}));
}

#[test]
fn what_became_of_an_add() {
    let full = Refused { id: SessionId(7), reason: Refusal::TableFull, message: None };
    let said = Refused { reason: Refusal::Rejected, message: Some("inLif: wrong".to_owned()), ..full.clone() };
    assert_eq!(refused(&full, false), "session 7: the session table is full");
    assert_eq!(refused(&full, true), r#"{"error":"table_full","id":7}"#);
    assert_eq!(refused(&said, false), "session 7: inLif: wrong");
    assert_eq!(refused(&said, true), r#"{"error":"rejected","id":7,"message":"inLif: wrong"}"#);
    assert_eq!(added(1, 0, false), "1 session offloaded");
    assert_eq!(added(0, 2, false), "0 sessions offloaded, 2 refused");
    assert_eq!(added(1, 2, true), r#"{"accepted":1,"refused":2}"#);
}

fn some_device() -> Device {
    let tally = |packets| Tally { packets, bytes: 60 * packets };
    let slow = |reason: &str, packets| SlowPathTally { reason: reason.to_owned(), tally: tally(packets) };
    let wire = Port {
        lif: 1,
        role: PortRole::Wire,
        name: "ens0".to_owned(),
        mode: "native".to_owned(),
        received: tally(100_000),
        forwarded: tally(90_000),
        dropped: tally(3),
        slow_path: vec![slow("miss", 9990), slow("fragment", 0), slow("tcp_control", 7)],
        copied: tally(50),
        copies_lost: tally(2),
        too_big_answered: tally(0),
        too_big_dropped: tally(0),
        unreachable: tally(0),
        refused: vec![],
    };
    let firewall = Port {
        role: PortRole::Firewall,
        name: "vf0".to_owned(),
        forwarded: tally(0),
        dropped: tally(0),
        slow_path: vec![],
        copied: tally(0),
        copies_lost: tally(0),
        ..wire.clone()
    };
    Device {
        version: "0.1.0".to_owned(),
        data_plane: "xdp".to_owned(),
        uptime: Duration::from_secs(3 * 86_400 + 2 * 3600),
        statistics: Statistics { sessions: 5, capacity: 1000, added: 12, timed_out: 7, ..Statistics::default() },
        ports: vec![wire, firewall],
        faults: vec![],
    }
}

/// The same, with another LIF whose firewall is behind a tunnel.
fn with_a_tunnel() -> Device {
    let tally = |packets| Tally { packets, bytes: 60 * packets };
    let Device { mut ports, .. } = some_device();
    let [wire, firewall] = ports.as_slice() else { panic!("two ports") };
    let refused = |reason: &str, packets| RefusedTally { reason: reason.to_owned(), tally: tally(packets) };
    let more = [
        Port {
            lif: 2,
            name: "ens1".to_owned(),
            too_big_answered: tally(4),
            unreachable: tally(1),
            slow_path: vec![],
            copied: tally(0),
            copies_lost: tally(0),
            ..wire.clone()
        },
        Port { lif: 2, name: "192.0.2.10".to_owned(), mode: "tunnel".to_owned(), ..firewall.clone() },
        Port {
            lif: 0,
            role: PortRole::Uplink,
            name: "ens2".to_owned(),
            refused: vec![refused("udp_checksum", 3), refused("oam", 0), refused("lif", 2)],
            ..firewall.clone()
        },
    ];
    ports.extend(more);
    Device { ports, ..some_device() }
}

#[test]
fn a_device_for_people() {
    let expected = "\
opofd 0.1.0, xdp data plane, up 3 d 2 h
sessions  5 of 1000; 0 adopted, 12 added, 0 refused, 0 deleted, 7 timed out, 0 withdrawn, 0 superseded, 0 with timeout clamped
closed    0 waiting, 0 delivered, 0 lost

LIF  ROLE      PORT  MODE    RECEIVED  FORWARDED  DROPPED  TO FIREWALL
  1  wire      ens0  native    100000      90000        3         9997
  1  firewall  vf0   native    100000          0        0            0
ens0 to firewall: miss 9990, tcp_control 7
ens0 copies: 50 sent to collectors, 2 lost";
    assert_eq!(device(&some_device(), false), expected);
}

#[test]
fn a_device_with_a_fault() {
    let why = "No space left on device (os error 28)".to_owned();
    let fault = Fault { part: "closed log".to_owned(), why, age: Duration::from_secs(75) };
    let ill = Device { faults: vec![fault], ..some_device() };
    let line = "\nfault     closed log, for 1 min 15 s: No space left on device (os error 28)\n";
    let text = device(&ill, false);
    assert!(text.contains(line), "{text}");
    let value: Value = serde_json::from_str(&device(&ill, true)).unwrap();
    let expected = json!([{"part": "closed log", "why": "No space left on device (os error 28)", "age_seconds": 75}]);
    assert_eq!(value["faults"], expected);
    assert_eq!(
        [health(Health::Degraded, false), health(Health::Degraded, true)],
        ["degraded", r#"{"health":"degraded"}"#]
    );
}

#[test]
fn a_device_with_a_tunnel_for_people() {
    let expected = "
LIF  ROLE      PORT        MODE    RECEIVED  FORWARDED  DROPPED  TO FIREWALL
  1  wire      ens0        native    100000      90000        3         9997
  1  firewall  vf0         native    100000          0        0            0
  2  wire      ens1        native    100000      90000        3            0
  2  firewall  192.0.2.10  tunnel    100000          0        0            0
  -  uplink    ens2        native    100000          0        0            0
ens0 to firewall: miss 9990, tcp_control 7
ens1 lost on the way to firewall: too_big_answered 4, unreachable 1
ens2 left to the host: udp_checksum 3, lif 2
ens0 copies: 50 sent to collectors, 2 lost";
    let text = device(&with_a_tunnel(), false);
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn a_device_for_programs() {
    let value: Value = serde_json::from_str(&device(&some_device(), true)).unwrap();
    assert_eq!(value["uptime_seconds"], 266_400);
    assert_eq!(value["statistics"]["timed_out"], 7);
    assert_eq!(value["ports"][0]["slow_path"]["miss"], json!({"packets": 9990, "bytes": 599_400}));
    assert_eq!(value["ports"][0]["copies_lost"], json!({"packets": 2, "bytes": 120}));
    assert_eq!(value["ports"][1]["role"], "firewall");
    let value: Value = serde_json::from_str(&device(&with_a_tunnel(), true)).unwrap();
    let ports = &value["ports"];
    assert_eq!((&ports[0]["lif"], &ports[0]["unreachable"]), (&json!(1), &json!({"packets": 0, "bytes": 0})));
    assert_eq!(ports[2]["too_big_answered"], json!({"packets": 4, "bytes": 240}));
    assert_eq!(ports[2]["too_big_dropped"], json!({"packets": 0, "bytes": 0}));
    assert_eq!(ports[2]["unreachable"], json!({"packets": 1, "bytes": 60}));
    assert_eq!((&ports[3]["mode"], &ports[3]["refused"]), (&json!("tunnel"), &json!({})));
    assert_eq!((&ports[4]["lif"], &ports[4]["role"]), (&Value::Null, &json!("uplink")));
    assert_eq!(ports[4]["refused"]["lif"], json!({"packets": 2, "bytes": 120}));
}

#[test]
fn how_long_it_is_up() {
    let up = |seconds| uptime(Duration::from_secs(seconds));
    assert_eq!([up(0), up(59), up(60), up(3725), up(90_000)], ["0 s", "59 s", "1 min 0 s", "1 h 2 min", "1 d 1 h"]);
}

#[test]
fn times_that_nobody_can_write_are_left_out() {
    assert_eq!(time_of_day(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60)), None);
    assert_eq!(time_of_day(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None);
}
