//! The driver on a scripted sink.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use procession_core::{Position, Span, Time};

use super::{
    Publish, PublishError, PublishObserver, PublisherHandle, PublisherOptions, Stored, publisher,
};
use crate::port::{Expect, Headers, Outgoing, PortError, PortErrorKind, SinkEvent, SinkReceipt};
use crate::testing::{ScriptSink, TestShell};
use crate::{Clock, Spawner};

#[derive(Clone, Default)]
struct Hooks(Arc<Mutex<Vec<String>>>);

impl PublishObserver for Hooks {
    fn accepted(&mut self, message: &Outgoing) {
        self.0
            .lock()
            .unwrap()
            .push(format!("accepted {}", message.id));
    }
    fn resolved(&mut self, message: &Outgoing, result: &Result<Stored, PublishError>) {
        let what = match result {
            Ok(_) => "stored",
            Err(PublishError::Unknown(_)) => "unknown",
            Err(_) => "refused",
        };
        self.0
            .lock()
            .unwrap()
            .push(format!("{what} {}", message.id));
    }
}

struct World {
    shell: TestShell,
    sink: ScriptSink,
    hooks: Hooks,
    handle: PublisherHandle,
}

impl World {
    fn new(sink: ScriptSink, messages: u32) -> Self {
        Self::with(sink, messages, 1)
    }

    fn with(sink: ScriptSink, messages: u32, batch: u32) -> Self {
        let shell = TestShell::new();
        let hooks = Hooks::default();
        let mut options = PublisherOptions::default();
        options.core.messages = messages;
        options.core.in_flight = messages;
        options.core.low_water_percent = 100;
        options.core.batch = batch;
        let (handle, driver) =
            publisher(sink.port(), shell.clone(), hooks.clone(), options).unwrap();
        shell.spawn(Box::pin(driver));
        shell.run();
        Self {
            shell,
            sink,
            hooks,
            handle,
        }
    }

    fn publish(&self, id: &str, lane: u64, wait: bool) -> Publish {
        self.handle
            .publish(outgoing(id), Some(lane), self.in_millis(1_000), wait)
    }

    fn in_millis(&self, millis: u64) -> Time {
        self.shell.now() + Span::from_millis(millis)
    }

    fn hooks(&self) -> Vec<String> {
        core::mem::take(&mut self.hooks.0.lock().unwrap())
    }

    fn sent(&self) -> Vec<String> {
        self.sink
            .sent()
            .into_iter()
            .map(|(ticket, message)| {
                self.sink.store(ticket);
                message.id.to_string()
            })
            .collect()
    }
}

fn outgoing(id: &str) -> Outgoing {
    Outgoing {
        topic: "t".into(),
        key: None,
        id: id.into(),
        identity: 7,
        copy: 0,
        headers: Headers::default(),
        payload: Bytes::from_static(b"payload"),
        partition: None,
        expect: None,
    }
}

fn poll(publish: &mut Publish) -> Option<Result<Stored, PublishError>> {
    match Pin::new(publish).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

#[test]
fn a_publish_is_accepted_sent_and_resolved_once() {
    let world = World::new(ScriptSink::default(), 10);
    let mut a = world.publish("a", 1, true);
    assert_eq!(poll(&mut a), None);
    world.shell.run();
    assert_eq!(world.hooks(), ["accepted a"]);
    assert_eq!((poll(&mut a), world.handle.outstanding()), (None, 1));
    assert_eq!(world.sent(), ["a"]);
    world.shell.run();
    let stored = Stored {
        partition: 0,
        position: Position(1),
        duplicate: false,
    };
    assert_eq!(poll(&mut a), Some(Ok(stored)));
    assert_eq!(world.hooks(), ["stored a"]);
    assert_eq!(world.handle.outstanding(), 0);
}

#[test]
fn one_key_goes_one_by_one_in_the_order_of_first_polls() {
    let world = World::new(ScriptSink::default(), 10);
    let mut all = Vec::new();
    for (id, lane) in [("a1", 1), ("a2", 1), ("b1", 2)] {
        let mut publish = world.publish(id, lane, true);
        assert_eq!(poll(&mut publish), None);
        all.push(publish);
    }
    world.shell.run();
    assert_eq!(world.sent(), ["a1", "b1"]);
    world.shell.run();
    assert_eq!(world.sent(), ["a2"]);
    world.shell.run();
    assert!(all.iter_mut().all(|p| matches!(poll(p), Some(Ok(_)))));
}

/// Lanes are hashes, and a publish may expect its place: only what is really of one key goes together.
#[test]
fn several_of_a_key_go_together_and_each_has_its_own_result() {
    let world = World::with(ScriptSink::default(), 10, 3);
    let begin = |id: &str, key: &'static str, expect: Option<Expect>| {
        let message = Outgoing {
            key: Some(Bytes::from_static(key.as_bytes())),
            expect,
            ..outgoing(id)
        };
        let deadline = world.in_millis(1_000);
        let mut publish = world.handle.publish(message, Some(1), deadline, true);
        assert_eq!(poll(&mut publish), None);
        publish
    };
    let mut all: Vec<Publish> = [
        ("a1", "a"),
        ("a2", "a"),
        ("a3", "a"),
        ("a4", "a"),
        ("b1", "b"),
    ]
    .into_iter()
    .map(|(id, key)| begin(id, key, None))
    .collect();
    all.push(begin("b2", "b", Some(Expect::First)));
    world.shell.run();
    assert_eq!(world.sink.together(), [3]);
    let refused = PortError::new(PortErrorKind::Refused, "there is a copy among them");
    for (ticket, _) in world.sink.sent() {
        world
            .sink
            .answer(ticket, SinkReceipt::Apart(refused.clone()));
    }
    world.shell.run();
    let mut order = Vec::new();
    for _ in 0..6 {
        order.extend(world.sent());
        world.shell.run();
    }
    assert_eq!(order, ["a1", "a2", "a3", "a4", "b1", "b2"]);
    assert_eq!(
        world.sink.together(),
        [0; 0],
        "nothing fits to its neighbour"
    );
    assert!(all.iter_mut().all(|p| matches!(poll(p), Some(Ok(_)))));
}

#[test]
fn dropping_before_acceptance_sends_nothing_and_after_it_changes_nothing() {
    let world = World::new(ScriptSink::default(), 10);
    drop(world.publish("never polled", 1, true));
    let mut early = world.publish("early", 1, true);
    assert_eq!(poll(&mut early), None);
    drop(early);
    let mut late = world.publish("late", 1, true);
    assert_eq!(poll(&mut late), None);
    world.shell.run();
    drop(late);
    assert_eq!(world.sent(), ["late"]);
    world.shell.run();
    assert_eq!(world.hooks(), ["accepted late", "stored late"]);
}

#[test]
fn acceptance_is_told_apart_from_the_result() {
    let world = World::new(ScriptSink::default(), 1);
    let enqueue = |id: &str, lane, wait| {
        let deadline = world.in_millis(1_000);
        world
            .handle
            .enqueue(outgoing(id), Some(lane), deadline, wait)
    };
    let poll_enqueue = |enqueue: &mut super::Enqueue| {
        Pin::new(enqueue).poll(&mut Context::from_waker(Waker::noop()))
    };
    let mut a = enqueue("a", 1, true);
    let mut b = enqueue("b", 2, true);
    let mut never = enqueue("never", 3, true);
    let mut no = enqueue("no", 4, false);
    for enqueue in [&mut a, &mut b, &mut never, &mut no] {
        assert!(poll_enqueue(enqueue).is_pending());
    }
    world.shell.run();
    let Poll::Ready(Ok(mut receipt)) = poll_enqueue(&mut a) else {
        panic!("there was room for one");
    };
    assert!(matches!(
        poll_enqueue(&mut no),
        Poll::Ready(Err(PublishError::Full))
    ));
    // Back-pressure: the next is accepted when the first has its result.
    assert!(poll_enqueue(&mut b).is_pending() && poll(&mut receipt).is_none());
    drop(never);
    assert_eq!(world.sent(), ["a"]);
    world.shell.run();
    assert!(matches!(poll(&mut receipt), Some(Ok(_))));
    let Poll::Ready(Ok(receipt)) = poll_enqueue(&mut b) else {
        panic!("there is room for the second");
    };
    // A dropped receipt changes nothing.
    drop(receipt);
    assert_eq!(world.sent(), ["b"]);
    world.shell.run();
    assert_eq!(world.sent(), Vec::<String>::new());
    let told = ["accepted a", "stored a", "accepted b", "stored b"];
    assert_eq!(world.hooks(), told);
    world.handle.close(world.in_millis(10));
    world.shell.run();
    let mut late = enqueue("late", 5, true);
    assert!(matches!(
        poll_enqueue(&mut late),
        Poll::Ready(Err(PublishError::Closed))
    ));
}

#[test]
fn without_room_a_publish_waits_in_order_or_fails() {
    let world = World::new(ScriptSink::default(), 1);
    let mut a = world.publish("a", 1, true);
    let mut b = world.publish("b", 2, true);
    let mut c = world.publish("c", 3, true);
    let mut no = world.publish("no", 4, false);
    for publish in [&mut a, &mut b, &mut c, &mut no] {
        assert_eq!(poll(publish), None);
    }
    world.shell.run();
    assert_eq!(poll(&mut no), Some(Err(PublishError::Full)));
    drop(b);
    assert_eq!(world.sent(), ["a"]);
    world.shell.run();
    assert_eq!(world.sent(), ["c"]);
    world.shell.run();
    assert!(matches!(poll(&mut a), Some(Ok(_))));
    assert!(matches!(poll(&mut c), Some(Ok(_))));
    assert_eq!(
        world.hooks(),
        ["accepted a", "stored a", "accepted c", "stored c"]
    );
}

#[test]
fn who_waits_for_room_until_the_deadline_is_told_full() {
    let world = World::new(ScriptSink::default(), 1);
    let mut a = world.publish("a", 1, true);
    assert_eq!(poll(&mut a), None);
    let mut b = world
        .handle
        .publish(outgoing("b"), Some(2), world.in_millis(100), true);
    assert_eq!(poll(&mut b), None);
    world.shell.run();
    world.shell.advance(Span::from_millis(100));
    assert_eq!(poll(&mut b), Some(Err(PublishError::Full)));
    assert_eq!(poll(&mut a), None);
}

#[test]
fn without_an_answer_the_result_is_unknown_and_unsent_ones_are_refused() {
    let world = World::new(ScriptSink::default(), 10);
    let mut a1 = world.publish("a1", 1, true);
    let mut a2 = world.publish("a2", 1, true);
    assert_eq!((poll(&mut a1), poll(&mut a2)), (None, None));
    world.shell.run();
    world.shell.advance(Span::from_secs(2));
    assert!(matches!(poll(&mut a1), Some(Err(PublishError::Unknown(_)))));
    assert!(matches!(poll(&mut a2), Some(Err(PublishError::Refused(_)))));
    assert_eq!(world.hooks().len(), 4);
    // A late answer changes nothing.
    assert_eq!(world.sent().first().map(String::as_str), Some("a1"));
    world.shell.run();
    assert_eq!(world.hooks(), Vec::<String>::new());
}

#[test]
fn a_refusal_carries_the_words_of_the_broker() {
    let world = World::new(ScriptSink::default(), 10);
    let mut a = world.publish("a", 1, true);
    assert_eq!(poll(&mut a), None);
    world.shell.run();
    for (ticket, _) in world.sink.sent() {
        let error = PortError::new(PortErrorKind::TooLarge, "1.1 MB are over the limit");
        world.sink.answer(ticket, SinkReceipt::NotStored(error));
    }
    world.shell.run();
    assert_eq!(
        poll(&mut a),
        Some(Err(PublishError::Refused(
            "1.1 MB are over the limit".into()
        )))
    );
}

#[test]
fn a_lost_connection_sends_again_and_resolves_once() {
    let world = World::new(ScriptSink::default(), 10);
    let mut a = world.publish("a", 1, true);
    assert_eq!(poll(&mut a), None);
    world.shell.run();
    assert_eq!(world.sink.sent().len(), 1);
    world.sink.send(SinkEvent::Disconnected);
    world.shell.run();
    assert!(!world.handle.is_connected());
    world.sink.send(SinkEvent::Connected);
    world.shell.run();
    let again = world.sink.sent();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].0.attempt, 2);
    world.sink.store(again[0].0);
    world.shell.run();
    assert!(matches!(poll(&mut a), Some(Ok(_))));
    assert_eq!(world.hooks(), ["accepted a", "stored a"]);
}

#[test]
fn close_waits_for_results_and_refuses_what_comes_later() {
    let world = World::new(ScriptSink::default(), 1);
    let mut a = world.publish("a", 1, true);
    let mut waits = world.publish("waits", 2, true);
    assert_eq!((poll(&mut a), poll(&mut waits)), (None, None));
    world.shell.run();
    world.handle.close(world.in_millis(500));
    world.shell.run();
    assert_eq!(poll(&mut waits), Some(Err(PublishError::Closed)));
    let mut late = world.publish("late", 3, true);
    assert_eq!(poll(&mut late), Some(Err(PublishError::Closed)));
    assert!(!world.sink.is_closed());
    assert_eq!(world.sent(), ["a"]);
    world.shell.run();
    assert!(matches!(poll(&mut a), Some(Ok(_))));
    assert!(world.sink.is_closed());
    assert_eq!(world.shell.tasks(), 0);
    let mut ended = Box::pin(world.handle.ended());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(ended.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn close_ends_by_its_deadline() {
    let world = World::new(ScriptSink::default(), 10);
    let mut a = world.publish("a", 1, true);
    assert_eq!(poll(&mut a), None);
    world.shell.run();
    world.handle.close(world.in_millis(200));
    world.shell.run();
    world.shell.advance(Span::from_millis(200));
    assert!(matches!(poll(&mut a), Some(Err(PublishError::Unknown(_)))));
    assert_eq!(world.shell.tasks(), 0);
}

#[test]
fn a_dropped_driver_resolves_everything() {
    let world = World::new(ScriptSink::default(), 2);
    let mut all: Vec<Publish> = [("a1", 1), ("a2", 1), ("waits", 2)]
        .into_iter()
        .map(|(id, lane)| world.publish(id, lane, true))
        .collect();
    for publish in &mut all {
        assert_eq!(poll(publish), None);
    }
    world.shell.run();
    world.shell.shut_down();
    let results: Vec<_> = all.iter_mut().map(|p| poll(p).expect("L2")).collect();
    assert!(matches!(results[0], Err(PublishError::Unknown(_))));
    assert!(matches!(results[1], Err(PublishError::Refused(_))));
    assert_eq!(results[2], Err(PublishError::Closed));
    assert_eq!(world.hooks().len(), 4);
}

#[test]
fn what_dropped_futures_leave_behind_is_swept_out() {
    let shell = TestShell::new();
    let sink = ScriptSink::eager();
    let (handle, driver) = publisher(
        sink.port(),
        shell.clone(),
        super::NoPublishObserver,
        PublisherOptions::default(),
    )
    .unwrap();
    // The driver does not run: 10,000 publishes are begun and dropped.
    let deadline = shell.now() + Span::from_secs(1);
    for _ in 0..10_000 {
        let mut publish = handle.publish(outgoing("gone"), None, deadline, true);
        assert_eq!(poll(&mut publish), None);
    }
    assert!(handle.waiting() <= 1_024, "{} cells", handle.waiting());
    drop(driver);
}

#[test]
fn a_key_that_only_a_new_connection_can_free_gets_one() {
    let world = World::new(ScriptSink::default(), 10);
    let mut a1 = world.publish("a1", 1, true);
    assert_eq!(poll(&mut a1), None);
    world.shell.run();
    for (ticket, _) in world.sink.sent() {
        let error = PortError::new(PortErrorKind::TimedOut, "no answer in 500 ms");
        world.sink.answer(ticket, SinkReceipt::Unknown(error));
    }
    world.shell.run();
    // Sent again without luck, until its deadline.
    for _ in 0..20 {
        world.shell.advance(Span::from_millis(100));
        for (ticket, _) in world.sink.sent() {
            let error = PortError::new(PortErrorKind::TimedOut, "no answer in 500 ms");
            world.sink.answer(ticket, SinkReceipt::Unknown(error));
        }
        world.shell.run();
    }
    assert!(matches!(poll(&mut a1), Some(Err(PublishError::Unknown(_)))));
    world.shell.advance(Span::from_secs(1));
    assert_eq!(world.sink.reconnects(), 1);
    // The key goes on, and nothing asks for another connection.
    let mut a2 = world.publish("a2", 1, true);
    assert_eq!(poll(&mut a2), None);
    world.shell.run();
    assert_eq!(world.sent(), ["a2"]);
    world.shell.run();
    assert!(matches!(poll(&mut a2), Some(Ok(_))));
    world.shell.advance(Span::from_secs(60));
    assert_eq!(world.sink.reconnects(), 1);
}
