//! A pair of devices: names, addresses, certificates, and who says which of the two is active.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use opof_session::ha::term::Role;
use rustls::pki_types::DnsName;

use crate::config::fields::Fields;
use crate::config::model::{HaConfig, HaElection, HaPeer, HaTls};
use crate::config::source::{Document, Entry, Mistake, Place, Section, Value};
use crate::ha::etcd::{EtcdConfig, EtcdTls};
use crate::limits;

/// What `election` can say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Elector {
    Etcd,
    External,
    Configuration(Role),
}

pub(super) fn ha(document: &Document, mistakes: &mut Vec<Mistake>) -> Option<HaConfig> {
    let section = super::all(document, "ha").first()?;
    let mut fields = Fields::of(section, mistakes);
    let node = name(&mut fields, "what is this device called?");
    let listen = listen(&mut fields, super::all(document, "listener"));
    let api = destination(&mut fields, "api", "where do clients reach this device, such as \"192.0.2.1:3443\"?");
    let peer = peer(&mut fields, node.as_deref(), listen);
    let tls = tls(&mut fields);
    let sync = fields.choice("mode", &[("sync", true), ("async", false)]).unwrap_or(true);
    let hold = match fields.whole("hold", 1..=limits::HOLD_SECONDS_MAX) {
        // It is wrong, and nothing is to be compared with it.
        None if fields.has("hold") => None,
        hold => Some(hold.unwrap_or(limits::HOLD_SECONDS)),
    };
    let term_file = term_file(&mut fields);
    let election = election(&mut fields, node.as_deref(), api.as_deref(), hold);
    Some(HaConfig {
        node: node?,
        listen: listen?,
        api: api?,
        peer: peer?,
        tls: tls?,
        election: election?,
        hold: Duration::from_secs(hold?.into()),
        sync,
        term_file,
    })
}

/// What a device is called. Its certificate has this name, so it is one that a certificate can have.
fn name(fields: &mut Fields<'_>, why: &str) -> Option<String> {
    let name = fields.required_text("node", why)?;
    if name.len() > limits::NODE_BYTES || !is_host_name(name) {
        let most = limits::NODE_BYTES;
        let such_as = "such as \"a\" or \"opof-a.example.net\"";
        let text =
            format_args!("\"{name}\" is no DNS name of at most {most} letters, {such_as}: its certificate has it");
        fields.wrong("node", text);
        return None;
    }
    Some(name.to_owned())
}

fn term_file(fields: &mut Fields<'_>) -> Option<PathBuf> {
    let path = Path::new(fields.text("term_file")?);
    if !path.is_absolute() {
        fields.wrong("term_file", format_args!("\"{}\" is not the absolute path of a file", path.display()));
    }
    Some(path.to_owned())
}

fn listen(fields: &mut Fields<'_>, listeners: &[Section]) -> Option<SocketAddr> {
    let text = fields.required_text("listen", "where does the peer connect, such as \"192.0.2.1:3444\"?")?;
    let Ok(address) = text.parse::<SocketAddr>() else {
        let such_as = "such as \"192.0.2.1:3444\" or \"[::]:3444\"";
        fields.wrong("listen", format_args!("\"{text}\" is not ADDRESS:PORT, {such_as}"));
        return None;
    };
    if address.port() == 0 {
        fields.wrong("listen", "port 0 would be another one at each start, and the peer has to know it");
    } else if let Some(place) = listeners.iter().find_map(|listener| listens_at(listener, address)) {
        fields.wrong("listen", format_args!("{address} is taken by the listener at {place}"));
    }
    Some(address)
}

/// Where it was written that this listener has `address`, if it has.
fn listens_at(listener: &Section, address: SocketAddr) -> Option<&Place> {
    let Entry { place, value: Value::Text(text) | Value::Bare(text) } = listener.entries.get("address")? else {
        return None;
    };
    (text.parse() == Ok(address)).then_some(place)
}

fn peer(fields: &mut Fields<'_>, own: Option<&str>, listen: Option<SocketAddr>) -> Option<HaPeer> {
    let table = fields.required_table("peer", "a [ha.peer] says which device is the other one of the pair")?;
    let mut fields = fields.within(table);
    let node = name(&mut fields, "what is the other device called?");
    if let (Some(node), Some(own)) = (&node, own)
        && node.eq_ignore_ascii_case(own)
    {
        fields.wrong("node", format_args!("{node} is this device itself; the other one needs another name"));
    }
    let address =
        destination(&mut fields, "address", "where does the other device listen, such as \"192.0.2.2:3444\"?");
    if let (Some(address), Some(listen)) = (&address, listen)
        && address.parse() == Ok(listen)
    {
        fields.wrong("address", format_args!("{address} is where this device listens; where does the other one?"));
    }
    let api = destination(&mut fields, "api", "where do clients reach the other device, such as \"192.0.2.2:3443\"?");
    Some(HaPeer { node: node?, address: address?, api: api? })
}

/// Where somebody is reached.
fn destination(fields: &mut Fields<'_>, key: &str, why: &str) -> Option<String> {
    let text = fields.required_text(key, why)?;
    let is_fine = match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => {
            fields.wrong(key, format_args!("{text} is unspecified: nobody can be reached there"));
            return None;
        }
        Ok(address) => address.port() > 0,
        Err(_) => text.rsplit_once(':').is_some_and(|(host, port)| is_host_name(host) && is_port(port)),
    };
    if !is_fine {
        let such_as = "such as \"192.0.2.1:3443\", \"[2001:db8::1]:3443\" or \"fw1.example.net:3443\"";
        fields.wrong(key, format_args!("\"{text}\" is not HOST:PORT, {such_as}"));
        return None;
    }
    Some(text.to_owned())
}

/// A name whose last part is a number is none: it is an address that is misspelt (RFC 1123, 2.1).
fn is_host_name(name: &str) -> bool {
    name.len() <= limits::HOST_BYTES && !name.ends_with('.') && DnsName::try_from(name).is_ok()
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn tls(fields: &mut Fields<'_>) -> Option<HaTls> {
    let why = "the two trust each other by certificates: tls = { cert = \"...\", key = \"...\", ca = \"...\" }";
    let table = fields.required_table("tls", why)?;
    let mut fields = fields.within(table);
    let (cert, key, ca) = (fields.required_pem("cert"), fields.required_pem("key"), fields.required_pem("ca"));
    Some(HaTls { cert: cert?, key: key?, ca: ca? })
}

fn election(fields: &mut Fields<'_>, node: Option<&str>, api: Option<&str>, hold: Option<u32>) -> Option<HaElection> {
    let ways = [
        ("etcd", Elector::Etcd),
        ("external", Elector::External),
        ("active", Elector::Configuration(Role::Active)),
        ("standby", Elector::Configuration(Role::Standby)),
    ];
    if !fields.has("election") {
        let text =
            "election is missing: \"etcd\", \"external\", \"active\" or \"standby\" says which of the two is active";
        fields.wrong("election", text);
    }
    let elector = fields.choice("election", &ways);
    if elector == Some(Elector::Etcd) {
        let why = "with election = \"etcd\" an [ha.etcd] says which";
        fields.required_table("etcd", why)?;
    } else if elector.is_some() && fields.has("etcd") {
        fields.wrong("etcd", "nothing uses [ha.etcd]: election is not \"etcd\"");
    }
    // What is written is judged, whether it is used or not.
    let etcd = if fields.has("etcd") { etcd(fields, node, api, hold) } else { None };
    match elector? {
        Elector::Etcd => etcd.map(|(config, ttl)| HaElection::Etcd { config, ttl }),
        Elector::External => Some(HaElection::External),
        Elector::Configuration(role) => Some(HaElection::Fixed(role)),
    }
}

fn etcd(
    fields: &mut Fields<'_>,
    node: Option<&str>,
    api: Option<&str>,
    hold: Option<u32>,
) -> Option<(EtcdConfig, Duration)> {
    let hold_is_set = fields.has("hold");
    let table = fields.table("etcd")?;
    let mut etcd = fields.within(table);
    let tls = if etcd.has("tls") { Some(etcd_tls(&mut etcd)) } else { None };
    let endpoints = endpoints(&mut etcd, tls.is_some());
    let prefix = etcd.required_text("prefix", "what do the keys of this pair begin with, such as \"/opof/pair-1\"?");
    if let Some(Err(reason)) = prefix.map(EtcdConfig::check_prefix) {
        etcd.wrong("prefix", reason);
    }
    let prefix = prefix.map(str::to_owned);
    let ttl = match etcd.whole("ttl", limits::LEASE_SECONDS_MIN..=limits::LEASE_SECONDS_MAX) {
        None if etcd.has("ttl") => None,
        ttl => Some(ttl.unwrap_or(limits::LEASE_SECONDS_MIN)),
    };
    if let (Some(ttl), Some(hold)) = (ttl, hold)
        && hold < 2 * ttl
    {
        if hold_is_set {
            fields.wrong("hold", format_args!("{hold} s is less than twice the ttl of [ha.etcd], {ttl} s"));
        } else {
            etcd.wrong("ttl", format_args!("hold, {hold} s where it is not set, is less than twice {ttl} s"));
        }
    }
    let config = EtcdConfig {
        endpoints: endpoints?,
        prefix: prefix?,
        node: node?.to_owned(),
        api: api?.to_owned(),
        tls: tls.flatten(),
    };
    Some((config, Duration::from_secs(ttl?.into())))
}

fn endpoints(fields: &mut Fields<'_>, has_tls: bool) -> Option<Vec<String>> {
    let why = "where is the etcd, such as \"http://192.0.2.10:2379\"?";
    let endpoints = fields.required_texts("endpoints", why)?;
    if let Some((place, _)) = endpoints.get(limits::ELECTION_MEMBERS) {
        fields.wrong_at(place, "endpoints", format_args!("more than {} members", limits::ELECTION_MEMBERS));
    }
    for (place, uri) in &endpoints {
        if let Err(reason) = EtcdConfig::check_endpoint(uri, has_tls) {
            fields.wrong_at(place, "endpoints", format_args!("\"{uri}\" can't be used: {reason}"));
        }
    }
    Some(endpoints.into_iter().map(|(_, uri)| uri.to_owned()).collect())
}

fn etcd_tls(fields: &mut Fields<'_>) -> Option<EtcdTls> {
    let table = fields.table("tls")?;
    let mut fields = fields.within(table);
    let ca = fields.required_pem("ca");
    let has_identity = fields.has("cert") || fields.has("key");
    let identity = has_identity.then(|| (fields.required_pem("cert"), fields.required_pem("key")));
    let identity = match identity {
        Some((cert, key)) => Some((cert?, key?)),
        None => None,
    };
    Some(EtcdTls { ca: ca?, identity })
}
