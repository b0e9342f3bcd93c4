//! Listeners and the clients that they know: addresses, TLS, roles, profiles.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use opof_api::Profile;
use opof_api::profile::{Absence, AddErrors, AddStatus, Ipv4Order, ListCursor};
use opof_session::request::SameTuple;

use super::is_built_in;
use crate::access::Role;
use crate::config::fields::Fields;
use crate::config::model::{Address, KnownClient, Listener, Security, TlsVersion};
use crate::config::source::{Document, Mistake};
use crate::limits;

/// How a Unix socket begins in `address`.
const UNIX: &str = "unix:";

fn default_listener() -> Listener {
    Listener {
        address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, limits::DEFAULT_PORT))),
        mode: limits::SOCKET_MODE,
        security: Security::SelfSigned,
        role: Some(Role::Operator),
        shutdown: false,
        profile: Profile::SPEC,
        same_tuple: SameTuple::Supersede,
    }
}

pub(super) fn all(document: &Document, mistakes: &mut Vec<Mistake>) -> Vec<Listener> {
    let sections = super::all(document, "listener");
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
    let knows_clients = !super::all(document, "client").is_empty();
    let mut seen = BTreeMap::new();
    let mut listeners = Vec::new();
    for section in sections {
        let mut fields = Fields::of(section, mistakes);
        let Some(listener) = listener(&mut fields, knows_clients) else { continue };
        // Port 0 is another port each time.
        let is_fixed = !matches!(&listener.address, Address::Tcp(address) if address.port() == 0);
        if is_fixed && let Some(first) = seen.insert(listener.address.clone(), fields.place("address")) {
            fields.wrong("address", format_args!("{} is taken by the listener at {first}", listener.address));
        }
        listeners.push(listener);
    }
    let asks = |listener: &Listener| matches!(&listener.security, Security::Tls { client_ca: Some(_), .. });
    if let Some(client) = super::all(document, "client").first()
        && !listeners.iter().any(asks)
    {
        let message =
            "no listener has tls.client_ca, so nobody can show this name: any client would have the listener's \
                       role"
                .to_owned();
        mistakes.push(Mistake { place: client.place.clone(), message });
    }
    listeners
}

fn listener(fields: &mut Fields<'_>, knows_clients: bool) -> Option<Listener> {
    let address = address(fields);
    let mode = mode(fields, address.as_ref());
    let security = security(fields, address.as_ref());
    let profile = profile(fields);
    let policies = [("supersede", SameTuple::Supersede), ("reject", SameTuple::Reject)];
    let same_tuple = fields.choice("same_tuple", &policies).unwrap_or_default();
    let role = fields.choice("role", &Role::NAMED);
    let shutdown = fields.truth("shutdown").unwrap_or(false);
    let security = security?;
    let asks_for_certificates = matches!(&security, Security::Tls { client_ca: Some(_), .. });
    if asks_for_certificates && role.is_none() && !knows_clients {
        fields.wrong(
            "tls",
            "with a client_ca somebody must have a role: add [[client]] sections, or role = \"...\" here for every client \
             with a certificate",
        );
    }
    // Where nobody can be told from another, whoever can connect is trusted: on this machine with everything, from elsewhere
    // with what a firewall needs.
    let anybody = if address.as_ref().is_some_and(Address::is_local) { Role::Operator } else { Role::Firewall };
    let role = if asks_for_certificates { role } else { role.or(Some(anybody)) };
    Some(Listener { address: address?, mode, security, role, shutdown, profile, same_tuple })
}

fn address(fields: &mut Fields<'_>) -> Option<Address> {
    let text = fields.required_text("address", "where do clients connect, such as \"127.0.0.1:3443\"?")?;
    if let Some(path) = text.strip_prefix(UNIX) {
        let path = PathBuf::from(path);
        let length = path.as_os_str().len();
        if !path.is_absolute() || length > limits::SOCKET_PATH_BYTES {
            let max = limits::SOCKET_PATH_BYTES;
            fields.wrong("address", format_args!("a Unix socket needs an absolute path of at most {max} bytes"));
            return None;
        }
        return Some(Address::Unix(path));
    }
    let address = text.parse().ok().map(Address::Tcp);
    if address.is_none() {
        fields.wrong(
            "address",
            format_args!(
                "\"{text}\" is neither ADDRESS:PORT, such as \"127.0.0.1:3443\" or \"[::]:3443\", nor unix:/PATH"
            ),
        );
    }
    address
}

/// Permissions as `chmod` takes them.
fn mode(fields: &mut Fields<'_>, address: Option<&Address>) -> u32 {
    let Some(text) = fields.text("mode") else { return limits::SOCKET_MODE };
    if matches!(address, Some(Address::Tcp(_))) {
        fields.wrong("mode", "only a Unix socket has permissions");
    }
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => mode,
        _ => {
            fields.wrong("mode", format_args!("\"{text}\" is not a mode in octal, such as \"0660\""));
            limits::SOCKET_MODE
        }
    }
}

fn security(fields: &mut Fields<'_>, address: Option<&Address>) -> Option<Security> {
    let plaintext = fields.truth("plaintext").unwrap_or(false);
    let anywhere = fields.truth("plaintext_anywhere").unwrap_or(false);
    let self_signed = fields.truth("self_signed").unwrap_or(false);
    let tls = if fields.has("tls") { Some(tls(fields)) } else { None };
    if matches!(address, Some(Address::Unix(_))) {
        if tls.is_some() || self_signed {
            fields.wrong(
                if self_signed { "self_signed" } else { "tls" },
                "a Unix socket has no TLS; its mode says who may",
            );
        }
        return Some(Security::Plaintext);
    }
    let on_loopback = address.is_none_or(Address::is_local);
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
            fields.wrong("tls", "a listener needs tls (tls.cert, tls.key), self_signed = true or plaintext = true");
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
    let (cert, key) = (fields.required_pem("cert"), fields.required_pem("key"));
    let client_ca = if fields.has("client_ca") { fields.required_pem("client_ca") } else { None };
    let versions = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
    let min_version = fields.choice("min_version", &versions).unwrap_or_default();
    Some(Security::Tls { cert: cert?, key: key?, client_ca, min_version })
}

/// A named profile, and each switch that is set by itself over it.
fn profile(fields: &mut Fields<'_>) -> Profile {
    let mut profile = fields.choice("profile", &Profile::NAMED).unwrap_or_default();
    let absence = |nothing| [(nothing, Absence::Message), ("not_found", Absence::NotFound)];
    set(
        &mut profile.ipv4_order,
        fields.choice("ipv4_order", &[("inet_pton", Ipv4Order::InetPton), ("host", Ipv4Order::Host)]),
    );
    set(
        &mut profile.add_errors,
        fields.choice("add_errors", &[("status", AddErrors::AddSessionStatus), ("grpc", AddErrors::GrpcCode)]),
    );
    set(
        &mut profile.add_status,
        fields.choice("add_status", &[("worst", AddStatus::WorstAndMask), ("zero", AddStatus::Zero)]),
    );
    set(&mut profile.unknown_id, fields.choice("unknown_id", &absence("status")));
    set(&mut profile.no_closed, fields.choice("no_closed", &absence("empty")));
    if let Some(cap) = fields.whole("page_cap", 0..=limits::LIST_ROWS) {
        profile.page_cap = (cap > 0).then_some(cap);
    }
    set(
        &mut profile.list_cursor,
        fields.choice("list_cursor", &[("inclusive", ListCursor::Inclusive), ("exclusive", ListCursor::Exclusive)]),
    );
    set(&mut profile.report_deleted, fields.truth("report_deleted"));
    profile
}

fn set<T>(switch: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *switch = value;
    }
}

pub(super) fn clients(document: &Document, mistakes: &mut Vec<Mistake>) -> Vec<KnownClient> {
    let sections = super::all(document, "client");
    if let Some(excess) = sections.get(limits::CLIENTS) {
        let message = format!("more than {} clients", limits::CLIENTS);
        mistakes.push(Mistake { place: excess.place.clone(), message });
    }
    let mut seen = BTreeMap::new();
    let mut clients = Vec::new();
    for section in sections {
        let mut fields = Fields::of(section, mistakes);
        let name = fields.required_text("name", "which name is in its certificate?");
        if !fields.has("role") {
            fields.wrong("role", "role is missing: \"firewall\", \"operator\" or \"reader\"");
        }
        let role = fields.choice("role", &Role::NAMED);
        let Some(name) = name else { continue };
        if let Some(first) = seen.insert(name.to_owned(), fields.place("name")) {
            fields.wrong("name", format_args!("{name} has a role already, at {first}"));
        }
        if let Some(role) = role {
            clients.push(KnownClient { name: name.to_owned(), role });
        }
    }
    clients
}
