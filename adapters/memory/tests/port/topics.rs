//! Topics are created, checked and read back; limits have names.

use procession_memory::Settings;
use procession_runtime::port::{Broker, PortErrorKind, TopicMode, TopicSpec};

use crate::member::{Member, broker, create, now, spec};

#[test]
fn a_missing_topic_is_named_with_its_fix() {
    let (broker, _) = broker(Settings::default());
    let validate = TopicSpec {
        mode: TopicMode::Validate,
        ..spec("orders", 3)
    };
    let error = now(broker.topic(validate.clone())).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Missing);
    assert!(error.message.contains("`orders`") && error.message.contains("topics = \"create\""));
    create(&broker, "orders", 3);
    let info = now(broker.topic(validate)).unwrap();
    assert_eq!((info.partitions, info.warnings.len()), (3, 0));
}

#[test]
fn the_number_of_partitions_does_not_change() {
    let (broker, _) = broker(Settings::default());
    create(&broker, "orders", 3);
    for mode in [
        TopicMode::Validate,
        TopicMode::Create,
        TopicMode::CreateOrUpdate,
    ] {
        let error = now(broker.topic(TopicSpec {
            mode,
            ..spec("orders", 4)
        }))
        .unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unsuitable, "{mode:?}");
        assert!(error.message.contains("has 3 partitions, not 4"), "{error}");
    }
    let any = TopicSpec {
        partitions: None,
        ..spec("orders", 1)
    };
    assert_eq!(now(broker.topic(any)).unwrap().partitions, 3);
    let fresh = TopicSpec {
        partitions: None,
        ..spec("fresh", 1)
    };
    assert_eq!(now(broker.topic(fresh)).unwrap().partitions, 3);
}

#[test]
fn limits_and_names_are_kept() {
    let settings = Settings {
        topics_max: 1,
        partitions_max: 8,
        groups_max: 1,
        ..Settings::default()
    };
    let (broker, _) = broker(settings);
    let kind = |spec| now(broker.topic(spec)).unwrap_err().kind;
    assert_eq!(kind(spec("a b", 1)), PortErrorKind::Invalid);
    assert_eq!(kind(spec("orders", 9)), PortErrorKind::Invalid);
    assert_eq!(kind(spec("orders", 0)), PortErrorKind::Invalid);
    create(&broker, "orders", 8);
    assert_eq!(kind(spec("more", 1)), PortErrorKind::Refused);
    let member = Member::new(&broker, "orders", "g", "a");
    let again = Member::new(&broker, "orders", "g", "b");
    let error = Member::try_new(&broker, "orders", "h", "a").err().unwrap();
    assert_eq!(error.kind, PortErrorKind::Refused);
    let error = Member::try_new(&broker, "orders", "a..b", "a")
        .err()
        .unwrap();
    assert_eq!(error.kind, PortErrorKind::Invalid);
    drop((member, again));
}
