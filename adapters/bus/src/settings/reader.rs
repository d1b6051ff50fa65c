//! Reads one table of settings, and refuses what it does not know.

use std::collections::BTreeMap;
use std::time::Duration;

use super::SettingsError;
use super::value::{self, Unfit, Value};

/// One setting: its value and where it came from, in words.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) origin: String,
}

/// The settings of one table by name.
pub(super) type Table = BTreeMap<String, Entry>;

/// Reads a table field by field; [`finish`](Self::finish) refuses the fields nobody asked for.
pub(super) struct Reader<'a> {
    path: &'a str,
    table: &'a Table,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(path: &'a str, table: &'a Table) -> Self {
        Self {
            path,
            table,
            known: Vec::new(),
        }
    }

    pub(super) fn duration(
        &mut self,
        name: &'static str,
        into: &mut Duration,
    ) -> Result<(), SettingsError> {
        self.read(name, value::duration, |v| *into = v)
    }

    pub(super) fn bytes(
        &mut self,
        name: &'static str,
        into: &mut u64,
    ) -> Result<(), SettingsError> {
        self.read(name, value::bytes, |v| *into = v)
    }

    pub(super) fn number<T: TryFrom<u64>>(
        &mut self,
        name: &'static str,
        into: &mut T,
    ) -> Result<(), SettingsError> {
        let parse = |v: &Value| {
            T::try_from(value::number(v)?).map_err(|_| ("too large", "write a smaller number"))
        };
        self.read(name, parse, |v| *into = v)
    }

    pub(super) fn flag(
        &mut self,
        name: &'static str,
        into: &mut bool,
    ) -> Result<(), SettingsError> {
        self.read(name, value::flag, |v| *into = v)
    }

    /// A number, or `forever`.
    pub(super) fn attempts(
        &mut self,
        name: &'static str,
        into: &mut u32,
    ) -> Result<(), SettingsError> {
        let parse = |v: &Value| {
            if matches!(v, Value::Text(text) if text.trim() == "forever") {
                return Ok(u32::MAX);
            }
            u32::try_from(value::number(v)?)
                .map_err(|_| ("too large", "write 1 to 1000000, or \"forever\""))
        };
        self.read(name, parse, |v| *into = v)
    }

    pub(super) fn some<T>(
        &mut self,
        name: &'static str,
        into: &mut Option<T>,
        parse: impl FnOnce(&Value) -> Result<T, Unfit>,
    ) -> Result<(), SettingsError> {
        self.read(name, parse, |v| *into = Some(v))
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        words: &'static [(&'static str, T)],
        mut into: impl FnMut(T),
    ) -> Result<(), SettingsError> {
        self.known.push(name);
        let Some(entry) = self.table.get(name) else {
            return Ok(());
        };
        let given = if let Value::Text(text) = &entry.value {
            text.trim().to_ascii_lowercase()
        } else {
            entry.value.to_string()
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == given) {
            into(*meaning);
            return Ok(());
        }
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let nearest = nearest(&given, all.iter().copied())
            .map_or_else(String::new, |word| format!("did you mean `{word}`? "));
        Err(self.error(
            name,
            entry,
            "not one of the known words",
            &format!("{nearest}write one of: {}", all.join(", ")),
        ))
    }

    /// Refuses what was not asked for, with the nearest name that is known.
    pub(super) fn finish(self) -> Result<(), SettingsError> {
        let known = &self.known;
        let unknown = |name: &&String| !known.contains(&name.as_str());
        let Some(name) = self.table.keys().find(unknown) else {
            return Ok(());
        };
        let fix = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are: {}", known.join(", ")),
        };
        let origin = self.table.get(name).map(|e| e.origin.clone());
        Err(SettingsError::new(
            format!("{}.{name}", self.path),
            "",
            origin.unwrap_or_default(),
            "there is no such setting",
            fix,
        ))
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&Value) -> Result<T, Unfit>,
        into: impl FnOnce(T),
    ) -> Result<(), SettingsError> {
        self.known.push(name);
        let Some(entry) = self.table.get(name) else {
            return Ok(());
        };
        match parse(&entry.value) {
            Ok(value) => {
                into(value);
                Ok(())
            }
            Err((problem, fix)) => Err(self.error(name, entry, problem, fix)),
        }
    }

    fn error(&self, name: &str, entry: &Entry, problem: &str, fix: &str) -> SettingsError {
        SettingsError::new(
            format!("{}.{name}", self.path),
            entry.value.to_string(),
            entry.origin.clone(),
            problem,
            fix,
        )
    }
}

/// The known name that is most like `given`, if one is at all.
pub(super) fn nearest<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .filter(|(likeness, _)| 0.75 <= *likeness)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
