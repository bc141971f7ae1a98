//! Reads a TOML table key by key, so that every error has an exact place, plain words and a next step. It reads the
//! tables of a sensor here, and those of a scenario in `intent`.
//!
//! Not a serde deserializer: its messages are like "invalid type: map", and lose the place inside flattened and
//! untagged parts. A key that no code [takes](TomlTable::take) is an error, see [`TomlTable::finish`].

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::error::{InputError, Result, Source};

/// A table from which keys are removed as they are read.
pub struct TomlTable<'a> {
    /// The file.
    pub source: &'a Source,
    /// The place of the table.
    pub span: Range<usize>,
    entries: Vec<(String, Value<'a>)>,
    taken: Vec<&'static str>,
}

/// A value, with its place and the key it was found under.
pub struct Value<'a> {
    /// The key.
    pub key: TomlKey,
    source: &'a Source,
    span: Range<usize>,
    value: DeValue<'a>,
}

/// A place in a file. Making an error reads the lines before it, so only the place is kept until there is one.
pub struct TomlPlace<'a> {
    source: &'a Source,
    span: Range<usize>,
}

impl TomlPlace<'_> {
    /// An error at this place.
    pub fn error(&self, problem: impl std::fmt::Display, hint: impl std::fmt::Display) -> InputError {
        self.source.error(self.span.clone(), problem, hint)
    }
}

/// A key, with its place.
#[derive(Debug, Clone)]
pub struct TomlKey {
    /// The key itself.
    pub name: String,
    /// The place of the entry.
    pub span: Range<usize>,
}

impl<'a> TomlTable<'a> {
    /// The whole file.
    pub fn parse(source: &'a Source) -> Result<TomlTable<'a>> {
        let table = DeTable::parse(&source.text).map_err(|error| syntax_error(source, &error))?;
        Ok(TomlTable::new(source, table.span(), table.into_inner()))
    }

    fn new(source: &'a Source, span: Range<usize>, table: DeTable<'a>) -> TomlTable<'a> {
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (toml::Spanned<_>, toml::Spanned<DeValue<'a>>)| {
            let (span, name) = (key.span(), String::from(key.into_inner()));
            let key = TomlKey { name: name.clone(), span };
            (name, Value { key, source, span: value.span(), value: value.into_inner() })
        };
        TomlTable { source, span, entries: entries.into_iter().map(entry).collect(), taken: Vec::new() }
    }

    /// Removes and returns the value of `key`, and registers it as a known key.
    pub fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.taken.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(at).1)
    }

    /// Removes and returns the table under `key`.
    pub fn take_table(&mut self, key: &'static str) -> Result<Option<TomlTable<'a>>> {
        self.take(key).map(Value::into_table).transpose()
    }

    /// Removes and returns the text under `key`.
    pub fn take_text(&mut self, key: &'static str) -> Result<Option<(Range<usize>, String)>> {
        self.take(key).map(|value| Ok((value.span.clone(), value.text()?.to_owned()))).transpose()
    }

    /// All remaining entries, in the order of the file: for tables whose keys are names.
    pub fn into_entries(self) -> impl Iterator<Item = Value<'a>> {
        self.entries.into_iter().map(|(_, value)| value)
    }

    /// True if the table has `key`.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// The place of the table.
    pub fn spot(&self) -> TomlPlace<'a> {
        TomlPlace { source: self.source, span: self.span.clone() }
    }

    /// An error of the table as a whole.
    pub fn error(&self, problem: impl std::fmt::Display, hint: impl std::fmt::Display) -> InputError {
        self.source.error(self.span.clone(), problem, hint)
    }

    /// Fails if a key is left that no code has read.
    pub fn finish(self) -> Result<()> {
        match self.entries.first() {
            None => Ok(()),
            Some((name, value)) => {
                let problem = format!("unknown key `{}`", name.escape_debug());
                Err(self.source.error(value.key.span.clone(), problem, known(name, &self.taken)).into())
            }
        }
    }
}

/// The error at toml's place, with the first line of its message; the other lines repeat the place.
fn syntax_error(source: &Source, error: &toml::de::Error) -> InputError {
    let problem = format!("this is not TOML: {}", error.message().lines().next().unwrap_or_default());
    source.error(error.span().unwrap_or(0..0), problem, "see https://toml.io for how it is written")
}

fn known(name: &str, keys: &[&'static str]) -> String {
    let list = format!("known here: {}", keys.join(", "));
    match keys.iter().map(|key| (strsim::levenshtein(name, key), key)).min() {
        Some((distance, key)) if distance <= 2 => format!("did you mean `{key}`? {list}"),
        _ => list,
    }
}

impl<'a> Value<'a> {
    /// The place of the value.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The place of the value, for an error once the value is used up.
    pub fn spot(&self) -> TomlPlace<'a> {
        TomlPlace { source: self.source, span: self.span.clone() }
    }

    /// An error of this value.
    pub fn error(&self, problem: impl std::fmt::Display, hint: impl std::fmt::Display) -> InputError {
        self.source.error(self.span.clone(), problem, hint)
    }

    /// The value as it is written in the file.
    pub fn written(&self) -> &'a str {
        self.source.text.get(self.span.clone()).unwrap_or_default()
    }

    /// The value as text; an error if it has another type.
    pub fn text(&self) -> Result<&str> {
        match &self.value {
            DeValue::String(text) => Ok(text),
            _ => self.wrong_type("a string in quotes"),
        }
    }

    /// The value, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        if let DeValue::String(text) = &self.value { Some(text) } else { None }
    }

    /// The value as a whole number; a number that is too large becomes `i64::MAX`.
    pub fn number(&self) -> Result<i64> {
        match &self.value {
            DeValue::Integer(number) => Ok(saturated(number)),
            _ => self.wrong_type("a whole number"),
        }
    }

    /// True if it is a whole number.
    pub fn is_number(&self) -> bool {
        matches!(self.value, DeValue::Integer(_))
    }

    /// True if it is a table.
    pub fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// The value as a boolean; an error if it has another type.
    pub fn boolean(&self) -> Result<bool> {
        match &self.value {
            DeValue::Boolean(boolean) => Ok(*boolean),
            _ => self.wrong_type("true or false"),
        }
    }

    /// The value as a table; an error if it has another type.
    pub fn into_table(self) -> Result<TomlTable<'a>> {
        match self.value {
            DeValue::Table(table) => Ok(TomlTable::new(self.source, self.span, table)),
            _ => self.wrong_type("a table"),
        }
    }

    /// The values of a list; an error if it has another type.
    pub fn into_list(self) -> Result<Vec<Value<'a>>> {
        if matches!(self.value, DeValue::Array(_)) { Ok(self.into_one_or_many()) } else { self.wrong_type("a list") }
    }

    /// The values of a list, or the value itself if it is no list.
    pub fn into_one_or_many(self) -> Vec<Value<'a>> {
        let (key, source) = (self.key.clone(), self.source);
        match self.value {
            DeValue::Array(items) => items
                .into_iter()
                .map(|item| Value { key: key.clone(), source, span: item.span(), value: item.into_inner() })
                .collect(),
            _ => vec![self],
        }
    }

    /// The error for a value that has the wrong type.
    pub fn wrong_type<T>(&self, wanted: &str) -> Result<T> {
        let problem = format!("`{}` is {}", self.key.name.escape_debug(), article(&self.value));
        Err(self.error(problem, format!("it must be {wanted}")).into())
    }
}

fn saturated(number: &toml::de::DeInteger<'_>) -> i64 {
    i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(i64::MAX)
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
