//! Maps against their definition, and as an untrusted input.

use super::super::reading::{decode_map, decode_parked};
use super::super::window::Note;
use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

fn window(pool: &mut Pool, arrivals: &[(u64, bool)]) -> Window {
    let mut window = Window::EMPTY;
    for &(position, done) in arrivals {
        let entry = window.push(pool, Position(position), Note::digest(0));
        if done {
            pool.finish(entry);
        }
    }
    window.advance(pool);
    window
}

fn all(
    window: &Window,
    pool: &Pool,
    frontier: Position,
    keys: &[ParkedKey],
    out: &mut [u8],
) -> usize {
    let keys = keys.iter().copied();
    encode(
        (window, pool),
        frontier,
        Incarnation(5),
        (keys, &Marked::NONE),
        Kept::All,
        out,
    )
}

fn keys(count: u8) -> Vec<ParkedKey> {
    let key = |i: u8| ParkedKey {
        key: u128::from(i) * 7 + 1,
        since: Position(u64::from(i) * 3),
        mode: ParkedMode::ALL[usize::from(i) % 3],
    };
    (0..count).map(key).collect()
}

/// The ranges that the map must say, by definition.
fn expected(arrivals: &[(u64, bool)]) -> Vec<(Position, Position)> {
    let mut ranges: Vec<(Position, Position)> = Vec::new();
    let mut before_done = false;
    for &(position, done) in arrivals.iter().skip_while(|(_, done)| *done) {
        if done {
            match ranges.last_mut() {
                Some(last) if before_done => last.1 = Position(position + 1),
                _ => ranges.push((Position(position), Position(position + 1))),
            }
        }
        before_done = done;
    }
    ranges
}

proptest! {
    #[test]
    fn what_is_finished_beyond_the_frontier_comes_back(
        steps in proptest::collection::vec((1u64..4, any::<bool>()), 1..400),
        dense in any::<bool>(),
    ) {
        let mut at = 0;
        let arrivals: Vec<(u64, bool)> = steps.iter()
            .map(|&(step, done)| { at += if dense { 1 } else { step }; (at, done) }).collect();
        let mut pool = Pool::new(1024);
        let window = window(&mut pool, &arrivals);
        let Some(frontier) = window.first(&pool) else { return Ok(()) };
        let mut out = [0; 512];
        let len = all(&window, &pool, frontier, &[], &mut out);
        let want = expected(&arrivals);
        if want.is_empty() {
            prop_assert_eq!(len, 0);
        } else {
            prop_assert_eq!(decode_map(&out[..len], frontier).unwrap(), want);
        }
    }

    #[test]
    fn a_short_buffer_forgets_the_far_end_only(
        dones in proptest::collection::vec(any::<bool>(), 1..400), room in 23usize..60,
    ) {
        let arrivals: Vec<(u64, bool)> =
            dones.iter().enumerate().map(|(i, &d)| (i as u64 + 1, d)).collect();
        let mut pool = Pool::new(1024);
        let window = window(&mut pool, &arrivals);
        let Some(frontier) = window.first(&pool) else { return Ok(()) };
        let mut out = alloc::vec![0; room];
        let len = all(&window, &pool, frontier, &[], &mut out);
        let got = if len == 0 { Vec::new() } else { decode_map(&out[..len], frontier).unwrap() };
        // At least as far as a bitmap of this room.
        let end = frontier.0 + (room as u64 - 22) * 8;
        let end = got.last().map_or(end, |r| r.1.0.max(end));
        let want: Vec<_> = expected(&arrivals).into_iter()
            .filter(|r| r.0.0 < end).map(|r| (r.0, Position(r.1.0.min(end)))).collect();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn parked_keys_come_back_whatever_else_is_forgotten(
        dones in proptest::collection::vec(any::<bool>(), 1..400), count in 0u8..20, room in 0usize..100,
    ) {
        let arrivals: Vec<(u64, bool)> =
            dones.iter().enumerate().map(|(i, &d)| (i as u64 + 1, d)).collect();
        let mut pool = Pool::new(1024);
        let window = window(&mut pool, &arrivals);
        let Some(frontier) = window.first(&pool) else { return Ok(()) };
        let keys = keys(count);
        let mut out = alloc::vec![0; least(keys.len(), 0) + room];
        let len = all(&window, &pool, frontier, &keys, &mut out);
        let map = &out[..len];
        if len == 0 {
            prop_assert!(keys.is_empty());
            return Ok(());
        }
        prop_assert_eq!(decode_parked(map, frontier).unwrap(), keys);
        let done = |at: u64| arrivals.contains(&(at, true));
        for (from, to) in decode_map(map, frontier).unwrap() {
            prop_assert!((from.0..to.0).all(done));
        }
    }

    #[test]
    fn anything_else_is_refused_as_a_whole(
        flip in 0usize..150, bit in 0u8..8, cut in 0usize..80, count in 0u8..3,
    ) {
        let keys = keys(count);
        let arrivals: Vec<(u64, bool)> = (1..300).map(|i| (i, i % 3 == 0)).collect();
        let mut pool = Pool::new(1024);
        let window = window(&mut pool, &arrivals);
        let mut out = [0; 256];
        let len = all(&window, &pool, Position(1), &keys, &mut out);
        let good = &out[..len];
        let sound = |m: &[u8]| decode(m, Position(1), Some(Incarnation(5)), Position(300)).is_some();
        prop_assert!(sound(good));
        prop_assert!(!sound(&good[..(len - 1).saturating_sub(cut)]));
        let mut bad = good.to_vec();
        bad[flip % len] ^= 1 << bit;
        prop_assert!(!sound(&bad));
        prop_assert!(decode(good, Position(2), Some(Incarnation(5)), Position(300)).is_none());
        prop_assert!(decode(good, Position(1), Some(Incarnation(6)), Position(300)).is_none());
        prop_assert!(decode(good, Position(1), Some(Incarnation(5)), Position(297)).is_none());
    }

    #[test]
    fn of_bits_and_runs_that_is_written_which_is_shorter(
        runs in proptest::collection::vec((1u64..90, 1u64..200), 1..30), room in 23usize..300,
    ) {
        let mut arrivals = Vec::new();
        let mut at = 1;
        for &(waits, done) in &runs {
            arrivals.extend((at..at + waits).map(|p| (p, false)));
            arrivals.extend((at + waits..at + waits + done).map(|p| (p, true)));
            at += waits + done;
        }
        let mut pool = Pool::new(16_384);
        let window = window(&mut pool, &arrivals);
        let mut out = alloc::vec![0; room];
        let len = all(&window, &pool, Position(1), &[], &mut out);
        let got = if len == 0 { Vec::new() } else { decode_map(&out[..len], Position(1)).unwrap() };
        let want = expected(&arrivals);
        let bits = HEADER + (at as usize - 1).div_ceil(8);
        if got == want {
            prop_assert!(len <= bits);
        } else {
            // Neither fits: the near end is told, and no less of it than bits would tell.
            prop_assert!(bits > room && want.starts_with(&got[..got.len().saturating_sub(1)]));
            let reach = 1 + (room as u64 - HEADER as u64) * 8;
            let near = want.iter().filter(|r| r.0.0 < reach);
            let told: u64 = got.iter().map(|r| r.1.0 - r.0.0).sum();
            prop_assert!(near.map(|r| r.1.0.min(reach) - r.0.0).sum::<u64>() <= told);
        }
        if len > 0 && out[0] == VERSION_RUNS {
            // Strict: what is longer than it must be, or ends elsewhere, is no map.
            let end = got.last().map_or(0, |r| r.1.0);
            let sound = |end| decode(&out[..len], Position(1), None, Position(end)).is_some();
            prop_assert!(sound(end) && !sound(end - 1));
            let body = &out[HEADER..len];
            prop_assert_eq!(Runs::sound_end(body), Some(end - 1));
            for cut in 1..body.len() {
                let whole = Runs::sound_end(&body[..cut]);
                prop_assert!(whole.is_none_or(|e| got.iter().any(|r| r.1.0 == e + 1)));
            }
        }
    }

    #[test]
    fn suspects_come_back_and_whatever_else_is_said_of_them_is_refused(
        steps in proptest::collection::vec((1u64..9, 0u8..128, any::<bool>()), 0..33),
        mark in 0usize..3, count in 0u8..4, flip in 0usize..400, bit in 0u8..8,
    ) {
        let mut marked = Marked { mark: Mark::ALL[mark], ..Marked::NONE };
        let mut at = 1;
        for &(step, deaths, running) in &steps {
            at += step;
            let running = running && marked.mark == Mark::Lot;
            marked.push(Accused { position: Position(at), deaths, running });
        }
        let keys = keys(count);
        let pool = Pool::new(64);
        let mut out = [0; 512];
        let told = (keys.iter().copied(), &marked);
        let window = (&Window::EMPTY, &pool);
        let len = encode(window, Position(2), Incarnation(5), told, Kept::Keys, &mut out);
        let map = &mut out[..len];
        if !marked.is_some() && keys.is_empty() {
            prop_assert_eq!(len, 0);
            return Ok(());
        }
        let sound = |m: &[u8], end| decode(m, Position(2), None, Position(end)).map(|s| s.marked());
        let back = sound(map, at + 1).unwrap();
        prop_assert_eq!((back.mark, back.entries()), (marked.mark, marked.entries()));
        prop_assert_eq!(decode_parked(map, Position(2)).unwrap(), keys);
        // Signed as if it were right: nothing panics, and what is read makes sense.
        let at = HEADER + flip % (len - HEADER).max(1);
        if let Some(byte) = map.get_mut(at) {
            *byte ^= 1 << bit;
        }
        let (head, body) = map.split_at_mut(HEADER);
        let sum = checksum(&head[..18], body);
        head[18..22].copy_from_slice(&sum.to_le_bytes());
        if let Some(read) = sound(map, 10_000) {
            let entries = read.entries();
            prop_assert!(entries.is_sorted_by(|a, b| a.position < b.position));
            prop_assert!(entries.iter().all(|a| a.position.0 >= 2 && (!a.running || read.mark == Mark::Lot)));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = decode_map(&bytes, Position(u64::MAX));
        let _ = decode_map(&bytes, Position(0));
    }
}
