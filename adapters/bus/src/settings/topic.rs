//! Tables `[topics.NAME]`.

use procession_runtime::port::{Storage, TopicMode};

use super::reader::Reader;
use super::{SettingsError, value};
use crate::Form;

/// Settings of one topic: table `[topics.NAME]`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TopicSettings {
    /// What to do when it is missing or different. Default: `topics` in `[bus]`.
    pub mode: Option<TopicMode>,
    /// Number of partitions: created with it, checked against it. Default: what is there, 3 when
    /// created.
    pub partitions: Option<u32>,
    /// Where it is kept when it is created: `file` (default) or `memory`.
    pub storage: Storage,
    /// The form in which this bus publishes to it: `binary` (default), `structured` or `predecessor`.
    /// Messages of every form are received, whatever it is.
    pub form: Form,
}

pub(super) const MODES: &[(&str, TopicMode)] = &[
    ("validate", TopicMode::Validate),
    ("create", TopicMode::Create),
    ("create_or_update", TopicMode::CreateOrUpdate),
    ("skip", TopicMode::Skip),
];

impl TopicSettings {
    pub(super) fn apply(&mut self, mut r: Reader<'_>) -> Result<(), SettingsError> {
        const STORAGES: &[(&str, Storage)] =
            &[("file", Storage::File), ("memory", Storage::Memory)];
        const FORMS: &[(&str, Form)] = &[
            ("binary", Form::Binary),
            ("structured", Form::Structured),
            ("predecessor", Form::Predecessor),
        ];
        r.word("mode", MODES, |mode| self.mode = Some(mode))?;
        r.some(
            "partitions",
            &mut self.partitions,
            |v| match value::number(v)? {
                n @ 1..=4_096 => u32::try_from(n).map_err(|_| ("too large", "write 1 to 4096")),
                _ => Err(("out of range", "write 1 to 4096")),
            },
        )?;
        r.word("storage", STORAGES, |storage| self.storage = storage)?;
        r.word("form", FORMS, |form| self.form = form)?;
        r.finish()
    }
}
