//! The flight recorder's memory: the last calls of one core and what it answered, in a bounded ring.
//!
//! What is written here at every call is as short as it can be had without looking anything up: what
//! was to be expected is left out, nothing is hashed, no memory is asked for. Steps, digests and masked
//! keys are made of it when somebody asks for a report (ADR 0014).

mod buffer;
mod op;
mod segment;
#[cfg(test)]
mod tests;
mod track;
mod unroll;

use procession_core::{
    Admit, Arrival, Config, Consumer, Dispatch, Mask, Refusal, Time, Token, seal_snapshot,
};

use crate::call::{Call, Poll, Settled};
use crate::report::{Head, write_config, write_end, write_outputs};
use crate::{Answer, Answers, Step};
use buffer::Buffer;
use segment::Segment;

/// The last calls of one core.
///
/// Each call is told before it is made and answered afterwards, so that the one that makes the core
/// panic is there. The ring has two segments: each begins with a snapshot of the core (the first of
/// all with a new core) and holds up to half of the bytes; a third one takes the place of the oldest.
#[derive(Clone, Debug)]
pub struct Flight {
    config: Config,
    /// Bytes of one segment.
    most: usize,
    before: Option<Segment>,
    now: Segment,
    /// What the second segment is written in.
    second: Option<Buffer>,
    /// The words of one answer, used again and again.
    words: Vec<u64>,
}

/// A ring that is smaller holds too little to be of use.
pub const FLIGHT_BYTES_MIN: usize = 64 << 10;

impl Flight {
    /// A recorder for a new core of this configuration, with room for so many bytes.
    #[must_use]
    pub fn new(config: &Config, bytes: usize) -> Self {
        let most = bytes.max(FLIGHT_BYTES_MIN) / 2;
        let memory = (Buffer::new(most), Vec::new());
        Self {
            config: config.clone(),
            most,
            before: None,
            now: Segment::new(0, keeps_keys(config), memory),
            second: Some(Buffer::new(most)),
            words: Vec::new(),
        }
    }

    /// Whether the segment is full: the next call should be made after [`turn`](Self::turn).
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.most <= self.now.bytes()
    }

    /// Whether the last call was not answered: the core panicked in it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.now.is_open()
    }

    /// Begins another segment, with the core as it is now: a snapshot that is not sealed.
    pub fn turn(&mut self, snapshot: Vec<u8>) {
        let used = self.before.take().map(Segment::into_memory);
        let memory = used.unwrap_or_else(|| {
            let second = self.second.take();
            (second.unwrap_or_else(|| Buffer::new(self.most)), Vec::new())
        });
        let mut new = Segment::new(self.now.time(), keeps_keys(&self.config), memory);
        *new.snapshot_mut() = Some(snapshot);
        self.before = Some(core::mem::replace(&mut self.now, new));
    }

    /// What a snapshot was, to be used for the next one.
    pub fn spare(&mut self) -> Vec<u8> {
        let before = self.before.as_mut();
        let used = before.and_then(|segment| segment.snapshot_mut().take());
        used.unwrap_or_default()
    }

    /// A call without a short form is about to be made.
    pub fn call(&mut self, at: Time, call: Call) {
        self.now.at(at);
        self.now.call(call);
    }

    /// It was answered.
    pub fn answered(&mut self, answer: &impl Answer) {
        self.words.clear();
        answer.words(&mut self.words);
        self.now.words(&self.words);
    }

    /// `offer` is about to be called.
    #[inline]
    pub fn offer<M>(&mut self, at: Time, arrival: &Arrival<M>) {
        self.now.at(at);
        self.now.offer(arrival);
    }

    /// What became of the offer.
    #[inline]
    pub fn offered(&mut self, admit: Result<Admit, Refusal>) {
        self.now.offered(admit);
    }

    /// `settle` is about to be called.
    #[inline]
    pub fn settle(&mut self, at: Time, token: Token, settled: Settled) {
        self.now.settle(at, token.to_bits(), settled);
    }

    /// Whether the core knew the token.
    #[inline]
    pub fn settled(&mut self, taken: bool) {
        self.now.settled(taken);
    }

    /// A poll is about to be made. One without a time takes that of the call before it.
    #[inline]
    pub fn poll(&mut self, at: Option<Time>, poll: Poll) {
        if let Some(at) = at {
            self.now.at(at);
        }
        self.now.poll(poll);
    }

    /// `poll_dispatch` is about to be called.
    #[inline]
    pub fn dispatch(&mut self, at: Time) {
        self.now.dispatch(at);
    }

    /// It was answered with nothing.
    #[inline]
    pub fn nothing(&mut self) {
        self.now.answered();
    }

    /// `poll_dispatch` was answered.
    #[inline]
    pub fn dispatched<M>(&mut self, dispatch: &Dispatch<M>) {
        self.now.dispatched(dispatch.token.to_bits(), dispatch);
    }

    fn oldest(&self) -> &Segment {
        self.before.as_ref().unwrap_or(&self.now)
    }

    /// The snapshot that the oldest calls follow, masked; none if the core was new then.
    fn snapshot(&self, mask: &Mask<'_>) -> Option<Vec<u8>> {
        let mut bytes = self.oldest().snapshot()?.to_vec();
        seal_snapshot(&mut bytes);
        let mut masked = Vec::with_capacity(bytes.len());
        match Consumer::restore(&self.config, &bytes, |_| Some(())) {
            Ok(core) => core.snapshot(Some(mask), |(), _| {}, &mut masked),
            // A core whose state is not sound any more: the report says so, by not replaying.
            Err(_) => debug_assert!(false, "a snapshot of our own is not restored"),
        }
        Some(masked)
    }

    /// The report: what the core was told and asked, from the oldest snapshot or from its start on, and
    /// what it answered. Takes long; a clone can be asked elsewhere.
    #[must_use]
    pub fn report(&self, head: &Head<'_>, mask: &Mask<'_>) -> String {
        let mut out = String::with_capacity(4 * (self.most + self.now.bytes()));
        head.write(&mut out);
        write_config(&self.config, &mut out);
        out.push_str("[inputs]\n");
        let mut digests = Vec::new();
        let first = Step {
            at: self.oldest().begun(),
            member: 0,
            call: self.snapshot(mask).map_or(Call::Start, Call::Restore),
        };
        first.line(&mut out);
        out.push('\n');
        let mut answers = Answers::default();
        answers.take(&[1]);
        digests.push(answers.short());
        let mut each = |step: &Step, digest: Option<u32>| {
            let mut step = step.clone();
            step.call.masked(mask);
            step.line(&mut out);
            out.push('\n');
            digests.extend(digest);
        };
        let mut rows = unroll::Rows::new(&mut answers, &mut each);
        for segment in self.before.iter().chain([&self.now]) {
            rows.segment(segment);
        }
        rows.end();
        write_outputs(&digests, &mut out);
        write_end(&mut out);
        out
    }
}

/// Whether a core of this configuration looks at more of a key than whether there is one.
const fn keeps_keys(config: &Config) -> bool {
    config.parked_keys > 0 || config.batch_key > 1 || config.sequence.is_some()
}
