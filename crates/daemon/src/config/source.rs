//! Settings as they were written: values with the place they come from, and what is wrong with them.
//!
//! A file and the flags are both turned into a [`Document`], so that one set of checks judges both and each mistake
//! is named by line or by flag. What the settings mean is not here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where something was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// A line of a file, from 1.
    Line(Arc<PathBuf>, usize),
    /// A flag of the command line, with its dashes.
    Flag(String),
    /// Nowhere: the built-in settings.
    BuiltIn,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Flag(flag) => f.write_str(flag),
            Self::BuiltIn => f.write_str("built-in settings"),
        }
    }
}

/// Something that is wrong, and where.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What, and what to do about it.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// A value with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where it was written.
    pub place: Place,
    /// What was written.
    pub value: Value,
}

/// A value as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number; `None` when it does not fit.
    Whole(Option<i64>),
    /// A truth value.
    Truth(bool),
    /// A table within a section.
    Table(Section),
    /// A list, each element with its own place.
    List(Vec<Entry>),
    /// From a flag, where nothing says which type was meant: read as what is wanted.
    Bare(String),
    /// A type that no setting has; its name.
    Other(&'static str),
}

impl Value {
    /// What a message calls it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Bare(_) => "a string",
            Self::Whole(_) => "a whole number",
            Self::Truth(_) => "true or false",
            Self::Table(_) => "a table",
            Self::List(_) => "a list",
            Self::Other(kind) => kind,
        }
    }
}

/// One table: a `[section]`, one `[[section]]` of a list, or a table within one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Where it begins.
    pub place: Place,
    /// By key.
    pub entries: BTreeMap<String, Entry>,
}

impl Section {
    /// An empty one.
    pub const fn new(place: Place) -> Self {
        Self { place, entries: BTreeMap::new() }
    }

    /// Writes one more value of a list.
    pub fn append(&mut self, key: &str, place: Place, value: Value) {
        let entry = Entry { place: place.clone(), value };
        let list = self.entries.entry(key.to_owned()).or_insert(Entry { place, value: Value::List(Vec::new()) });
        if let Value::List(entries) = &mut list.value {
            entries.push(entry);
        }
    }

    /// Writes a value, in place of one that was there.
    pub fn set(&mut self, key: &str, place: Place, value: Value) {
        self.entries.insert(key.to_owned(), Entry { place, value });
    }

    /// Lays `other` over this one: its values are in place of those that were there, its tables over those.
    pub fn overlay(&mut self, other: Self) {
        for (key, entry) in other.entries {
            match (self.entries.get_mut(&key), entry) {
                (Some(Entry { value: Value::Table(below), .. }), Entry { value: Value::Table(table), .. }) => {
                    below.overlay(table);
                }
                (_, entry) => {
                    self.entries.insert(key, entry);
                }
            }
        }
    }
}

/// Everything that was written, before anybody has judged it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// Where it begins: what is missing altogether is named here.
    pub place: Place,
    /// By name: one for `[name]`, any number for `[[name]]`.
    pub sections: BTreeMap<String, Vec<Section>>,
}

impl Document {
    /// Nothing was written.
    pub const fn new(place: Place) -> Self {
        Self { place, sections: BTreeMap::new() }
    }

    /// The `[name]` section, made when it is not there.
    pub fn section(&mut self, name: &str, place: Place) -> &mut Section {
        let sections = self.sections.entry(name.to_owned()).or_default();
        if sections.is_empty() {
            sections.push(Section::new(place));
        }
        &mut sections[0]
    }
}

/// A section of the model, or a table within one, and its keys.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// True for `[[name]]`.
    pub list: bool,
    /// Every key it may have.
    pub keys: &'static [&'static str],
    /// Those of them that have a table.
    pub tables: &'static [Self],
}

impl Shape {
    /// Of the table that `key` has.
    pub fn table(&self, key: &str) -> Option<&'static Self> {
        self.tables.iter().find(|table| table.name == key)
    }
}

const fn section(name: &'static str, keys: &'static [&'static str]) -> Shape {
    Shape { name, list: false, keys, tables: &[] }
}

/// Every section with every key that there is. The reference in docs/configuration.md has them all; a test compares.
pub const SHAPES: &[Shape] = &[
    Shape {
        name: "listener",
        list: true,
        keys: &[
            "address",
            "mode",
            "tls",
            "plaintext",
            "plaintext_anywhere",
            "self_signed",
            "role",
            "shutdown",
            "same_tuple",
            "profile",
            "ipv4_order",
            "add_errors",
            "add_status",
            "unknown_id",
            "no_closed",
            "page_cap",
            "list_cursor",
            "report_deleted",
        ],
        tables: &[section("tls", &["cert", "key", "client_ca", "min_version"])],
    },
    Shape { name: "client", list: true, keys: &["name", "role"], tables: &[] },
    section("data_plane", &["kind", "mode", "pin_dir", "at_stop"]),
    Shape { name: "lif", list: true, keys: &["id", "wire", "bond", "firewall"], tables: &[] },
    section("copies", &["interface", "vni", "option_class", "option_type"]),
    section("tunnel", &["interface", "vni", "option_class", "option_type", "answers"]),
    section(
        "sessions",
        &["max", "closed_max", "closed_log", "next_hops_max", "tcp_timeout", "udp_timeout", "max_timeout"],
    ),
    Shape {
        name: "ha",
        list: false,
        keys: &["node", "listen", "api", "peer", "tls", "mode", "hold", "election", "etcd", "term_file"],
        tables: &[
            section("peer", &["node", "address", "api"]),
            section("tls", &["cert", "key", "ca"]),
            Shape {
                name: "etcd",
                list: false,
                keys: &["endpoints", "prefix", "ttl", "tls"],
                tables: &[section("tls", &["ca", "cert", "key"])],
            },
        ],
    },
    section(
        "limits",
        &["connections", "streams", "message_bytes", "stream_sessions", "rate", "header_timeout", "idle_timeout"],
    ),
    section("server", &["threads"]),
    section("log", &["level", "format"]),
];

/// The keys that may have a list. A flag gives one by saying the key again.
pub const LISTS: &[&str] = &["wire", "endpoints"];
