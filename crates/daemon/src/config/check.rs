//! [`Document`] to [`Config`]: what each setting means, and every mistake in one go.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use opof_session::request::SameTuple;
use opof_session::types::Lif;
use tracing_subscriber::EnvFilter;

use super::fields::Fields;
use super::model::{
    Config, DataPlaneConfig, LifConfig, Listener, LogConfig, LogFormat, Profile, Security, SessionsConfig, XdpMode,
};
use super::source::{Document, Mistake, Place, Section};
use crate::limits;

/// Judges `document`. `None` when there is a mistake; all of them are appended to `mistakes`.
pub(super) fn check(document: &Document, mistakes: &mut Vec<Mistake>) -> Option<Config> {
    let before = mistakes.len();
    let data_plane = data_plane(document, mistakes);
    let is_xdp = matches!(data_plane, Some(DataPlaneConfig::Xdp { .. }));
    let config = Config {
        listeners: listeners(document, mistakes),
        lifs: lifs(document, is_xdp, mistakes),
        sessions: sessions(document, mistakes),
        log: log(document, mistakes),
        // With a mistake in it nothing is returned, whatever stands here.
        data_plane: data_plane.unwrap_or(DataPlaneConfig::Sim),
    };
    (mistakes.len() == before).then_some(config)
}

fn all<'a>(document: &'a Document, name: &str) -> &'a [Section] {
    document.sections.get(name).map_or(&[], Vec::as_slice)
}

fn is_built_in(document: &Document) -> bool {
    document.place == Place::BuiltIn
}

fn default_listener() -> Listener {
    Listener {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, limits::DEFAULT_PORT)),
        security: Security::SelfSigned,
        profile: Profile::Spec,
        same_tuple: SameTuple::Supersede,
    }
}

fn listeners(document: &Document, mistakes: &mut Vec<Mistake>) -> Vec<Listener> {
    let sections = all(document, "listener");
    if sections.is_empty() {
        if !is_built_in(document) {
            let message = "there is no [[listener]]: nobody could reach the device".to_owned();
            mistakes.push(Mistake { place: document.place.clone(), message });
        }
        return vec![default_listener()];
    }
    if let Some(excess) = sections.get(limits::LISTENERS) {
        let message = format!("more than {} listeners", limits::LISTENERS);
        mistakes.push(Mistake { place: excess.place.clone(), message });
    }
    let mut seen = BTreeMap::new();
    let mut listeners = Vec::new();
    for section in sections {
        let mut fields = Fields::of(section, mistakes);
        let Some(listener) = listener(&mut fields) else { continue };
        // Port 0 is another port each time.
        if listener.address.port() != 0
            && let Some(first) = seen.insert(listener.address, fields.place("address"))
        {
            fields.wrong("address", format_args!("{} is taken by the listener at {first}", listener.address));
        }
        listeners.push(listener);
    }
    listeners
}

fn listener(fields: &mut Fields<'_>) -> Option<Listener> {
    let address = address(fields);
    let security = security(fields, address);
    let profile = profile(fields);
    let policies = [("supersede", SameTuple::Supersede), ("reject", SameTuple::Reject)];
    let same_tuple = fields.choice("same_tuple", &policies).unwrap_or_default();
    Some(Listener { address: address?, security: security?, profile, same_tuple })
}

fn address(fields: &mut Fields<'_>) -> Option<SocketAddr> {
    let text = fields.required_text("address", "where do clients connect, such as \"127.0.0.1:3443\"?")?;
    let address = text.parse().ok();
    if address.is_none() {
        fields.wrong(
            "address",
            format_args!("\"{text}\" is not ADDRESS:PORT, such as \"127.0.0.1:3443\" or \"[::]:3443\""),
        );
    }
    address
}

fn security(fields: &mut Fields<'_>, address: Option<SocketAddr>) -> Option<Security> {
    let plaintext = fields.truth("plaintext").unwrap_or(false);
    let anywhere = fields.truth("plaintext_anywhere").unwrap_or(false);
    let self_signed = fields.truth("self_signed").unwrap_or(false);
    let tls = if fields.has("tls") { Some(tls(fields)) } else { None };
    let on_loopback = address.is_none_or(|address| address.ip().is_loopback());
    match (tls, plaintext, self_signed) {
        (Some(tls), false, false) => tls,
        (None, true, false) => {
            if !on_loopback && !anywhere {
                fields.wrong(
                    "plaintext",
                    "off the loopback anybody on the way could read and change sessions; use tls, or say plaintext_anywhere = true",
                );
            }
            Some(Security::Plaintext)
        }
        (None, false, true) => {
            if !on_loopback {
                fields.wrong("self_signed", "that certificate names localhost only; use tls = { cert, key }");
            }
            Some(Security::SelfSigned)
        }
        (None, false, false) => {
            fields.wrong("tls", "a listener needs tls = { cert = \"...\", key = \"...\" } or plaintext = true");
            None
        }
        _ => {
            let key = if plaintext { "plaintext" } else { "self_signed" };
            fields.wrong(key, "only one of tls, plaintext and self_signed can be had");
            None
        }
    }
}

fn tls(fields: &mut Fields<'_>) -> Option<Security> {
    let table = fields.table("tls")?;
    let mut fields = fields.within(table);
    let (cert, key) = (path(&mut fields, "cert"), path(&mut fields, "key"));
    Some(Security::Tls { cert: cert?, key: key? })
}

/// A path in a file is relative to the file's folder, so that a daemon started elsewhere finds it.
fn path(fields: &mut Fields<'_>, key: &str) -> Option<PathBuf> {
    let path = fields.required_text(key, "which PEM file has it?")?;
    Some(match fields.place(key) {
        Place::Line(file, _) => file.parent().unwrap_or(Path::new("")).join(path),
        Place::Flag(_) | Place::BuiltIn => PathBuf::from(path),
    })
}

fn profile(fields: &mut Fields<'_>) -> Profile {
    match fields.text("profile") {
        None | Some("spec") => {}
        Some(other) => {
            fields.wrong("profile", format_args!("\"{other}\" is unknown; this version has only \"spec\""));
        }
    }
    Profile::Spec
}

fn data_plane(document: &Document, mistakes: &mut Vec<Mistake>) -> Option<DataPlaneConfig> {
    let Some(section) = all(document, "data_plane").first() else {
        if is_built_in(document) {
            return Some(DataPlaneConfig::Sim);
        }
        let message = "there is no [data_plane]: say kind = \"xdp\" or kind = \"sim\" in it".to_owned();
        mistakes.push(Mistake { place: document.place.clone(), message });
        return None;
    };
    let mut fields = Fields::of(section, mistakes);
    let modes = [("auto", XdpMode::Auto), ("native", XdpMode::Native), ("generic", XdpMode::Generic)];
    let mode = fields.choice("mode", &modes).unwrap_or_default();
    let pin_dir = PathBuf::from(fields.text("pin_dir").unwrap_or("/sys/fs/bpf/opof"));
    if !pin_dir.is_absolute() {
        fields.wrong("pin_dir", "must be an absolute path on a BPF file system, such as \"/sys/fs/bpf/opof\"");
    }
    if !fields.has("kind") {
        if is_built_in(document) {
            return Some(DataPlaneConfig::Sim);
        }
        fields.wrong("kind", "kind is missing: \"xdp\" or \"sim\"");
        return None;
    }
    let is_xdp = fields.choice("kind", &[("xdp", true), ("sim", false)])?;
    Some(if is_xdp { DataPlaneConfig::Xdp { mode, pin_dir } } else { DataPlaneConfig::Sim })
}

fn simulated_lif(id: u16) -> LifConfig {
    let id = Lif::new(id).expect("1 and 2 are not 0");
    LifConfig { id, wire: format!("sim{id}-wire"), firewall: format!("sim{id}-firewall") }
}

fn lifs(document: &Document, is_xdp: bool, mistakes: &mut Vec<Mistake>) -> Vec<LifConfig> {
    let sections = all(document, "lif");
    if sections.is_empty() && !is_xdp {
        return vec![simulated_lif(1), simulated_lif(2)];
    }
    if sections.len() < 2 {
        let place = sections.first().map_or_else(|| document.place.clone(), |section| section.place.clone());
        let message = "at least two [[lif]] are needed: a session enters by one and leaves by another".to_owned();
        mistakes.push(Mistake { place, message });
    }
    if let Some(excess) = sections.get(limits::LIFS) {
        let message = format!("more than {} logical interfaces", limits::LIFS);
        mistakes.push(Mistake { place: excess.place.clone(), message });
    }
    let (mut ids, mut ports) = (BTreeMap::new(), BTreeMap::new());
    let mut lifs = Vec::new();
    for section in sections {
        let mut fields = Fields::of(section, mistakes);
        if !fields.has("id") {
            fields.wrong("id", "id is missing: the number that clients use for this interface, 1 to 65535");
        }
        let id = fields.whole("id", 1..=u32::from(u16::MAX)).and_then(|id| Lif::new(u16::try_from(id).ok()?));
        if let Some(id) = id
            && let Some(first) = ids.insert(id, fields.place("id"))
        {
            fields.wrong("id", format_args!("{id} is taken by the lif at {first}"));
        }
        let mut port = |key: &'static str| port(&mut fields, key, id, is_xdp, &mut ports);
        let (wire, firewall) = (port("wire"), port("firewall"));
        if let (Some(id), Some(wire), Some(firewall)) = (id, wire, firewall) {
            lifs.push(LifConfig { id, wire, firewall });
        }
    }
    lifs
}

fn port(
    fields: &mut Fields<'_>,
    key: &'static str,
    id: Option<Lif>,
    is_xdp: bool,
    seen: &mut BTreeMap<String, Place>,
) -> Option<String> {
    if !is_xdp && !fields.has(key) {
        return id.map(|id| format!("sim{id}-{key}"));
    }
    let name = fields.required_text(key, "which network interface is it?")?;
    if !is_interface_name(name) {
        fields.wrong(key, format_args!("\"{name}\" can't be the name of a network interface"));
        return None;
    }
    if let Some(first) = seen.insert(name.to_owned(), fields.place(key)) {
        fields.wrong(key, format_args!("{name} is used already at {first}"));
    }
    Some(name.to_owned())
}

/// What Linux takes as the name of a network interface: IFNAMSIZ is 16 with the final NUL.
fn is_interface_name(name: &str) -> bool {
    let fits = (1..16).contains(&name.len()) && name != "." && name != "..";
    fits && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}

fn sessions(document: &Document, mistakes: &mut Vec<Mistake>) -> SessionsConfig {
    let mut settings = SessionsConfig::default();
    let Some(section) = all(document, "sessions").first() else { return settings };
    let mut fields = Fields::of(section, mistakes);
    if let Some(max) = fields.whole("max", 1..=opof_session::limits::SESSIONS) {
        settings.max = max;
    }
    let closed = u32::try_from(opof_session::limits::CLOSED_RECORDS).unwrap_or(u32::MAX);
    if let Some(max) = fields.whole("closed_max", 1..=closed) {
        settings.closed_max = max as usize;
    }
    let mut seconds = |key, into: &mut Duration| {
        if let Some(seconds) = fields.whole(key, 1..=limits::TIMEOUT_SECONDS) {
            *into = Duration::from_secs(seconds.into());
        }
    };
    seconds("tcp_timeout", &mut settings.tcp_timeout);
    seconds("udp_timeout", &mut settings.udp_timeout);
    seconds("max_timeout", &mut settings.max_timeout);
    for (key, timeout) in [("tcp_timeout", settings.tcp_timeout), ("udp_timeout", settings.udp_timeout)] {
        if timeout > settings.max_timeout {
            let key = if fields.has(key) { key } else { "max_timeout" };
            let (is, max) = (timeout.as_secs(), settings.max_timeout.as_secs());
            fields.wrong(key, format_args!("the default of {is} s is longer than max_timeout, {max} s"));
        }
    }
    settings
}

fn log(document: &Document, mistakes: &mut Vec<Mistake>) -> LogConfig {
    let mut settings = LogConfig::default();
    let Some(section) = all(document, "log").first() else { return settings };
    let mut fields = Fields::of(section, mistakes);
    if let Some(level) = fields.text("level") {
        if let Err(error) = EnvFilter::try_new(level) {
            fields.wrong("level", format_args!("\"{level}\" is not a level such as \"info\" or \"debug\": {error}"));
        }
        level.clone_into(&mut settings.level);
    }
    if let Some(format) = fields.choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]) {
        settings.format = format;
    }
    settings
}
