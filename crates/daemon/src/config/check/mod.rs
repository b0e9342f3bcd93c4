//! [`Document`] to [`Config`]: what each setting means, and every mistake in one go.

mod ha;
mod lif;
mod listener;
mod tunnels;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::fields::Fields;
use super::model::{
    AtStop, ClientLimits, ClosedLogConfig, Config, DataPlaneConfig, LogConfig, LogFormat, PIN_DIR, SessionsConfig,
    XdpMode,
};
use super::source::{Document, Mistake, Place, Section};
use crate::limits;

/// Judges `document`. `None` when there is a mistake; all of them are appended to `mistakes`.
pub(super) fn check(document: &Document, mistakes: &mut Vec<Mistake>) -> Option<Config> {
    let before = mistakes.len();
    let data_plane = data_plane(document, mistakes);
    let is_xdp = matches!(data_plane, Some(DataPlaneConfig::Xdp { .. }));
    let lifs = lif::all(document, is_xdp, mistakes);
    let config = Config {
        listeners: listener::all(document, mistakes),
        clients: listener::clients(document, mistakes),
        copies: tunnels::copies(document, &lifs, mistakes),
        uplink: tunnels::uplink(document, is_xdp, &lifs, mistakes),
        lifs,
        sessions: sessions(document, mistakes),
        ha: ha::ha(document, mistakes),
        limits: client_limits(document, mistakes),
        threads: threads(document, mistakes),
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
    let stops = [("keep", AtStop::Keep), ("remove", AtStop::Remove)];
    let at_stop = fields.choice("at_stop", &stops).unwrap_or_default();
    let pin_dir = PathBuf::from(fields.text("pin_dir").unwrap_or(PIN_DIR));
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
    Some(if is_xdp { DataPlaneConfig::Xdp { mode, pin_dir, at_stop } } else { DataPlaneConfig::Sim })
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
    match fields.text("closed_log") {
        None => {}
        Some("memory") => settings.closed_log = ClosedLogConfig::Memory,
        Some(path) if Path::new(path).is_absolute() => settings.closed_log = ClosedLogConfig::File(path.into()),
        Some(_) => {
            let message = "must be \"memory\" or an absolute path, such as \"/var/lib/opof/closed.redb\"";
            fields.wrong("closed_log", message);
        }
    }
    let next_hops = u32::try_from(opof_session::limits::NEXT_HOPS).unwrap_or(u32::MAX);
    if let Some(max) = fields.whole("next_hops_max", 1..=next_hops) {
        settings.next_hops_max = max;
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
            let (is, max) = (timeout.as_secs(), settings.max_timeout.as_secs());
            if fields.has(key) {
                fields.wrong(key, format_args!("{is} s is longer than max_timeout, {max} s"));
            } else {
                let text = format_args!("{key}, {is} s where it is not set, is longer than max_timeout, {max} s");
                fields.wrong("max_timeout", text);
            }
        }
    }
    settings
}

fn client_limits(document: &Document, mistakes: &mut Vec<Mistake>) -> ClientLimits {
    let mut settings = ClientLimits::default();
    let Some(section) = all(document, "limits").first() else { return settings };
    let mut fields = Fields::of(section, mistakes);
    let mut number = |key, most, into: &mut u32| {
        if let Some(number) = fields.whole(key, 1..=most) {
            *into = number;
        }
    };
    number("connections", limits::CONNECTIONS, &mut settings.connections);
    number("streams", limits::STREAMS, &mut settings.streams);
    number("message_bytes", limits::MESSAGE_BYTES, &mut settings.message_bytes);
    number("stream_sessions", u32::MAX, &mut settings.stream_sessions);
    number("rate", u32::MAX, &mut settings.rate);
    let mut seconds = |key, least, into: &mut Duration| {
        if let Some(seconds) = fields.whole(key, least..=limits::TIMEOUT_SECONDS) {
            *into = Duration::from_secs(seconds.into());
        }
    };
    seconds("header_timeout", 1, &mut settings.header_timeout);
    seconds("idle_timeout", limits::IDLE_SECONDS_MIN, &mut settings.idle_timeout);
    settings
}

/// A word alone would be taken for the name of a target, all of whose lines are wanted, and for nothing else: a level that is
/// misspelt would silence everything.
fn filter(level: &str) -> Result<EnvFilter, String> {
    let is_level =
        |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word.to_lowercase().as_str());
    match level.split(',').map(str::trim).find(|word| !word.contains(['=', '[']) && !is_level(word)) {
        Some(word) => Err(format!("\"{word}\" is none of off, error, warn, info, debug, trace")),
        None => EnvFilter::try_new(level).map_err(|error| error.to_string()),
    }
}

fn threads(document: &Document, mistakes: &mut Vec<Mistake>) -> NonZeroUsize {
    let mut asked = None;
    if let Some(section) = all(document, "server").first() {
        asked = Fields::of(section, mistakes).whole("threads", 0..=limits::THREADS);
    }
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    match asked {
        Some(asked) if asked > 0 => NonZeroUsize::new(asked as usize).unwrap_or(NonZeroUsize::MIN),
        _ => threads_for(processors),
    }
}

/// Handing a call from thread to thread costs more than all the rest of it, so one thread it is where there are few processors; where
/// there are more, clients do not keep the session table waiting.
fn threads_for(processors: usize) -> NonZeroUsize {
    let threads = if processors <= limits::FEW_PROCESSORS { 1 } else { processors - 1 };
    NonZeroUsize::new(threads.min(limits::THREADS_BY_DEFAULT)).unwrap_or(NonZeroUsize::MIN)
}

fn log(document: &Document, mistakes: &mut Vec<Mistake>) -> LogConfig {
    let mut settings = LogConfig::default();
    let Some(section) = all(document, "log").first() else { return settings };
    let mut fields = Fields::of(section, mistakes);
    if let Some(level) = fields.text("level") {
        if let Err(error) = filter(level) {
            fields.wrong("level", format_args!("\"{level}\" is not a level such as \"info\" or \"debug\": {error}"));
        }
        level.clone_into(&mut settings.level);
    }
    if let Some(format) = fields.choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]) {
        settings.format = format;
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_processors_have_one_thread_and_many_some() {
        let threads = |processors| threads_for(processors).get();
        assert_eq!([1, 2, 3, 4, 5, 64].map(threads), [1, 1, 2, 3, 4, 4]);
    }
}
