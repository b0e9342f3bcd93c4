//! Any text as a configuration file: no panic; each mistake is in a line of the file, and what has none names what a daemon needs.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use opof_daemon::config::source::Place;
use opof_daemon::config::{ConfigError, SettingFlags, from_text};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match from_text(Some(Path::new("opofd.toml")), text, &SettingFlags::default()) {
        Ok(config) => {
            assert!(!config.listeners.is_empty() && !config.lifs.is_empty(), "{config:?}");
            assert!(config.summary().starts_with("data plane "));
        }
        Err(ConfigError::Mistakes(mistakes)) => {
            assert!(!mistakes.is_empty(), "refused without a word");
            // A mistake at the end of a file that ends with a line break is in the line behind it.
            let lines = text.split('\n').count();
            for mistake in &mistakes {
                if let Place::Line(_, line) = mistake.place {
                    assert!((1..=lines).contains(&line), "{mistake}: there are {lines} lines");
                }
                assert!(!mistake.message.is_empty(), "{mistake}");
            }
        }
        Err(error) => panic!("{error}: the text was in hand"),
    }
});
