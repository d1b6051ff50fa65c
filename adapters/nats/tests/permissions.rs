//! The permissions that `docs/nats.md` lists: with all of them everything works, without any one of
//! them the server objects.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use std::time::Duration;

use async_nats::jetstream;
use procession_core::{Anchor, Position, Receipt, Span, Stamp};
use procession_nats::{NatsBroker, NatsOptions};
use procession_runtime::port::{
    Broker as _, FeedCommand, FeedEvent, PortErrorKind, SinkEvent, SinkReceipt, TopicMode,
    TopicSpec,
};
use support::driver::{Feeding, Sinking, outgoing, token};
use support::{Server, block_on, spec, topic};

/// Longest wait for anything: what is not permitted is known sooner, or never.
const WITHIN: Duration = Duration::from_secs(4);

/// The rows of the table: who, and the subject.
fn rows() -> Vec<(String, String)> {
    let page = include_str!("../../../docs/nats.md");
    page.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let who = cells.next()?;
            let subject = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            ["everybody", "publisher", "subscriber", "creator"]
                .contains(&who)
                .then(|| (who.to_owned(), subject.to_owned()))
        })
        .collect()
}

/// One user of the server, with a topic and a bucket of its own.
#[derive(Clone)]
struct Case {
    role: &'static str,
    number: usize,
    /// What it may not, in the words of the page; `None` may all.
    without: Option<String>,
}

impl Case {
    fn topic(&self) -> String {
        format!("t{}", self.number)
    }

    fn bucket(&self) -> String {
        format!("b{}", self.number)
    }

    fn own(&self, subject: &str) -> String {
        subject
            .replace("orders", &self.topic())
            .replace("procession-progress", &self.bucket())
    }

    fn user(&self, rows: &[(String, String)]) -> String {
        let allowed: Vec<String> = rows
            .iter()
            .filter(|(who, subject)| self.needs(who) && self.without.as_ref() != Some(subject))
            .map(|(_, subject)| format!("{:?}", self.own(subject)))
            .collect();
        let inbox = match self.without.as_deref() {
            Some("_INBOX.>") => "other.>",
            _ => "_INBOX.>",
        };
        format!(
            "{{ user: u{}, password: p, permissions: {{ publish: [{}], subscribe: [\"{inbox}\"] }} }}\n",
            self.number,
            allowed.join(", ")
        )
    }

    fn needs(&self, who: &str) -> bool {
        who == "everybody" || who == self.role || (self.role == "creator" && who == "subscriber")
    }

    async fn broker(&self, server: &Server, user: &str) -> Option<NatsBroker> {
        let url = format!("nats://{user}:p@127.0.0.1:{}", server.port);
        let mut options = NatsOptions::parse(&url).expect("a good address");
        options.bucket = self.bucket();
        match NatsBroker::connect(options).await {
            Ok(broker) => Some(broker),
            Err(error) => {
                assert_eq!(error.kind, PortErrorKind::Denied, "{error}");
                None
            }
        }
    }

    /// Everything that the role does; whether all of it worked.
    async fn act(&self, server: &Server) -> bool {
        let user = format!("u{}", self.number);
        let Some(broker) = self.broker(server, &user).await else {
            return false;
        };
        match self.role {
            "publisher" => self.publish(&broker).await,
            "subscriber" => self.subscribe(&broker).await,
            _ => self.create(&broker).await,
        }
    }

    async fn publish(&self, broker: &NatsBroker) -> bool {
        let mut sink = Sinking::begin(broker).await;
        sink.send(outgoing(&self.topic(), "k", 1));
        let result = tokio::time::timeout(WITHIN, sink.result()).await;
        matches!(result, Ok((_, SinkReceipt::Stored { .. })))
    }

    async fn create(&self, broker: &NatsBroker) -> bool {
        let name = self.topic();
        let update = TopicSpec {
            duplicate_window: Span::from_secs(90),
            ..spec(&name, Some(1), TopicMode::CreateOrUpdate)
        };
        let made = [
            broker.topic(spec(&name, Some(1), TopicMode::Create)).await,
            broker.topic(update).await,
        ];
        let feed = broker
            .feed(support::driver::feed_spec(&name, "billing", "m"))
            .await;
        made.iter().all(Result::is_ok) && feed.is_ok()
    }

    async fn subscribe(&self, broker: &NatsBroker) -> bool {
        let name = self.topic();
        let Ok(_) = broker
            .feed(support::driver::feed_spec(&name, "billing", "looks only"))
            .await
        else {
            return false;
        };
        let mut feed = Feeding::begin(broker, &name, "billing").await;
        feed.start(0, 1, 1, None);
        let (mut owned, mut buried, mut read) = (false, false, false);
        let all = async {
            while !(owned && buried && read) {
                match feed.next().await {
                    // Whoever owns has a connection for dead letters, too.
                    FeedEvent::Assigned { .. } => {
                        owned = true;
                        feed.feed.submit(FeedCommand::Bury {
                            token: token(),
                            message: outgoing(&format!("{name}-dlq-billing"), "k", 1),
                        });
                    }
                    FeedEvent::Buried { receipt, .. } => {
                        buried = receipt == Receipt::Stored;
                    }
                    FeedEvent::Records { .. } => read = true,
                    _ => {}
                }
            }
            // The second message is not there any more: what does the log hold in its place?
            let anchor = Anchor {
                position: Position(2),
                stamp: Stamp(1),
            };
            feed.start(0, 2, 2, Some(anchor));
            let begun = feed.find(|event| match event {
                FeedEvent::Session { session, .. } if session.0 == 2 => Some(true),
                FeedEvent::Broken { session, .. } if session.0 == 2 => Some(false),
                _ => None,
            });
            let begun = begun.await;
            feed.close().await;
            begun
        };
        tokio::time::timeout(WITHIN, all).await.unwrap_or(false)
    }

    /// What others have made before: the topic with three messages, of which one was removed, and
    /// the places of progress and dead letters.
    async fn prepare(&self, server: &Server) {
        if self.role == "creator" {
            return;
        }
        let broker = self.broker(server, "admin").await.expect("all is allowed");
        topic(&broker, &self.topic(), 1).await;
        let mut sink = Sinking::begin(&broker).await;
        for number in 1..=3 {
            sink.store(outgoing(&self.topic(), "k", number)).await;
        }
        sink.close().await;
        let member = support::driver::feed_spec(&self.topic(), "other", "m");
        Feeding::begin_as(&broker, member).await.close().await;
        topic(&broker, &format!("{}-dlq-billing", self.topic()), 1).await;
        let options =
            async_nats::ConnectOptions::with_user_and_password("admin".into(), "p".into());
        let client = options.connect(server.url()).await.expect("a connection");
        let stream = jetstream::new(client).get_stream(self.topic()).await;
        let stream = stream.expect("the stream");
        stream.delete_message(2).await.expect("it is removed");
    }
}

#[test]
fn the_permissions_of_the_page_suffice_and_are_all_needed() {
    let name = "the_permissions_of_the_page_suffice_and_are_all_needed";
    let rows = rows();
    assert!(16 <= rows.len(), "the table is not read: {rows:?}");
    let mut cases = Vec::new();
    for role in ["publisher", "subscriber", "creator"] {
        let number = cases.len();
        let all = Case {
            role,
            number,
            without: None,
        };
        let needed = rows
            .iter()
            .filter(|(who, _)| all.needs(who) && (role != "creator" || who == "creator"));
        let inbox = String::from("_INBOX.>");
        let missing: Vec<String> = needed.map(|(_, s)| s.clone()).chain([inbox]).collect();
        cases.push(all);
        for subject in missing {
            let number = cases.len();
            cases.push(Case {
                role,
                number,
                without: Some(subject),
            });
        }
    }
    let Some(mut server) = Server::prepare(name) else {
        return;
    };
    let log = server.dir.path().join("server.log");
    let users: String = cases.iter().map(|case| case.user(&rows)).collect();
    server.configure(&format!(
        "log_file: {log:?}\nauthorization {{ users: [\n{{ user: admin, password: p }}\n{users}] }}\n"
    ));
    server.up();
    let server = &server;
    let worked: Vec<bool> = std::thread::scope(|scope| {
        let all: Vec<_> = cases
            .iter()
            .map(|case| {
                scope.spawn(move || {
                    block_on(async {
                        case.prepare(server).await;
                        case.act(server).await
                    })
                })
            })
            .collect();
        all.into_iter()
            .map(|one| one.join().expect("no panic"))
            .collect()
    });
    let log = std::fs::read_to_string(log).expect("the server's log");
    for (case, worked) in cases.iter().zip(worked) {
        let user = format!("u{}\"", case.number);
        let by =
            |line: &str| line.contains(&format!(":{user}")) || line.contains(&format!("\"{user}"));
        let objections: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("Violation") && by(line))
            .collect();
        match &case.without {
            None => assert!(
                worked && objections.is_empty(),
                "a {}: {worked}, {objections:#?}",
                case.role
            ),
            Some(subject) => {
                // The subject that the server objected to, up to the first wildcard.
                let quoted = format!("Subject \"{}\"", case.own(subject));
                let start = quoted.split(['*', '>']).next().unwrap_or_default();
                assert!(
                    objections.iter().any(|line| line.contains(start)),
                    "a {} does not need `{subject}`: {objections:#?}",
                    case.role
                );
            }
        }
    }
}

#[test]
fn who_may_not_publish_is_told_so() {
    let name = "who_may_not_publish_is_told_so";
    let users = "authorization { users: [ { user: admin, password: p }, { user: reader, password: \
                 p, permissions: { publish: [\"$JS.API.>\"], subscribe: [\"_INBOX.>\"] } } ] }";
    let Some(server) = Server::start_with(name, users) else {
        return;
    };
    block_on(async {
        let url = |user: &str| format!("nats://{user}:p@127.0.0.1:{}", server.port);
        let admin = server.broker_at(&url("admin")).await;
        topic(&admin, "t", 1).await;
        let broker = server.broker_at(&url("reader")).await;
        let mut sink = Sinking::begin(&broker).await;
        // The first one has no answer, and is uncertain; all that follow are refused at once.
        sink.send(outgoing("t", "k", 1));
        let (_, first) = sink.result().await;
        assert!(matches!(first, SinkReceipt::Unknown(_)), "{first:?}");
        sink.send(outgoing("t", "k", 1));
        let SinkEvent::Result { receipt, .. } = sink.next().await else {
            panic!("no result");
        };
        let SinkReceipt::NotStored(error) = receipt else {
            panic!("{receipt:?}");
        };
        assert_eq!(error.kind, PortErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("`t.0`"), "{error}");
        sink.close().await;
    });
}
