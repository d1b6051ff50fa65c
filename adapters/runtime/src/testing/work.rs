//! Handlers that do what their message says, and a log of everything.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use procession_core::{Epoch, PartitionId, Position, Why};

use crate::port::{BoxFuture, Headers, Outgoing, Record};
use crate::subscription::{
    Attempt, Decoded, Ending, Fence, Incident, Letter, Observer, Verdict, Work,
};

/// What happened, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Assigned(u64, u64),
    Revoked(u64),
    Lost(u64),
    Released(u64),
    Start(u64, u32),
    /// The handler's future was polled first.
    Polled(u64),
    /// The handler's future was dropped before its end.
    Dropped(u64),
    End(u64, u32, Ending),
    Duplicate(u64),
    Buried(u64, Why),
    Commit(u64, u64),
    Committed(u64, u64),
    Incident(Incident),
    Drained(u32),
}

#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    pub(crate) fn push(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }

    pub(crate) fn take(&self) -> Vec<Event> {
        core::mem::take(&mut self.0.lock().unwrap())
    }

    pub(crate) fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn starts(&self) -> Vec<u64> {
        let pick = |event: &Event| match event {
            Event::Start(position, _) => Some(*position),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(pick).collect()
    }
}

/// Writes every hook into the log.
pub(crate) struct Recorder(pub(crate) Log);

impl Observer<Arc<Message>> for Recorder {
    fn assigned(&mut self, _: PartitionId, epoch: Epoch, position: Position) {
        self.0.push(Event::Assigned(epoch.0, position.0));
    }
    fn revoked(&mut self, _: PartitionId, epoch: Epoch) {
        self.0.push(Event::Revoked(epoch.0));
    }
    fn lost(&mut self, _: PartitionId, epoch: Epoch) {
        self.0.push(Event::Lost(epoch.0));
    }
    fn released(&mut self, _: PartitionId, epoch: Epoch) {
        self.0.push(Event::Released(epoch.0));
    }
    fn started(&mut self, fence: &Fence, attempt: u32, _: &Arc<Message>) {
        self.0.push(Event::Start(fence.position.0, attempt));
    }
    fn ended(&mut self, fence: &Fence, attempt: u32, _: &Arc<Message>, ending: Ending) {
        self.0.push(Event::End(fence.position.0, attempt, ending));
    }
    fn duplicate(&mut self, _: PartitionId, position: Position, _: &Arc<Message>) {
        self.0.push(Event::Duplicate(position.0));
    }
    fn buried(&mut self, _: PartitionId, position: Position, _: &Arc<Message>, why: Why) {
        self.0.push(Event::Buried(position.0, why));
    }
    fn commit(
        &mut self,
        _: PartitionId,
        epoch: Epoch,
        frontier: Position,
        _: &[(Position, Position)],
    ) {
        self.0.push(Event::Commit(epoch.0, frontier.0));
    }
    fn committed(
        &mut self,
        _: PartitionId,
        epoch: Epoch,
        frontier: Position,
        _: &[(Position, Position)],
    ) {
        self.0.push(Event::Committed(epoch.0, frontier.0));
    }
    fn incident(&mut self, _: PartitionId, _: Position, incident: Incident, _: &str) {
        self.0.push(Event::Incident(incident));
    }
    fn drained(&mut self, left: u32) {
        self.0.push(Event::Drained(left));
    }
}

#[derive(Debug)]
pub(crate) struct Message {
    position: u64,
    plan: u8,
}

impl Drop for Message {
    fn drop(&mut self) {
        assert!(self.plan != b'p' || std::thread::panicking(), "given up");
    }
}

/// A handler per letter: `d` done at once, `r` retry once and then done, `R` retry always, `j`
/// reject, `s` stop, `x` panic at once, `m` panic when made, `w` wait for the gate and be done, `W`
/// wait for the gate and panic, `b` a dead letter whose making panics, `z` a record that cannot be
/// decoded, `!` one whose reading panics, `p` one that panics when it is given up. Each position is a key of its own, except for capitals `A`: done at once, all of one key;
/// and `k`: waits for the gate, same key as `A`.
#[derive(Clone, Default)]
pub(crate) struct TestWork {
    pub(crate) log: Log,
    gates: Arc<Mutex<HashMap<u64, Gate>>>,
    pub(crate) letters: Arc<Mutex<Vec<Letter>>>,
}

#[derive(Default)]
struct Gate {
    open: bool,
    waker: Option<Waker>,
}

impl TestWork {
    /// Lets the handler of a position go on.
    pub(crate) fn open(&self, position: u64) {
        let waker = {
            let mut gates = self.gates.lock().unwrap();
            let gate = gates.entry(position).or_default();
            gate.open = true;
            gate.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct Handler {
    work: TestWork,
    position: u64,
    plan: u8,
    attempt: Attempt,
    polled: bool,
    ended: bool,
}

impl Future for Handler {
    type Output = Verdict;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict> {
        let this = &mut *self;
        if !this.polled {
            this.polled = true;
            this.work.log.push(Event::Polled(this.position));
        }
        let verdict = match this.plan {
            b'd' | b'A' => Verdict::Done,
            b'r' if 1 < this.attempt.number => Verdict::Done,
            b'r' | b'R' => Verdict::Retry("not yet".into()),
            b'j' | b'b' => Verdict::Reject("never".into()),
            b's' => Verdict::Stop("enough".into()),
            b'x' => {
                this.ended = true;
                panic!("at once")
            }
            b'w' | b'W' | b'k' => {
                let mut gates = this.work.gates.lock().unwrap();
                let gate = gates.entry(this.position).or_default();
                if !gate.open {
                    gate.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                drop(gates);
                if this.plan == b'W' {
                    this.ended = true;
                    panic!("after a while {}", this.position);
                }
                Verdict::Done
            }
            other => panic!("no plan {other}"),
        };
        this.ended = true;
        Poll::Ready(verdict)
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        if !self.ended {
            assert!(
                self.attempt.cancellation.is_raised() || !self.polled || std::thread::panicking(),
                "a handler was dropped without being asked to stop"
            );
            self.work.log.push(Event::Dropped(self.position));
        }
    }
}

impl Work for TestWork {
    type Message = Arc<Message>;

    fn decode(&self, _partition: PartitionId, record: Record) -> Decoded<Arc<Message>> {
        let plan = *record.payload.first().unwrap();
        assert_ne!(plan, b'!', "in the reading");
        let position = record.position.0;
        let key = if matches!(plan, b'A' | b'k') {
            0
        } else {
            position
        };
        Decoded {
            lane: key,
            key: Some(key.into()),
            identity: u128::from(position),
            bytes: record.bytes,
            expires: None,
            sequence: None,
            quarantine: (plan == b'z').then_some(Why::Malformed),
            message: Arc::new(Message { position, plan }),
        }
    }

    fn handle(&self, message: Arc<Message>, attempt: Attempt) -> BoxFuture<'static, Verdict> {
        assert_ne!(message.plan, b'm', "in the making");
        Box::pin(Handler {
            work: self.clone(),
            position: message.position,
            plan: message.plan,
            attempt,
            polled: false,
            ended: false,
        })
    }

    fn bury(&self, message: &Arc<Message>, letter: &Letter) -> Outgoing {
        let mut letters = self.letters.lock().unwrap();
        letters.push(letter.clone());
        let first = letters.len() == 1;
        drop(letters);
        assert!(!(message.plan == b'b' && first), "no letter");
        Outgoing {
            topic: "t-dlq-g".into(),
            key: None,
            id: "id".into(),
            identity: message.position.into(),
            copy: 0,
            headers: Headers::default(),
            payload: Bytes::new(),
            partition: Some(letter.partition.0),
            expect: None,
        }
    }

    fn describe(&self, message: &Arc<Message>) -> String {
        format!("message {}", message.position)
    }
}
