//! Pull requests of one session: what may be asked for, what was asked for, how each ends.

use core::time::Duration;

use tokio::time::Instant;

/// Messages of one pull at most: batches of 200 to 1,000 stay in the cache and are fastest.
const BATCH_MAX: u64 = 1_000;
/// A further pull is sent while the one before still waits, once this little is left of it.
const REFILL_BELOW: u64 = 500;
/// Further pulls ask for no less than this, unless nothing waits: many small ones cost more.
const REFILL_AT_LEAST: u64 = 100;
/// Pulls that wait at once.
const WAITING_MAX: usize = 2;
/// How long a pull waits at the server.
const EXPIRES: Duration = Duration::from_secs(30);
/// What a session may be silent for beyond two heartbeats.
const PATIENCE: Duration = Duration::from_millis(50);
/// Without credit, a pull that delivers nothing keeps the consumer alive and the line checked.
const KEEPALIVE: Duration = Duration::from_secs(1);
/// Waiting time after a pull that the server refused.
const REFUSED: Duration = Duration::from_millis(100);

/// The books of a session's pulls. Totals only grow, so a grant can be neither lost nor doubled.
#[derive(Debug)]
pub(crate) struct Pulls {
    /// What the session may have delivered in all.
    granted: Amount,
    /// What it has delivered, as records are charged.
    received: Amount,
    /// What waiting pulls may still bring, as the server counts.
    waiting: Amount,
    open: Vec<Pull>,
    next: u64,
    /// `max_bytes` of a pull at most, so that all sessions together stay far below the 64 MB that a
    /// server buffers for a client.
    bytes_max: u64,
    /// What the largest message can take with everything that the server counts.
    message_max: u64,
    /// How often the server tells that a waiting pull still waits.
    heartbeat: Duration,
    /// The next message did not fit into a pull: the next pull asks for one, of any size.
    oversize: bool,
    not_before: Option<Instant>,
    /// When something of this session was last heard or asked.
    heard: Instant,
}

/// Messages and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Amount {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Pull {
    number: u64,
    asked: Amount,
}

/// A pull to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PullRequest {
    pub(crate) number: u64,
    pub(crate) batch: u64,
    pub(crate) max_bytes: u64,
    pub(crate) heartbeat: Duration,
}

impl PullRequest {
    /// The request's body. It never goes without `expires`, nor without `max_bytes`: so every pull
    /// ends with a status.
    pub(crate) fn body(&self) -> String {
        format!(
            "{{\"batch\":{},\"max_bytes\":{},\"expires\":{},\"idle_heartbeat\":{}}}",
            self.batch,
            self.max_bytes,
            EXPIRES.as_nanos(),
            self.heartbeat.as_nanos()
        )
    }
}

impl Pulls {
    pub(crate) fn new(now: Instant, heartbeat: Duration, bytes_max: u64, message_max: u64) -> Self {
        Self {
            granted: Amount::default(),
            received: Amount::default(),
            waiting: Amount::default(),
            open: Vec::with_capacity(WAITING_MAX + 1),
            next: 1,
            bytes_max,
            message_max,
            heartbeat,
            oversize: false,
            not_before: None,
            heard: now,
        }
    }

    /// New totals. Lower ones than before are ignored: they were overtaken.
    pub(crate) fn grant(&mut self, messages: u64, bytes: u64) {
        self.granted.messages = self.granted.messages.max(messages);
        self.granted.bytes = self.granted.bytes.max(bytes);
    }

    /// One message, whatever the credit: the first of a session, by which the log is recognised.
    pub(crate) fn first(&mut self, now: Instant) -> PullRequest {
        self.open(
            now,
            Amount {
                messages: 1,
                bytes: self.message_max,
            },
        )
    }

    /// The next pull, if one is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<PullRequest> {
        if self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        let free = |granted: u64, received: u64, waiting: u64| {
            granted.saturating_sub(received).saturating_sub(waiting)
        };
        let messages = free(
            self.granted.messages,
            self.received.messages,
            self.waiting.messages,
        );
        let bytes = free(self.granted.bytes, self.received.bytes, self.waiting.bytes);
        let idle = self.waiting.messages == 0;
        if messages == 0 || bytes == 0 {
            let due = self.open.is_empty() && self.heard + KEEPALIVE <= now;
            // `max_bytes` of 1 fits no message.
            return due.then(|| {
                self.open(
                    now,
                    Amount {
                        messages: 0,
                        bytes: 0,
                    },
                )
            });
        }
        if self.oversize {
            // Alone, so that its end is told apart from that of others.
            if !idle {
                return None;
            }
            self.oversize = false;
            return Some(self.open(
                now,
                Amount {
                    messages: 1,
                    bytes: self.message_max,
                },
            ));
        }
        let batch = messages.min(BATCH_MAX);
        let max_bytes = bytes.min(self.bytes_max);
        let refill = self.waiting.messages < REFILL_BELOW
            && REFILL_AT_LEAST <= batch
            && self.waiting.bytes < self.bytes_max
            && self.open.len() < WAITING_MAX;
        (idle || refill).then(|| {
            self.open(
                now,
                Amount {
                    messages: batch,
                    bytes: max_bytes,
                },
            )
        })
    }

    /// A message arrived: what it is charged, and what the server counted.
    pub(crate) fn message(&mut self, now: Instant, charged: u64, counted: u64) {
        self.heard = now;
        self.received.messages += 1;
        self.received.bytes += charged;
        self.waiting.messages = self.waiting.messages.saturating_sub(1);
        self.waiting.bytes = self.waiting.bytes.saturating_sub(counted);
    }

    /// The overlapping message arrived: nobody granted it.
    pub(crate) fn overlap(&mut self, now: Instant, counted: u64) {
        self.message(now, 0, counted);
        self.received.messages -= 1;
    }

    /// A heartbeat.
    pub(crate) fn heartbeat(&mut self, now: Instant) {
        self.heard = now;
    }

    /// A pull ended with so much undelivered; `None`: all that was asked for. False when there is
    /// no such pull.
    pub(crate) fn end(&mut self, now: Instant, number: u64, left: Option<Amount>) -> bool {
        self.heard = now;
        let Some(at) = self.open.iter().position(|pull| pull.number == number) else {
            return false;
        };
        let pull = self.open.swap_remove(at);
        let left = left.unwrap_or(pull.asked);
        // What a keepalive did not deliver was never on the books.
        let left = Amount {
            messages: left.messages.min(pull.asked.messages),
            bytes: left.bytes.min(pull.asked.bytes),
        };
        self.waiting.messages = self.waiting.messages.saturating_sub(left.messages);
        self.waiting.bytes = self.waiting.bytes.saturating_sub(left.bytes);
        if self.open.is_empty() {
            self.waiting = Amount::default();
        }
        true
    }

    /// The next message is larger than what pull `number` allowed.
    pub(crate) fn too_large(&mut self, now: Instant, number: u64, left: Option<Amount>) {
        let keepalive = self
            .open
            .iter()
            .any(|pull| pull.number == number && pull.asked.messages == 0);
        if self.end(now, number, left) && !keepalive {
            self.oversize = true;
        }
    }

    /// The server refused pull `number`: not again at once.
    pub(crate) fn refused(&mut self, now: Instant, number: u64) {
        if self.end(now, number, None) {
            self.not_before = Some(now + REFUSED);
        }
    }

    /// Whether the server owes a sign of life and has been silent for too long.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        self.is_waiting() && self.heard + self.silence() <= now
    }

    /// Silence after which a session is over.
    pub(crate) fn silence(&self) -> Duration {
        self.heartbeat * 2 + PATIENCE
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    /// When to look again.
    pub(crate) fn wake_at(&self, now: Instant) -> Instant {
        let at = if self.is_waiting() {
            self.heard + self.silence()
        } else {
            self.heard + KEEPALIVE
        };
        match self.not_before {
            Some(until) if now < until => at.min(until),
            _ => at,
        }
    }

    fn open(&mut self, now: Instant, asked: Amount) -> PullRequest {
        let number = self.next;
        self.next += 1;
        self.not_before = None;
        // The first heartbeat is due after the request, not after what was heard before it.
        self.heard = now;
        self.waiting.messages += asked.messages;
        self.waiting.bytes += asked.bytes;
        self.open.push(Pull { number, asked });
        PullRequest {
            number,
            batch: asked.messages.max(1),
            max_bytes: asked.bytes.max(1),
            heartbeat: self.heartbeat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_millis(500);

    fn pulls() -> (Pulls, Instant) {
        let now = Instant::now();
        (Pulls::new(now, HEARTBEAT, 1 << 20, 2 << 20), now)
    }

    #[test]
    fn nothing_without_credit_but_a_sign_of_life() {
        let (mut pulls, now) = pulls();
        assert_eq!(pulls.poll(now), None);
        let keepalive = pulls.poll(now + KEEPALIVE).unwrap();
        assert_eq!((keepalive.batch, keepalive.max_bytes), (1, 1));
        assert_eq!(pulls.poll(now + KEEPALIVE * 2), None, "one is enough");
        // Its end asks for no large message, and leaves no credit behind.
        pulls.too_large(now + KEEPALIVE * 2, keepalive.number, None);
        pulls.grant(10, 1_000);
        let pull = pulls.poll(now + KEEPALIVE * 2).unwrap();
        assert_eq!((pull.batch, pull.max_bytes), (10, 1_000));
    }

    #[test]
    fn never_asks_for_more_than_is_granted() {
        // S7: a random walk over grants, deliveries and ends; what was asked for and is still to
        // come plus what came never exceeds the grant.
        let (mut pulls, now) = pulls();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut open: Vec<(u64, u64, u64)> = Vec::new();
        let (mut granted, mut received) = (0, 0);
        for _ in 0..20_000 {
            match random(4) {
                0 => {
                    granted += random(700);
                    pulls.grant(granted, granted * 500);
                }
                1 => {
                    while let Some(pull) = pulls.poll(now) {
                        open.push((pull.number, pull.batch, pull.max_bytes));
                    }
                }
                2 => {
                    if let Some(pull) = open.first_mut() {
                        let take = random(pull.1 + 1);
                        for _ in 0..take {
                            pulls.message(now, 300, 400);
                            pull.1 -= 1;
                            pull.2 = pull.2.saturating_sub(400);
                            received += 1;
                        }
                    }
                }
                _ => {
                    if !open.is_empty() {
                        let (number, messages, bytes) = open.remove(0);
                        pulls.end(now, number, Some(Amount { messages, bytes }));
                    }
                }
            }
            let coming: u64 = open.iter().map(|pull| pull.1).sum();
            assert!(
                received + coming <= granted,
                "{received} + {coming} > {granted}"
            );
            assert!(open.len() <= WAITING_MAX);
        }
        assert!(1_000 < received);
    }

    #[test]
    fn a_large_message_is_fetched_alone() {
        let (mut pulls, now) = pulls();
        pulls.grant(100, 1_000);
        let pull = pulls.poll(now).unwrap();
        pulls.too_large(
            now,
            pull.number,
            Some(Amount {
                messages: 100,
                bytes: 1_000,
            }),
        );
        let alone = pulls.poll(now).unwrap();
        assert_eq!((alone.batch, alone.max_bytes), (1, 2 << 20));
        pulls.message(now, 900, 1_000_000);
        assert!(pulls.end(
            now,
            alone.number,
            Some(Amount {
                messages: 0,
                bytes: 5
            })
        ));
        let next = pulls.poll(now).unwrap();
        assert_eq!((next.batch, next.max_bytes), (99, 100));
    }

    #[test]
    fn a_refused_pull_waits() {
        let (mut pulls, now) = pulls();
        pulls.grant(5, 5_000);
        let pull = pulls.poll(now).unwrap();
        pulls.refused(now, pull.number);
        assert_eq!(pulls.poll(now), None);
        assert_eq!(pulls.wake_at(now), now + REFUSED);
        assert_eq!(pulls.poll(now + REFUSED).unwrap().batch, 5);
    }

    #[test]
    fn silence_is_two_heartbeats() {
        let (mut pulls, now) = pulls();
        assert!(!pulls.is_silent(now + pulls.silence()), "nothing was asked");
        pulls.grant(5, 5_000);
        pulls.poll(now).unwrap();
        pulls.heartbeat(now + HEARTBEAT);
        assert!(!pulls.is_silent(now + pulls.silence()));
        assert!(pulls.is_silent(now + HEARTBEAT + pulls.silence()));
    }

    #[test]
    fn overtaken_grants_change_nothing() {
        let (mut pulls, now) = pulls();
        pulls.grant(10, 1_000);
        pulls.grant(5, 500);
        assert_eq!(pulls.poll(now).unwrap().batch, 10);
    }
}
