//! Answers as tables for people and as JSON, one object a line, for programs.

pub(crate) mod pair;

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use comfy_table::{CellAlignment, Table, presets};
use opof_client::{Device, Fault, Health, Port, Refused, ServiceVersion, SessionReport, Statistics, Tally, VlanFlow};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a table of sessions has instead of a value that is not there.
const NOTHING: &str = "-";
/// Sessions that a table waits for before it is written, so that a long list is written as it comes.
const TABLE_ROWS: usize = opof_client::limits::PAGE as usize;

const SESSION_COLUMNS: [&str; 9] =
    ["ID", "STATE", "CLOSED BY", "IN PACKETS", "IN BYTES", "OUT PACKETS", "OUT BYTES", "STARTED", "ENDED"];
/// Characters that each of them has at least where nobody knows what is to come: ids and figures of an ordinary size, the
/// longest state, and times to the millisecond.
const SESSION_WIDTHS: [usize; 9] = [10, 11, 9, 11, 12, 11, 12, 24, 24];
/// Which of them are numbers.
const SESSION_NUMBERS: [usize; 5] = [0, 3, 4, 5, 6];
const PORT_COLUMNS: [&str; 8] = ["LIF", "ROLE", "PORT", "MODE", "RECEIVED", "FORWARDED", "DROPPED", "TO FIREWALL"];
const PORT_NUMBERS: [usize; 5] = [0, 4, 5, 6, 7];

/// Output that may find nobody who reads it, of commands that change the device or whose exit code matters: the work goes
/// on, and ends as it would have.
pub(crate) struct Unread<W>(pub(crate) W);

impl<W: Write> Write for Unread<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unread(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unread(self.0.flush(), ())
    }
}

fn unread<T>(result: io::Result<T>, done: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(done),
        result => result,
    }
}

/// Writes sessions as they come.
pub(crate) struct Sessions<W> {
    out: W,
    json: bool,
    rows: Vec<[String; 9]>,
    /// Characters of each column so far; they only grow.
    widths: [usize; 9],
    headed: bool,
    /// The header does not wait for the first session.
    endless: bool,
}

impl<W: Write> Sessions<W> {
    pub(crate) fn new(out: W, json: bool) -> Self {
        Self { out, json, rows: Vec::new(), widths: SESSION_COLUMNS.map(str::len), headed: false, endless: false }
    }

    /// For sessions that come one by one, for as long as anybody waits.
    #[must_use]
    pub(crate) fn endless(self) -> Self {
        Self { widths: SESSION_WIDTHS, endless: true, ..self }
    }

    pub(crate) fn write(&mut self, session: &SessionReport) -> io::Result<()> {
        if self.json {
            return writeln!(self.out, "{}", session_json(session));
        }
        self.rows.push(session_row(session));
        if self.rows.len() == TABLE_ROWS { self.flush() } else { Ok(()) }
    }

    /// Writes what is waiting.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        for row in &self.rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.len().max(*width);
            }
        }
        if !self.headed && !self.json && (self.endless || !self.rows.is_empty()) {
            writeln!(self.out, "{}", session_line(&SESSION_COLUMNS, &self.widths))?;
            self.headed = true;
        }
        for row in self.rows.drain(..) {
            writeln!(self.out, "{}", session_line(&row, &self.widths))?;
        }
        self.out.flush()
    }
}

/// One line for a session that was not accepted: in the device's own words where it has some.
pub(crate) fn refused(refused: &Refused, json: bool) -> String {
    let Refused { id, reason, message } = refused;
    match (json, message) {
        (true, None) => json!({"id": id.0, "error": reason.name()}).to_string(),
        (true, Some(message)) => json!({"id": id.0, "error": reason.name(), "message": message}).to_string(),
        (false, None) => format!("session {id}: {reason}"),
        (false, Some(message)) => format!("session {id}: {message}"),
    }
}

/// The outcome of an add as a whole.
pub(crate) fn added(accepted: u64, refused: u64, json: bool) -> String {
    if json {
        return json!({"accepted": accepted, "refused": refused}).to_string();
    }
    let sessions = if accepted == 1 { "session" } else { "sessions" };
    if refused == 0 {
        format!("{accepted} {sessions} offloaded")
    } else {
        format!("{accepted} {sessions} offloaded, {refused} refused")
    }
}

/// Something was done to something, which is `what` for people and the fields of `about` for programs.
pub(crate) fn done(what: &str, done: &str, mut about: Value, json: bool) -> String {
    if !json {
        return format!("{what}: {done}");
    }
    about["done"] = done.into();
    about.to_string()
}

/// Whether the device serves.
pub(crate) fn health(health: Health, json: bool) -> String {
    if json { json!({"health": health.name()}).to_string() } else { health.name().replace('_', " ") }
}

/// Who made the device's server.
pub(crate) fn version(version: &ServiceVersion, json: bool) -> String {
    let ServiceVersion { vendor, name, version, copyright } = version;
    if json {
        return json!({"vendor": vendor, "name": name, "version": version, "copyright": copyright}).to_string();
    }
    let lines = [format!("{name} {version}"), vendor.clone(), copyright.clone()];
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// All VLAN flows; nothing where there are none.
pub(crate) fn vlan_flows(flows: &[VlanFlow], json: bool) -> String {
    if json {
        let lines = flows.iter().map(|flow| json!({"vlan": flow.vlan.get(), "lif": flow.lif.get()}).to_string());
        return lines.collect::<Vec<_>>().join("\n");
    }
    if flows.is_empty() {
        return String::new();
    }
    let rows = flows.iter().map(|flow| [flow.vlan.get().to_string(), flow.lif.get().to_string()]);
    table(&["VLAN", "LIF"], &[0, 1], rows)
}

/// The device.
pub(crate) fn device(device: &Device, json: bool) -> String {
    if json { device_json(device).to_string() } else { device_text(device) }
}

fn table<const N: usize>(columns: &[&str; N], numbers: &[usize], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.iter().copied()).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// One line of a table whose parts are written one after the other, under one header.
fn session_line(cells: &[impl AsRef<str>; 9], widths: &[usize; 9]) -> String {
    let mut line = String::new();
    for (index, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        let cell = cell.as_ref();
        let cell = if SESSION_NUMBERS.contains(&index) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
        line += &cell;
        line += "  ";
    }
    line.truncate(line.trim_end().len());
    line
}

fn session_row(session: &SessionReport) -> [String; 9] {
    let code = match session.close_code {
        opof_client::CloseCode::NotClosed => NOTHING,
        code => code.name(),
    };
    [
        session.id.to_string(),
        session.state.name().to_owned(),
        code.to_owned(),
        session.inward.packets.to_string(),
        session.inward.bytes.to_string(),
        session.outward.packets.to_string(),
        session.outward.bytes.to_string(),
        session.started.and_then(time_of_day).unwrap_or_else(|| NOTHING.to_owned()),
        session.ended.and_then(time_of_day).unwrap_or_else(|| NOTHING.to_owned()),
    ]
}

fn session_json(session: &SessionReport) -> Value {
    json!({
        "id": session.id.0,
        "state": session.state.name(),
        "close_code": session.close_code.name(),
        "in_packets": session.inward.packets,
        "in_bytes": session.inward.bytes,
        "out_packets": session.outward.packets,
        "out_bytes": session.outward.bytes,
        "started": session.started.and_then(time_of_day),
        "ended": session.ended.and_then(time_of_day),
    })
}

/// RFC 3339, UTC, to the millisecond. `None` where the year has more than four digits.
fn time_of_day(time: SystemTime) -> Option<String> {
    let time = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let millis = i128::try_from(time.as_millis()).ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(millis.checked_mul(1_000_000)?).ok()?.format(&Rfc3339).ok()
}

fn device_text(device: &Device) -> String {
    let Statistics {
        sessions,
        capacity,
        adopted,
        unfollowed,
        added,
        refused,
        deleted,
        timed_out,
        withdrawn,
        superseded,
        clamped,
        closed_waiting,
        closed_delivered,
        closed_lost,
    } = device.statistics;
    let mut text = format!(
        "opofd {}, {} data plane, up {}\n\
         sessions  {sessions} of {capacity}; {adopted} adopted, {added} added, {refused} refused, {deleted} deleted, {timed_out} timed out, \
         {withdrawn} withdrawn, {superseded} superseded, {clamped} with timeout clamped\n\
         closed    {closed_waiting} waiting, {closed_delivered} delivered, {closed_lost} lost\n",
        device.version,
        device.data_plane,
        uptime(device.uptime)
    );
    if unfollowed > 0 {
        text += &["peer      ", &unfollowed.to_string(), " of its sessions could not be taken in\n"].concat();
    }
    for Fault { part, why, age } in &device.faults {
        text += &["fault     ", part, ", for ", &uptime(*age), ": ", why, "\n"].concat();
    }
    if !device.ports.is_empty() {
        text += "\n";
        text += &table(&PORT_COLUMNS, &PORT_NUMBERS, device.ports.iter().map(port_row));
        text += "\n";
    }
    for port in &device.ports {
        let slow = port.slow_path.iter().map(|slow| (slow.reason.as_str(), slow.tally));
        text += &by_reason(port, "to firewall", slow);
    }
    for port in &device.ports {
        let lost = [
            ("too_big_answered", port.too_big_answered),
            ("too_big_dropped", port.too_big_dropped),
            ("unreachable", port.unreachable),
        ];
        text += &by_reason(port, "lost on the way to firewall", lost);
    }
    for port in &device.ports {
        let refused = port.refused.iter().map(|refused| (refused.reason.as_str(), refused.tally));
        text += &by_reason(port, "left to the host", refused);
    }
    for port in device.ports.iter().filter(|port| port.copied.packets + port.copies_lost.packets > 0) {
        let (sent, lost) = (port.copied.packets.to_string(), port.copies_lost.packets.to_string());
        text += &[port.name.as_str(), " copies: ", &sent, " sent to collectors, ", &lost, " lost\n"].concat();
    }
    text.truncate(text.trim_end().len());
    text
}

/// A line with those reasons that have occurred, if any has.
fn by_reason<'a>(port: &Port, what: &str, reasons: impl IntoIterator<Item = (&'a str, Tally)>) -> String {
    let occurred = reasons.into_iter().filter(|(_, tally)| tally.packets > 0);
    let occurred: Vec<_> = occurred.map(|(reason, tally)| format!("{reason} {}", tally.packets)).collect();
    if occurred.is_empty() { String::new() } else { format!("{} {what}: {}\n", port.name, occurred.join(", ")) }
}

fn port_row(port: &Port) -> [String; 8] {
    [
        lif(port).map_or_else(|| NOTHING.to_owned(), |lif| lif.to_string()),
        port.role.name().to_owned(),
        port.name.clone(),
        port.mode.clone(),
        port.received.packets.to_string(),
        port.forwarded.packets.to_string(),
        port.dropped.packets.to_string(),
        slow(port).to_string(),
    ]
}

/// The LIF it belongs to, if it does to one.
fn lif(port: &Port) -> Option<u32> {
    (port.lif != 0).then_some(port.lif)
}

/// Frames that went to the firewall.
fn slow(port: &Port) -> u64 {
    port.slow_path.iter().fold(0, |sum, slow| sum.saturating_add(slow.tally.packets))
}

fn uptime(uptime: Duration) -> String {
    let seconds = uptime.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn device_json(device: &Device) -> Value {
    let statistics = device.statistics;
    json!({
        "version": device.version,
        "data_plane": device.data_plane,
        "uptime_seconds": device.uptime.as_secs(),
        "statistics": {
            "sessions": statistics.sessions,
            "capacity": statistics.capacity,
            "adopted": statistics.adopted,
            "unfollowed": statistics.unfollowed,
            "added": statistics.added,
            "refused": statistics.refused,
            "deleted": statistics.deleted,
            "timed_out": statistics.timed_out,
            "withdrawn": statistics.withdrawn,
            "superseded": statistics.superseded,
            "clamped": statistics.clamped,
            "closed_waiting": statistics.closed_waiting,
            "closed_delivered": statistics.closed_delivered,
            "closed_lost": statistics.closed_lost,
        },
        "ports": device.ports.iter().map(port_json).collect::<Vec<_>>(),
        "faults": device.faults.iter().map(fault_json).collect::<Vec<_>>(),
    })
}

fn fault_json(Fault { part, why, age }: &Fault) -> Value {
    json!({"part": part, "why": why, "age_seconds": age.as_secs()})
}

fn port_json(port: &Port) -> Value {
    let slow_path = port.slow_path.iter().map(|slow| (slow.reason.clone(), tally_json(slow.tally)));
    let refused = port.refused.iter().map(|refused| (refused.reason.clone(), tally_json(refused.tally)));
    json!({
        "lif": lif(port),
        "role": port.role.name(),
        "name": port.name,
        "mode": port.mode,
        "received": tally_json(port.received),
        "forwarded": tally_json(port.forwarded),
        "dropped": tally_json(port.dropped),
        "slow_path": slow_path.collect::<serde_json::Map<_, _>>(),
        "copied": tally_json(port.copied),
        "copies_lost": tally_json(port.copies_lost),
        "too_big_answered": tally_json(port.too_big_answered),
        "too_big_dropped": tally_json(port.too_big_dropped),
        "unreachable": tally_json(port.unreachable),
        "refused": refused.collect::<serde_json::Map<_, _>>(),
    })
}

fn tally_json(tally: Tally) -> Value {
    json!({"packets": tally.packets, "bytes": tally.bytes})
}

#[cfg(test)]
mod tests;
