//! Names of brokers within the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use procession_core::Time;
use procession_runtime::check_group_name;
use procession_runtime::port::{PortError, PortErrorKind};

use crate::hub::Hub;
use crate::settings::Settings;

/// Brokers of this process that have a name, while somebody is connected to them.
static NAMED: Mutex<BTreeMap<String, Weak<Hub>>> = Mutex::new(BTreeMap::new());

/// The broker behind `url`: a new one for `memory://`, the one of that name for `memory://NAME`.
pub(crate) fn hub(url: &str, settings: Settings, now: Time) -> Result<Arc<Hub>, PortError> {
    let Some(name) = url.strip_prefix("memory://") else {
        return Err(invalid(format!(
            "`{url}` is not an in-process broker: use `memory://` or `memory://NAME`"
        )));
    };
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.is_empty() {
        return Ok(Arc::new(Hub::new(settings, now)));
    }
    // A broker's name follows the rules of a group's.
    check_group_name(name).map_err(|error| {
        invalid(format!(
            "`{url}` is not a name for an in-process broker: {error}"
        ))
    })?;
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    named.retain(|_, hub| hub.strong_count() > 0);
    if let Some(hub) = named.get(name).and_then(Weak::upgrade) {
        return Ok(hub);
    }
    let hub = Arc::new(Hub::new(settings, now));
    named.insert(name.to_owned(), Arc::downgrade(&hub));
    Ok(hub)
}

fn invalid(message: String) -> PortError {
    PortError::new(PortErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_broker_is_shared_and_a_private_one_is_not() {
        let connect = |url| hub(url, Settings::default(), Time::ZERO).expect("connects");
        let first = connect("memory://names-shared");
        assert!(Arc::ptr_eq(&first, &connect("memory://names-shared")));
        assert!(!Arc::ptr_eq(&first, &connect("memory://names-other")));
        assert!(!Arc::ptr_eq(&connect("memory://"), &connect("memory://")));
    }

    #[test]
    fn bad_addresses_are_refused() {
        for url in ["nats://x", "memory:x", "memory://a b", "memory://a..b"] {
            let error = hub(url, Settings::default(), Time::ZERO).err().expect(url);
            assert_eq!(error.kind, PortErrorKind::Invalid);
            assert!(error.message.contains(url), "{error}");
        }
    }
}
