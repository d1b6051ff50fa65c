//! Requests and their answers, over one connection and one inbox of our own.

use core::future::Future;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use procession_runtime::mailbox::Mailbox;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::wire::{
    ConnectError, Handler, Message, Moment, Next, Outbox, ServerInfo, Turn, Violation, fields,
};

/// Most requests without an answer; further ones fail at once.
const OUTSTANDING_MAX: usize = 16_384;
/// The subscription of the inbox.
const INBOX: u64 = 1;

/// A handle for requests; cheap to clone, usable on any thread.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    commands: Mailbox<Command>,
    /// How often a connection became ready.
    connects: AtomicU64,
    /// The number of the last connection that was lost.
    disconnects: AtomicU64,
    /// The server's largest message; 0 before the first connection.
    max_payload: AtomicU64,
}

#[derive(Debug)]
enum Command {
    Request(Request),
    Close,
}

#[derive(Debug)]
struct Request {
    subject: String,
    /// A finished header block, or nothing.
    block: Bytes,
    payload: Bytes,
    within: Duration,
    answer: oneshot::Sender<Result<Reply, Unanswered>>,
    /// The connection that the caller saw; the request is sent on no other.
    connection: u64,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) payload: Bytes,
}

/// No answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unanswered {
    /// It was not sent: there is no connection, or too many requests wait. It never will be.
    NotSent,
    /// Nobody serves the subject (status 503): no JetStream, or no such stream.
    NobodyThere,
    /// This user may not use this subject: the server dropped the request, or it was not sent
    /// because no answer could come.
    Denied(Arc<str>),
    /// It was sent, and no answer can come: this user may not use this subject.
    Unheard(Arc<str>),
    /// The connection was lost after it was sent.
    Disconnected,
    /// No answer in time.
    TimedOut,
}

impl Requests {
    /// A handle and the handler that serves it; run the handler as a link.
    pub(crate) fn new() -> (Self, RequestsHandler) {
        let shared = Arc::new(Shared {
            commands: Mailbox::new(),
            connects: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
            max_payload: AtomicU64::new(0),
        });
        let handler = RequestsHandler {
            shared: Arc::clone(&shared),
            commands: Vec::new(),
            waiting: HashMap::new(),
            prefix: String::new(),
            next: 0,
            due: None,
            denied: None,
            server: Arc::default(),
            reached: None,
            closing: false,
        };
        (Self { shared }, handler)
    }

    /// Sends a request; the answer, or why there is none. Fails at once while there is no
    /// connection: nothing is sent later than its caller thinks.
    pub(crate) fn request(
        &self,
        subject: String,
        block: Bytes,
        payload: Bytes,
        within: Duration,
    ) -> impl Future<Output = Result<Reply, Unanswered>> + Send + use<> {
        let (answer, receiver) = oneshot::channel();
        let request = Request {
            subject,
            block,
            payload,
            within,
            answer,
            connection: self.connection(),
        };
        // A closed mailbox drops the request and with it the sender.
        let _ = self
            .shared
            .commands
            .push_bounded(Command::Request(request), OUTSTANDING_MAX);
        async move { receiver.await.unwrap_or(Err(Unanswered::NotSent)) }
    }

    /// Counts the connections that became ready: a change means that something was lost between.
    pub(crate) fn connection(&self) -> u64 {
        self.shared.connects.load(Ordering::Acquire)
    }

    /// Whether there is a connection at this moment.
    pub(crate) fn is_connected(&self) -> bool {
        self.shared.disconnects.load(Ordering::Acquire) < self.connection()
    }

    /// The largest message that the server takes, header block included; `None` before the first
    /// connection.
    pub(crate) fn max_payload(&self) -> Option<usize> {
        match self.shared.max_payload.load(Ordering::Acquire) {
            0 => None,
            max => usize::try_from(max).ok(),
        }
    }

    /// Ends the connection; requests without an answer fail.
    pub(crate) fn close(&self) {
        let _ = self.shared.commands.push(Command::Close);
    }
}

/// Serves [`Requests`] over a link.
pub(crate) struct RequestsHandler {
    shared: Arc<Shared>,
    commands: Vec<Command>,
    waiting: HashMap<u64, Waiting>,
    /// The inbox, up to the number of the request.
    prefix: String,
    next: u64,
    /// When the next deadline runs out, at the earliest.
    due: Option<Instant>,
    /// The inbox, when we may not subscribe to it.
    denied: Option<Arc<str>>,
    server: Arc<ServerInfo>,
    /// Tells of every attempt to connect; for the first connection.
    reached: Option<tokio::sync::mpsc::UnboundedSender<Result<Arc<ServerInfo>, ConnectError>>>,
    closing: bool,
}

struct Waiting {
    subject: String,
    deadline: Instant,
    answer: oneshot::Sender<Result<Reply, Unanswered>>,
}

impl RequestsHandler {
    /// Reports every attempt to connect to `reached`, until its receiver is dropped.
    pub(crate) fn report_to(
        &mut self,
        reached: tokio::sync::mpsc::UnboundedSender<Result<Arc<ServerInfo>, ConnectError>>,
    ) {
        self.reached = Some(reached);
    }

    fn report(&mut self, result: Result<Arc<ServerInfo>, ConnectError>) {
        if let Some(reached) = &self.reached
            && reached.send(result).is_err()
        {
            self.reached = None;
        }
    }

    fn send(&mut self, now: Instant, request: Request, out: &mut Outbox) {
        if request.connection != self.shared.connects.load(Ordering::Acquire)
            || OUTSTANDING_MAX <= self.waiting.len()
        {
            let _ = request.answer.send(Err(Unanswered::NotSent));
            return;
        }
        if let Some(inbox) = &self.denied {
            let _ = request
                .answer
                .send(Err(Unanswered::Denied(Arc::clone(inbox))));
            return;
        }
        let number = self.next;
        self.next += 1;
        let reply = format!("{}{number}", self.prefix);
        if request.block.is_empty() {
            out.publish(&request.subject, &reply, &request.payload);
        } else {
            out.publish_with(&request.subject, &reply, &request.block, &request.payload);
        }
        let deadline = now + request.within;
        self.due = Some(self.due.map_or(deadline, |due| due.min(deadline)));
        self.waiting.insert(
            number,
            Waiting {
                subject: request.subject,
                deadline,
                answer: request.answer,
            },
        );
    }

    fn expire(&mut self, now: Instant) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        let late: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.deadline <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            if let Some(waiting) = self.waiting.remove(&number) {
                let _ = waiting.answer.send(Err(Unanswered::TimedOut));
            }
        }
        self.due = self.waiting.values().map(|waiting| waiting.deadline).min();
    }
}

impl Handler for RequestsHandler {
    fn connected(&mut self, _now: Instant, server: &ServerInfo, out: &mut Outbox) {
        self.server = Arc::new(server.clone());
        self.shared
            .max_payload
            .store(server.max_payload as u64, Ordering::Release);
        // A new inbox for each connection: an answer to an older one finds nobody.
        self.prefix = format!("{}.", crate::names::inbox());
        self.denied = None;
        out.subscribe(&format!("{}*", self.prefix), INBOX);
        self.shared.connects.fetch_add(1, Ordering::AcqRel);
        self.report(Ok(Arc::clone(&self.server)));
    }

    fn disconnected(&mut self, _now: Instant) {
        self.shared.disconnects.store(
            self.shared.connects.load(Ordering::Acquire),
            Ordering::Release,
        );
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.answer.send(Err(Unanswered::Disconnected));
        }
        self.due = None;
    }

    fn unreachable(&mut self, error: &ConnectError) {
        self.report(Err(error.clone()));
    }

    fn complaint(&mut self, text: &str) {
        tracing::warn!(text, "the NATS server reports an error");
        let (subject, all) = match Violation::read(text) {
            Some(Violation::Publish(subject)) => (subject, false),
            Some(Violation::Subscribe(subject)) => (subject, true),
            None => return,
        };
        let subject: Arc<str> = subject.into();
        if all {
            self.denied = Some(Arc::clone(&subject));
        }
        let concerned = |_: &u64, waiting: &mut Waiting| all || *waiting.subject == *subject;
        for (_, waiting) in self.waiting.extract_if(concerned) {
            let why = if all {
                Unanswered::Unheard(Arc::clone(&subject))
            } else {
                Unanswered::Denied(Arc::clone(&subject))
            };
            let _ = waiting.answer.send(Err(why));
        }
    }

    fn message(&mut self, _now: Instant, message: &Message<'_>, _out: &mut Outbox) {
        let number = message
            .subject
            .strip_prefix(self.prefix.as_bytes())
            .and_then(crate::wire::frame::number);
        let Some(waiting) = number.and_then(|number| self.waiting.remove(&number)) else {
            return;
        };
        let answer = match fields::status(message.header) {
            Some((503, _)) => Err(Unanswered::NobodyThere),
            _ => Ok(Reply {
                payload: Bytes::copy_from_slice(message.payload),
            }),
        };
        let _ = waiting.answer.send(answer);
    }

    fn turn(&mut self, cx: &mut Context<'_>, moment: Moment, out: Option<&mut Outbox>) -> Turn {
        let mut out = out;
        let mut commands = core::mem::take(&mut self.commands);
        while let Poll::Ready(()) = self.shared.commands.poll_drain(cx, &mut commands) {
            if commands.is_empty() {
                self.closing = true;
                break;
            }
            for command in commands.drain(..) {
                match (command, out.as_deref_mut()) {
                    (Command::Close, _) => self.closing = true,
                    (Command::Request(request), Some(out)) => self.send(moment.now, request, out),
                    (Command::Request(request), None) => {
                        let _ = request.answer.send(Err(Unanswered::NotSent));
                    }
                }
            }
        }
        self.commands = commands;
        self.expire(moment.now);
        if self.closing {
            self.shared.commands.close();
        }
        Turn {
            wake_at: self.due,
            waiting: !self.waiting.is_empty(),
            next: if self.closing { Next::Close } else { Next::Go },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::Waker;

    fn turn(handler: &mut RequestsHandler, now: Instant, out: Option<&mut Outbox>) -> Turn {
        handler.turn(
            &mut Context::from_waker(Waker::noop()),
            Moment { now, drained: true },
            out,
        )
    }

    fn message<'a>(subject: &'a str, header: &'a [u8], payload: &'a [u8]) -> Message<'a> {
        Message {
            subject: subject.as_bytes(),
            sid: INBOX,
            reply: b"",
            header,
            payload,
        }
    }

    #[tokio::test]
    async fn answers_find_their_request() {
        let (requests, mut handler) = Requests::new();
        let (now, mut out) = (Instant::now(), Outbox::default());
        handler.connected(now, &ServerInfo::default(), &mut out);
        let second = Duration::from_secs(1);
        let one = requests.request("a".into(), Bytes::new(), Bytes::new(), second);
        let two = requests.request("b".into(), Bytes::new(), Bytes::new(), second);
        let late = requests.request("c".into(), Bytes::new(), Bytes::new(), second);
        assert!(turn(&mut handler, now, Some(&mut out)).waiting);
        let prefix = handler.prefix.clone();
        handler.message(now, &message(&format!("{prefix}1"), b"", b"two"), &mut out);
        handler.message(
            now,
            &message(&format!("{prefix}0"), b"NATS/1.0 503\r\n\r\n", b""),
            &mut out,
        );
        // Unknown and foreign numbers change nothing.
        handler.message(now, &message(&format!("{prefix}77"), b"", b""), &mut out);
        handler.message(now, &message("_INBOX.other.2", b"", b""), &mut out);
        assert!(turn(&mut handler, now, Some(&mut out)).waiting);
        assert!(!turn(&mut handler, now + second, Some(&mut out)).waiting);
        assert_eq!(two.await.unwrap().payload, "two");
        assert_eq!(one.await.unwrap_err(), Unanswered::NobodyThere);
        assert_eq!(late.await.unwrap_err(), Unanswered::TimedOut);
    }

    #[tokio::test]
    async fn who_may_not_is_told_at_once() {
        let (requests, mut handler) = Requests::new();
        let (now, mut out) = (Instant::now(), Outbox::default());
        let second = Duration::from_secs(1);
        let ask =
            |subject: &str| requests.request(subject.into(), Bytes::new(), Bytes::new(), second);
        handler.connected(now, &ServerInfo::default(), &mut out);
        let (one, two) = (ask("a.1"), ask("a.2"));
        turn(&mut handler, now, Some(&mut out));
        handler.complaint("Permissions Violation for Publish to \"a.1\"");
        assert_eq!(one.await.unwrap_err(), Unanswered::Denied("a.1".into()));
        assert!(turn(&mut handler, now, Some(&mut out)).waiting);
        // The answer cannot come: what was sent is uncertain, and nothing more is sent.
        handler.complaint("Permissions Violation for Subscription to \"_INBOX.x.*\"");
        let three = ask("a.3");
        turn(&mut handler, now, Some(&mut out));
        assert_eq!(
            two.await.unwrap_err(),
            Unanswered::Unheard("_INBOX.x.*".into())
        );
        assert_eq!(
            three.await.unwrap_err(),
            Unanswered::Denied("_INBOX.x.*".into())
        );
        out.clear();
        handler.disconnected(now);
        handler.connected(now, &ServerInfo::default(), &mut out);
        let four = ask("a.4");
        assert!(turn(&mut handler, now, Some(&mut out)).waiting);
        drop(four);
    }

    #[tokio::test]
    async fn nothing_crosses_a_reconnect() {
        // F-LM11: what was asked on one connection is never sent on the next.
        let (requests, mut handler) = Requests::new();
        let (now, mut out) = (Instant::now(), Outbox::default());
        let second = Duration::from_secs(1);
        let ask = || requests.request("a".into(), Bytes::new(), Bytes::new(), second);
        let early = ask();
        turn(&mut handler, now, None);
        assert_eq!(early.await.unwrap_err(), Unanswered::NotSent);
        handler.connected(now, &ServerInfo::default(), &mut out);
        assert!(requests.is_connected());
        let sent = ask();
        turn(&mut handler, now, Some(&mut out));
        let queued = ask();
        handler.disconnected(now);
        assert!(!requests.is_connected());
        assert_eq!(sent.await.unwrap_err(), Unanswered::Disconnected);
        out.clear();
        handler.connected(now, &ServerInfo::default(), &mut out);
        turn(&mut handler, now, Some(&mut out));
        assert_eq!(queued.await.unwrap_err(), Unanswered::NotSent);
        assert!(!out.pending().windows(3).any(|w| w == b"PUB"));
        requests.close();
        assert_eq!(turn(&mut handler, now, Some(&mut out)).next, Next::Close);
        assert_eq!(ask().await.unwrap_err(), Unanswered::NotSent);
    }
}
