//! Connections that are cut, swallowed, or lose deliveries, through a proxy.

use std::thread::sleep;
use std::time::Duration;

use procession_tests::command::monotonic;

use crate::desk::{Desk, END_WITHIN, assert_exactly, judged, next_start};

/// Fifty cuts at odd moments, of the publisher's and of the consumer's connections.
pub(crate) fn cut_fifty_times(desk: &mut Desk) {
    let proxy = desk.proxy();
    let words = "produce --count 24000 --keys 200 --payload 64 --rate 4000 --audit";
    let mut produce = desk.start(&proxy.url(), "produce", words);
    let mut consume = desk.start(&proxy.url(), "consume", "consume --group g --idle-exit 4s");
    consume.wait_for("end", 100, END_WITHIN);
    let mut cuts = Vec::new();
    // Steps of a generator with a fixed seed: odd moments, the same ones every time.
    let mut state = 0x2545_f491_u64;
    for _ in 0..50 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        sleep(Duration::from_millis(20 + (state >> 33) % 130));
        proxy.cut();
        cuts.push(monotonic());
    }
    assert_eq!(produce.wait(END_WITHIN), 0, "{}", produce.said());
    assert_eq!(consume.wait(END_WITHIN), 0, "{}", consume.said());
    assert_exactly(&judged(&[&produce, &consume]), 24_000);
    assert!(
        proxy.connections() > 50,
        "only {} connections: nothing was cut",
        proxy.connections()
    );
    // The last one is followed by seconds of silence only if all had been handled by then.
    for at in cuts {
        let gap = next_start(&consume, at);
        assert!(
            gap.is_none_or(|gap| gap <= Duration::from_secs(3)),
            "after a cut: {gap:?}"
        );
    }
}

/// The tail of each round is lost on the way, with nothing behind it that would show the hole.
pub(crate) fn the_last_deliveries_are_dropped(desk: &mut Desk) {
    let proxy = desk.proxy();
    let mut consume = desk.start(&proxy.url(), "consume", "consume --group g --idle-exit 6s");
    let mut rounds = Vec::new();
    for round in 0..4_u64 {
        let dropped = proxy.dropped();
        if round > 0 {
            proxy.drop_deliveries(5);
        }
        let name = format!("produce-{round}");
        rounds.push(desk.produced(&name, 40));
        let all = usize::try_from((round + 1) * 40).unwrap();
        let began = monotonic();
        consume.wait_for("end", all, END_WITHIN);
        let took = Duration::from_nanos(monotonic() - began);
        if round > 0 {
            assert_eq!(proxy.dropped(), dropped + 5, "nothing was dropped");
            assert!(
                took <= Duration::from_secs(3),
                "lost deliveries came after {took:?}"
            );
        }
    }
    assert_eq!(consume.wait(END_WITHIN), 0, "{}", consume.said());
    let mut histories: Vec<_> = rounds.iter().collect();
    histories.push(&consume);
    assert_exactly(&judged(&histories), 160);
}

/// No end of file, no reset: only silence tells. At most 3 s to the next start.
pub(crate) fn swallowed(desk: &mut Desk) {
    let proxy = desk.proxy();
    // The publisher's connection is not the one that is swallowed.
    let words = "produce --count 16000 --keys 200 --payload 64 --rate 2000 --audit";
    let mut produce = desk.start(&desk.server.url, "produce", words);
    let mut consume = desk.start(&proxy.url(), "consume", "consume --group g --idle-exit 5s");
    consume.wait_for("end", 500, END_WITHIN);
    let mut holes = Vec::new();
    for _ in 0..2 {
        sleep(Duration::from_millis(700));
        proxy.black_hole();
        holes.push(monotonic());
        sleep(Duration::from_secs(2));
    }
    assert_eq!(produce.wait(END_WITHIN), 0, "{}", produce.said());
    assert_eq!(consume.wait(END_WITHIN), 0, "{}", consume.said());
    assert_exactly(&judged(&[&produce, &consume]), 16_000);
    for at in holes {
        // What had been received before the hole is still worked on: count from a little later.
        let gap = next_start(&consume, at + 300_000_000);
        assert!(
            gap.is_some_and(|gap| gap <= Duration::from_secs(3)),
            "after a black hole: {gap:?}"
        );
    }
}
