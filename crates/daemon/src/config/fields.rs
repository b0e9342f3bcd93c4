//! Taking values out of a section by type, and saying what is wrong with those that do not fit.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::source::{Entry, Mistake, Place, Section, Value};

/// A section whose values are being taken, and the list that mistakes go to.
pub(super) struct Fields<'a> {
    section: &'a Section,
    mistakes: &'a mut Vec<Mistake>,
}

impl<'a> Fields<'a> {
    pub(super) const fn of(section: &'a Section, mistakes: &'a mut Vec<Mistake>) -> Self {
        Self { section, mistakes }
    }

    /// The same for a table within the section.
    pub(super) const fn within<'b>(&'b mut self, table: &'b Section) -> Fields<'b> {
        Fields { section: table, mistakes: self.mistakes }
    }

    /// Where `key` was written, or where the section begins.
    pub(super) fn place(&self, key: &str) -> Place {
        self.section.entries.get(key).map_or_else(|| self.section.place.clone(), |entry| entry.place.clone())
    }

    /// Says what is wrong with an element of `key`.
    pub(super) fn wrong_at(&mut self, place: &Place, key: &str, message: impl Display) {
        self.mistakes.push(Mistake { place: place.clone(), message: format!("{key}: {message}") });
    }

    /// Says what is wrong with `key`.
    pub(super) fn wrong(&mut self, key: &str, message: impl Display) {
        let place = self.place(key);
        // A flag such as --max-sessions names its setting already; a line does not.
        let message =
            if self.section.entries.contains_key(key) { format!("{key}: {message}") } else { message.to_string() };
        self.mistakes.push(Mistake { place, message });
    }

    /// Says what is wrong with the section as a whole.
    pub(super) fn wrong_section(&mut self, message: impl Display) {
        self.mistakes.push(Mistake { place: self.section.place.clone(), message: message.to_string() });
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.section.entries.contains_key(key)
    }

    fn take<T>(&mut self, key: &str, wanted: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let Entry { value, .. } = self.section.entries.get(key)?;
        let taken = read(value);
        if taken.is_none() {
            self.wrong(key, format_args!("is {}, must be {wanted}", value.kind()));
        }
        taken
    }

    pub(super) fn text(&mut self, key: &str) -> Option<&'a str> {
        self.take(key, "a string", |value| match value {
            Value::Text(text) | Value::Bare(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A text that must be there and not be empty.
    pub(super) fn required_text(&mut self, key: &str, why: &str) -> Option<&'a str> {
        if !self.has(key) {
            self.wrong(key, format_args!("{key} is missing: {why}"));
            return None;
        }
        let text = self.text(key)?;
        if text.is_empty() {
            self.wrong(key, format_args!("is empty: {why}"));
            return None;
        }
        Some(text)
    }

    /// A text or a list of texts that must be there and not be empty, each with its place. Those that are none are named.
    pub(super) fn required_texts(&mut self, key: &str, why: &str) -> Option<Vec<(Place, &'a str)>> {
        let entries = match self.section.entries.get(key) {
            Some(Entry { value: Value::List(entries), .. }) => entries,
            Some(Entry { value: Value::Text(_) | Value::Bare(_), .. }) | None => {
                let place = self.place(key);
                return Some(vec![(place, self.required_text(key, why)?)]);
            }
            Some(Entry { value, .. }) => {
                self.wrong(key, format_args!("is {}, must be a string or a list of strings", value.kind()));
                return None;
            }
        };
        if entries.is_empty() {
            self.wrong(key, format_args!("is empty: {why}"));
            return None;
        }
        let before = self.mistakes.len();
        let mut texts = Vec::new();
        for Entry { place, value } in entries {
            match value {
                Value::Text(text) | Value::Bare(text) if text.is_empty() => {
                    self.wrong_at(place, key, format_args!("is empty: {why}"));
                }
                Value::Text(text) | Value::Bare(text) => texts.push((place.clone(), text.as_str())),
                _ => self.wrong_at(place, key, format_args!("has {} in it, must have strings only", value.kind())),
            }
        }
        (self.mistakes.len() == before).then_some(texts)
    }

    pub(super) fn truth(&mut self, key: &str) -> Option<bool> {
        self.take(key, "true or false", |value| match value {
            Value::Truth(truth) => Some(*truth),
            Value::Bare(text) => text.parse().ok(),
            _ => None,
        })
    }

    pub(super) fn table(&mut self, key: &str) -> Option<&'a Section> {
        self.take(key, "a table", |value| match value {
            Value::Table(table) => Some(table),
            _ => None,
        })
    }

    /// A table that must be there.
    pub(super) fn required_table(&mut self, key: &str, why: &str) -> Option<&'a Section> {
        if !self.has(key) {
            self.wrong(key, format_args!("{key} is missing: {why}"));
        }
        self.table(key)
    }

    /// The path of a PEM file that must be named. In a file it is relative to the file's folder, so that a daemon started elsewhere
    /// finds it.
    pub(super) fn required_pem(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.required_text(key, "which PEM file has it?")?;
        Some(match self.place(key) {
            Place::Line(file, _) => file.parent().unwrap_or(Path::new("")).join(path),
            Place::Flag(_) | Place::BuiltIn => PathBuf::from(path),
        })
    }

    /// A whole number within `range`.
    pub(super) fn whole(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let number = self.take(key, "a whole number", |value| match value {
            Value::Whole(number) => Some(*number),
            Value::Bare(text) => text.parse::<i64>().ok().map(Some),
            _ => None,
        })?;
        let fitting = number.and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
        if fitting.is_none() {
            let written = number.map_or_else(|| "the number".to_owned(), |number| number.to_string());
            self.wrong(key, format_args!("{written} is not within {} to {}", range.start(), range.end()));
        }
        fitting
    }

    /// One of the named choices.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            self.wrong(key, format_args!("\"{text}\" is not one of {}", names.join(", ")));
        }
        chosen
    }
}
