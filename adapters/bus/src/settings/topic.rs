//! Tables `[topics.NAME]`.

use procession_runtime::port::{Layout, Storage, TopicMode};

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
    /// How its messages lie on JetStream when it is created: `partitioned` (default; a subject a
    /// partition) or `keyed` (a subject a key, which
    /// [`Bus::publish_expecting`](crate::Bus::publish_expecting) needs). Default: what is there; with
    /// `mode = "skip"`, which looks at nothing, `partitioned`. Kafka knows partitions only, and refuses
    /// `keyed`.
    pub layout: Option<Layout>,
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
        const LAYOUTS: &[(&str, Layout)] = &[
            ("partitioned", Layout::Partitioned),
            ("keyed", Layout::Keyed),
        ];
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
        r.word("layout", LAYOUTS, |layout| self.layout = Some(layout))?;
        r.word("form", FORMS, |form| self.form = form)?;
        r.finish()
    }
}
