//! Where settings come from: a TOML file and the environment.

use std::path::Path;

use super::SettingsError;
use super::reader::{Entry, Table, nearest};
use super::value::Value;

/// The prefix of all variables.
const PREFIX: &str = "PROCESSION_";
const TABLES: [&str; 4] = ["bus", "publish", "subscribe", "topics"];

/// Tables within tables.
const PARTS: [&str; 2] = ["bus.kafka", "bus.tls"];

/// The settings of one source, by table.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Source {
    pub(super) bus: Table,
    /// `[bus.kafka]`.
    pub(super) bus_kafka: Table,
    /// `[bus.tls]`.
    pub(super) bus_tls: Table,
    pub(super) publish: Table,
    pub(super) subscribe: Table,
    /// `[subscribe.NAME]`.
    pub(super) subscriptions: Vec<(String, Table)>,
    /// `[topics.NAME]`.
    pub(super) topics: Vec<(String, Table)>,
    /// Names are upper case and have `_` for `-` and `.`: they are compared without regard to that.
    pub(super) loose_names: bool,
}

impl Source {
    /// Reads a TOML file.
    pub(super) fn file(path: &Path) -> Result<Self, SettingsError> {
        let origin = format!("file {}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| {
            SettingsError::new(
                "file",
                path.display().to_string(),
                "",
                format!("it cannot be read: {error}"),
                "give the path of a readable TOML file, or none",
            )
        })?;
        Self::toml(&text, &origin)
    }

    /// Reads the text of a TOML file.
    pub(super) fn toml(text: &str, origin: &str) -> Result<Self, SettingsError> {
        let document: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            SettingsError::new(
                "file",
                "",
                origin,
                error.to_string().trim().replace('\n', " "),
                "correct the file; it must be TOML",
            )
        })?;
        let mut source = Self::default();
        for (table, content) in &document {
            let toml::Value::Table(content) = content else {
                return Err(unknown_table(
                    table,
                    origin,
                    "it stands outside of any table",
                ));
            };
            for (name, value) in content {
                let is_named = table == "subscribe" || table == "topics";
                if let (true, toml::Value::Table(inner)) = (is_named, value) {
                    let entries = inner
                        .iter()
                        .map(|(name, value)| (name.clone(), entry(value.into(), origin)));
                    source.named(table, name).extend(entries);
                    continue;
                }
                if let ("bus", toml::Value::Table(inner)) = (table.as_str(), value) {
                    let part = format!("bus.{name}");
                    let into = source
                        .part(&part)
                        .ok_or_else(|| unknown_table(&part, origin, "there is no such table"))?;
                    into.extend(
                        inner
                            .iter()
                            .map(|(n, v)| (n.clone(), entry(v.into(), origin))),
                    );
                    continue;
                }
                let path = format!("{table}.{name}");
                if PARTS.contains(&path.as_str()) {
                    return Err(SettingsError::new(
                        path.clone(),
                        Value::from(value).to_string(),
                        origin,
                        "not a table",
                        format!("write a table [{path}], with its settings below it"),
                    ));
                }
                if table == "topics" {
                    return Err(SettingsError::new(
                        format!("topics.{name}"),
                        Value::from(value).to_string(),
                        origin,
                        "not a table",
                        "write a table for each topic, [topics.NAME], or `topics` in [bus]",
                    ));
                }
                let entry = entry(value.into(), origin);
                source
                    .plain(table)
                    .ok_or_else(|| unknown_table(table, origin, "there is no such table"))?
                    .insert(name.clone(), entry);
            }
            if !TABLES.contains(&table.as_str()) {
                return Err(unknown_table(table, origin, "there is no such table"));
            }
        }
        Ok(source)
    }

    /// Reads variables: `PROCESSION_PUBLISH__DEADLINE`, `PROCESSION_SUBSCRIBE__BILLING__ATTEMPTS`.
    pub(super) fn environment(
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut source = Self {
            loose_names: true,
            ..Self::default()
        };
        for (variable, text) in variables {
            let Some(rest) = variable.strip_prefix(PREFIX) else {
                continue;
            };
            let rest = rest.to_ascii_lowercase();
            let origin = format!("environment variable {variable}");
            let entry = entry(Value::Text(text), &origin);
            let parts: Vec<&str> = rest.split("__").collect();
            match parts.as_slice() {
                [table, field] if *table != "topics" => {
                    source
                        .plain(table)
                        .ok_or_else(|| unknown_table(table, &origin, "there is no such table"))?
                        .insert((*field).to_owned(), entry);
                }
                [table @ ("subscribe" | "topics"), name, field] => {
                    source.named(table, name).insert((*field).to_owned(), entry);
                }
                ["bus", part, field] => {
                    let part = format!("bus.{part}");
                    source
                        .part(&part)
                        .ok_or_else(|| unknown_table(&part, &origin, "there is no such table"))?
                        .insert((*field).to_owned(), entry);
                }
                [single] => {
                    // Not ours, unless it looks like a setting with one underscore too few.
                    let looks = |table: &str| {
                        single
                            .strip_prefix(table)
                            .is_some_and(|rest| rest.starts_with('_'))
                    };
                    if let Some(table) = TABLES.into_iter().find(|table| looks(table)) {
                        let upper = table.to_ascii_uppercase();
                        return Err(SettingsError::new(
                            single.replacen('_', ".", 1),
                            entry.value.to_string(),
                            origin,
                            "table and field are parted by two underscores",
                            format!("write {PREFIX}{upper}__..."),
                        ));
                    }
                }
                _ => {
                    return Err(unknown_table(
                        &rest.replace("__", "."),
                        &origin,
                        "too many parts",
                    ));
                }
            }
        }
        Ok(source)
    }

    /// The tables for a name, in the order in which they apply.
    pub(super) fn tables<'s>(
        &'s self,
        named: &'s [(String, Table)],
        name: &'s str,
    ) -> impl Iterator<Item = &'s Table> {
        named
            .iter()
            .filter(move |(n, _)| match self.loose_names {
                true => *n == loose(name),
                false => n == name,
            })
            .map(|(_, table)| table)
    }

    fn plain(&mut self, table: &str) -> Option<&mut Table> {
        match table {
            "bus" => Some(&mut self.bus),
            "publish" => Some(&mut self.publish),
            "subscribe" => Some(&mut self.subscribe),
            _ => None,
        }
    }

    /// A table within a table.
    fn part(&mut self, path: &str) -> Option<&mut Table> {
        match path {
            "bus.kafka" => Some(&mut self.bus_kafka),
            "bus.tls" => Some(&mut self.bus_tls),
            _ => None,
        }
    }

    fn named(&mut self, table: &str, name: &str) -> &mut Table {
        let all = match table {
            "topics" => &mut self.topics,
            _ => &mut self.subscriptions,
        };
        let at = all.iter().position(|(n, _)| n == name).unwrap_or(all.len());
        if at == all.len() {
            all.push((name.to_owned(), Table::new()));
        }
        // In bounds: pushed above when it was not there.
        #[expect(clippy::indexing_slicing)]
        &mut all[at].1
    }
}

fn loose(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', '.'], "_")
}

fn entry(value: Value, origin: &str) -> Entry {
    Entry {
        value,
        origin: origin.to_owned(),
    }
}

fn unknown_table(table: &str, origin: &str, problem: &str) -> SettingsError {
    let all = || TABLES.into_iter().chain(PARTS);
    let fix = match nearest(table, all()) {
        Some(near) => format!("did you mean [{near}]?"),
        None => format!("tables are: {}", all().collect::<Vec<_>>().join(", ")),
    };
    SettingsError::new(table, "", origin, problem, fix)
}
