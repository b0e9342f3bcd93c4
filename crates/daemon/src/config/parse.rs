//! Text to [`Document`]: TOML from a file, `key=value,...` from a flag.
//!
//! Only the writing is judged here: TOML syntax, sections and keys that do not exist. What values mean is for
//! [`super::check`].

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::{Document, Entry, LISTS, Mistake, Place, SHAPES, Section, Shape, Value};

/// Reads the text of a configuration file. The document has everything that could be read.
pub(super) fn parse_file(path: &Path, text: &str, mistakes: &mut Vec<Mistake>) -> Document {
    let reader = Reader { file: Arc::new(path.to_owned()), text };
    let (table, errors) = DeTable::parse_recoverable(text);
    let syntax_is_fine = errors.is_empty();
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        mistakes.push(Mistake { place: reader.place(offset), message: first_line(error.message()) });
    }
    let mut document = Document::new(reader.place(0));
    if syntax_is_fine {
        for (name, value) in table.get_ref() {
            reader.section(name, value, &mut document, mistakes);
        }
    }
    document
}

/// Reads `key=value,key=value` of a list flag such as `--lif`; `tls.cert=...` reaches into a table, a key of [`LISTS`] that
/// is there again has one more element.
pub(super) fn parse_pairs(shape: &Shape, flag: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Section {
    let place = Place::Flag(flag.to_owned());
    let mut section = Section::new(place.clone());
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            mistakes.push(Mistake { place: place.clone(), message: format!("\"{pair}\" is not key=value") });
            continue;
        };
        write(shape, &mut section, &place, key, Value::Bare(value.to_owned()), mistakes);
    }
    section
}

/// Writes `value` where `key` leads, within `section`.
fn write(shape: &Shape, section: &mut Section, place: &Place, key: &str, value: Value, mistakes: &mut Vec<Mistake>) {
    let (key, inner) = key.split_once('.').map_or((key, None), |(key, inner)| (key, Some(inner)));
    if !known(shape, key, place, mistakes) {
        return;
    }
    match inner {
        None if LISTS.contains(&key) => section.append(key, place.clone(), value),
        None => section.set(key, place.clone(), value),
        Some(inner) => {
            let entry = section
                .entries
                .entry(key.to_owned())
                .or_insert_with(|| Entry { place: place.clone(), value: Value::Table(Section::new(place.clone())) });
            // What is no table is named as such when it is judged.
            if let (Value::Table(table), Some(shape)) = (&mut entry.value, shape.table(key)) {
                write(shape, table, place, inner, value, mistakes);
            }
        }
    }
}

fn known(shape: &Shape, key: &str, place: &Place, mistakes: &mut Vec<Mistake>) -> bool {
    let found = shape.keys.contains(&key);
    if !found {
        let message = format!("unknown key \"{key}\" in {}; it has: {}", shape.name, shape.keys.join(", "));
        mistakes.push(Mistake { place: place.clone(), message });
    }
    found
}

fn first_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

struct Reader<'a> {
    file: Arc<std::path::PathBuf>,
    text: &'a str,
}

impl Reader<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        Place::Line(self.file.clone(), 1 + before.matches('\n').count())
    }

    fn section(
        &self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        document: &mut Document,
        mistakes: &mut Vec<Mistake>,
    ) {
        let place = self.place(name.span().start);
        let Some(shape) = SHAPES.iter().find(|shape| shape.name == name.get_ref().as_ref()) else {
            let all: Vec<_> = SHAPES.iter().map(|shape| shape.name).collect();
            let message = format!("unknown section \"{}\"; there are: {}", name.get_ref(), all.join(", "));
            return mistakes.push(Mistake { place, message });
        };
        let sections = match (value.get_ref(), shape.list) {
            (DeValue::Table(table), false) => vec![self.table(shape, &place, table, mistakes)],
            (DeValue::Array(items), true) if items.iter().all(|item| item.get_ref().is_table()) => items
                .iter()
                .filter_map(|item| Some((self.place(item.span().start), item.get_ref().as_table()?)))
                .map(|(place, table)| self.table(shape, &place, table, mistakes))
                .collect(),
            (_, list) => {
                let header = if list { format!("[[{}]]", shape.name) } else { format!("[{}]", shape.name) };
                return mistakes.push(Mistake { place, message: format!("write it as {header}") });
            }
        };
        document.sections.insert(shape.name.to_owned(), sections);
    }

    fn table(&self, shape: &Shape, place: &Place, table: &DeTable<'_>, mistakes: &mut Vec<Mistake>) -> Section {
        let mut section = Section::new(place.clone());
        for (key, value) in table {
            let place = self.place(key.span().start);
            if known(shape, key.get_ref(), &place, mistakes) {
                let value = self.value(shape.table(key.get_ref()), value, &place, mistakes);
                section.set(key.get_ref(), place, value);
            }
        }
        section
    }

    /// With the shape of the table that is meant to be there. A table where none is meant stays empty.
    fn value(
        &self,
        shape: Option<&Shape>,
        value: &Spanned<DeValue<'_>>,
        place: &Place,
        mistakes: &mut Vec<Mistake>,
    ) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                Value::Whole(i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok())
            }
            DeValue::Boolean(truth) => Value::Truth(*truth),
            DeValue::Table(table) => Value::Table(match shape {
                Some(shape) => self.table(shape, place, table, mistakes),
                None => Section::new(place.clone()),
            }),
            DeValue::Float(_) => Value::Other("a fraction"),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(items) => {
                let item = |item: &Spanned<DeValue<'_>>| {
                    let place = self.place(item.span().start);
                    Entry { value: self.value(None, item, &place, mistakes), place }
                };
                Value::List(items.iter().map(item).collect())
            }
        }
    }
}
