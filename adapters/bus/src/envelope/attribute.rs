//! The attributes of an envelope that Procession knows by name.

use crate::wire::Binding;

/// An attribute with a meaning to Procession. All others pass through untouched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Attribute {
    SpecVersion,
    Id,
    Source,
    Type,
    Time,
    ContentType,
    Key,
    Sequence,
    TraceParent,
    TraceState,
    Correlation,
    Tenant,
}

impl Attribute {
    /// How many there are.
    pub(crate) const COUNT: usize = 12;

    /// Its name in a header field.
    pub(crate) const fn header(self, binding: Binding) -> &'static str {
        let dashed = matches!(binding, Binding::Dashed);
        match self {
            Self::SpecVersion if dashed => "ce-specversion",
            Self::Id if dashed => "ce-id",
            Self::Source if dashed => "ce-source",
            Self::Type if dashed => "ce-type",
            Self::Time if dashed => "ce-time",
            Self::ContentType if dashed => "ce-datacontenttype",
            Self::Key if dashed => "ce-partitionkey",
            Self::Sequence if dashed => "ce-sequence",
            Self::TraceParent if dashed => "ce-traceparent",
            Self::TraceState if dashed => "ce-tracestate",
            Self::Correlation if dashed => "ce-correlationid",
            Self::Tenant if dashed => "ce-tenantid",
            Self::SpecVersion => "ce_specversion",
            Self::Id => "ce_id",
            Self::Source => "ce_source",
            Self::Type => "ce_type",
            Self::Time => "ce_time",
            Self::ContentType => "content-type",
            Self::Key => "ce_partitionkey",
            Self::Sequence => "ce_sequence",
            Self::TraceParent => "ce_traceparent",
            Self::TraceState => "ce_tracestate",
            Self::Correlation => "ce_correlationid",
            Self::Tenant => "ce_tenantid",
        }
    }

    /// Its name in CloudEvents, without any prefix.
    pub(crate) fn name(self) -> &'static str {
        let header = self.header(Binding::Dashed);
        header.strip_prefix("ce-").unwrap_or(header)
    }

    /// Its name in errors: what the builder calls it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::SpecVersion => "specversion",
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Time => "time",
            Self::ContentType => "content type",
            Self::Key => "key",
            Self::Sequence => "sequence",
            Self::TraceParent => "traceparent",
            Self::TraceState => "tracestate",
            Self::Correlation => "correlation",
            Self::Tenant => "tenant",
        }
    }

    /// The longest value, in bytes before any escaping.
    pub(crate) const fn max_bytes(self) -> usize {
        match self {
            Self::SpecVersion => 8,
            Self::Time | Self::TraceParent => 64,
            Self::Sequence => 20,
            Self::Tenant => 128,
            Self::Id | Self::Type | Self::ContentType | Self::Correlation => 256,
            Self::Source | Self::Key | Self::TraceState => 512,
        }
    }

    /// The attribute with this CloudEvents name (without prefix), whatever its case.
    pub(crate) fn find(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        // The length decides between one or two candidates: this runs for every field received.
        let candidates: &[Self] = match name.len() {
            2 => &[Self::Id],
            4 => &[Self::Type, Self::Time],
            6 => &[Self::Source],
            8 => &[Self::Sequence, Self::Tenant],
            10 => &[Self::TraceState],
            11 => &[Self::SpecVersion, Self::TraceParent],
            12 => &[Self::Key],
            13 => &[Self::Correlation],
            15 => &[Self::ContentType],
            _ => &[],
        };
        candidates.iter().copied().find(|a| {
            let own = a.name().as_bytes();
            own == name || own.eq_ignore_ascii_case(name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_found_by_its_own_name() {
        use Attribute::*;
        let all = [
            SpecVersion,
            Id,
            Source,
            Type,
            Time,
            ContentType,
            Key,
            Sequence,
            TraceParent,
            TraceState,
            Correlation,
            Tenant,
        ];
        assert_eq!(all.len(), Attribute::COUNT);
        for attribute in all {
            let name = &attribute.header(Binding::Dashed)[3..];
            assert_eq!(Attribute::find(name), Some(attribute));
            assert_eq!(Attribute::find(name.to_uppercase()), Some(attribute));
        }
        assert_eq!(Attribute::find("subject"), None);
        assert_eq!(Attribute::find(""), None);
    }
}
