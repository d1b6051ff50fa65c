//! A digest of everything that a core answers: tokens, positions, verdicts; never keys or ids.

use procession_core::{
    Admit, Anchor, Commit, Dispatch, Drained, Flow, Grant, Notice, ProgressMap, Release, Start,
    Wake, Why,
};

use crate::mix;

/// The rolling digest of all answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answers(u64);

impl Answers {
    /// Takes an answer in.
    pub fn take(&mut self, words: &[u64]) {
        let folded = words.iter().fold(self.0 ^ words.len() as u64, |h, &w| {
            mix(h.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ w)
        });
        self.0 = mix(folded.wrapping_add(0x6A09_E667_F3BC_C909));
    }

    /// What is written down of it.
    pub const fn short(&self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What an answer is made of. The first word names its kind.
pub trait Answer {
    /// Its words, into `out`.
    fn words(&self, out: &mut Vec<u64>);
}

impl<T: Answer> Answer for Option<T> {
    fn words(&self, out: &mut Vec<u64>) {
        match self {
            Some(answer) => answer.words(out),
            None => out.push(0),
        }
    }
}

/// A call that answers nothing.
impl Answer for () {
    fn words(&self, out: &mut Vec<u64>) {
        out.push(1);
    }
}

/// Whether a token was known.
impl Answer for bool {
    fn words(&self, out: &mut Vec<u64>) {
        out.extend([2, u64::from(*self)]);
    }
}

/// What became of an offer; refusals follow the admissions.
impl Answer for Result<Admit, procession_core::Refusal> {
    fn words(&self, out: &mut Vec<u64>) {
        let code = match self {
            Ok(Admit::Queued) => 0,
            Ok(Admit::Duplicate) => 1,
            Ok(Admit::Replayed) => 2,
            Ok(Admit::Void) => 3,
            Err(procession_core::Refusal::Credit) => 4,
            Err(procession_core::Refusal::Window) => 5,
            Err(procession_core::Refusal::TooLarge) => 6,
        };
        out.extend([3, code]);
    }
}

/// How many identities were restored.
impl Answer for Result<u32, procession_core::NotRestored> {
    fn words(&self, out: &mut Vec<u64>) {
        use procession_core::NotRestored::{TooLate, Unsound};
        out.extend(match self {
            Ok(count) => [17, u64::from(*count)],
            Err(Unsound) => [18, 0],
            Err(TooLate) => [18, 1],
        });
    }
}

impl Answer for procession_core::Token {
    fn words(&self, out: &mut Vec<u64>) {
        out.extend([4, self.to_bits()]);
    }
}

impl Answer for Start {
    fn words(&self, out: &mut Vec<u64>) {
        let (partition, epoch) = (u64::from(self.partition.0), self.epoch.0);
        out.extend([5, partition, epoch, self.session.0, self.at.0]);
        anchor(self.expect, out);
    }
}

impl<M> Answer for Dispatch<M> {
    fn words(&self, out: &mut Vec<u64>) {
        out.extend(dispatch_words([
            self.token.to_bits(),
            u64::from(self.partition.0),
            self.epoch.0,
            self.position.0,
            u64::from(self.attempt),
            self.deadline.as_nanos(),
        ]));
    }
}

/// A dispatch: token, partition, epoch, position, attempt, deadline.
pub(crate) const fn dispatch_words(told: [u64; 6]) -> [u64; 7] {
    let [token, partition, epoch, position, attempt, deadline] = told;
    [6, token, partition, epoch, position, attempt, deadline]
}

impl<M> Answer for procession_core::DeadLetter<'_, M> {
    fn words(&self, out: &mut Vec<u64>) {
        let why = match self.why {
            Why::Exhausted => 0,
            Why::Rejected => 1,
            Why::Malformed => 2,
            Why::TooLarge => 3,
            Why::Keyless => 4,
            Why::Parked => 5,
            Why::Discarded => 6,
            Why::Expired => 7,
            Why::Gap => 8,
            Why::Suspect => 9,
        };
        out.extend([
            7,
            self.token.to_bits(),
            u64::from(self.partition.0),
            self.position.0,
            why,
            u64::from(self.attempts),
            u64::from(self.shorten),
        ]);
    }
}

impl<M> Answer for procession_core::Copied<M> {
    fn words(&self, out: &mut Vec<u64>) {
        out.extend([8, u64::from(self.partition.0), self.position.0]);
        // Only then, so that answers of other orders are what they were.
        out.extend(self.by_sequence.then_some(1));
    }
}

impl<M> Answer for procession_core::Passed<M> {
    fn words(&self, out: &mut Vec<u64>) {
        let (partition, why) = (u64::from(self.partition.0), self.why as u64);
        out.extend([19, partition, self.position.0, why]);
    }
}

impl Answer for procession_core::SequenceGap {
    fn words(&self, out: &mut Vec<u64>) {
        let partition = u64::from(self.partition.0);
        out.extend([20, partition, self.position.0, self.expected, self.found]);
    }
}

impl Answer for (Commit, &[u8]) {
    fn words(&self, out: &mut Vec<u64>) {
        let (commit, map) = self;
        out.extend([
            9,
            u64::from(commit.partition.0),
            commit.epoch.0,
            commit.write,
            commit.frontier.0,
            commit.finished,
            u64::from(commit.last),
            map.len() as u64,
        ]);
        anchor(commit.anchor, out);
        let read = ProgressMap::read(map, commit.frontier);
        let hides = |read: &ProgressMap<'_>| {
            read.parked().next().is_some() || read.digests().next().is_some()
        };
        if let Some(read) = read.filter(hides) {
            parked(&read, out);
            out.extend(read.digests().map(|d| d.0.0));
        } else {
            out.extend(map.chunks(8).map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            }));
        }
    }
}

/// What a map with parked keys or digests says, these aside: an answer is the same whatever they are.
fn parked(read: &ProgressMap<'_>, out: &mut Vec<u64>) {
    let places = read.parked().map(|k| (k.since.0, k.mode as u64));
    let mut places: Vec<_> = places.collect();
    places.sort_unstable();
    out.push(places.len() as u64);
    out.extend(places.iter().flat_map(|p| [p.0, p.1]));
    out.extend(read.ranges().iter().flat_map(|r| [r.0.0, r.1.0]));
}

impl Answer for Notice {
    fn words(&self, out: &mut Vec<u64>) {
        let (partition, kind) = (u64::from(self.partition.0), self.kind as u64);
        out.extend([10, partition, kind, u64::from(self.count), self.position.0]);
    }
}

impl Answer for Release {
    fn words(&self, out: &mut Vec<u64>) {
        out.extend([
            11,
            u64::from(self.partition.0),
            self.epoch.0,
            self.frontier.0,
            u64::from(self.handed_back),
            u64::from(self.abandoned),
            u64::from(self.committed),
        ]);
    }
}

impl Answer for Flow {
    fn words(&self, out: &mut Vec<u64>) {
        match self {
            Self::Pause(p) => out.extend([12, u64::from(p.0)]),
            Self::Resume(p) => out.extend([13, u64::from(p.0)]),
        }
    }
}

impl Answer for Grant {
    fn words(&self, out: &mut Vec<u64>) {
        let (partition, epoch) = (u64::from(self.partition.0), self.epoch.0);
        out.extend([16, partition, epoch, self.session.0]);
        out.extend([self.messages, self.bytes]);
    }
}

impl Answer for Drained {
    fn words(&self, out: &mut Vec<u64>) {
        let (back, left) = (self.handed_back, self.abandoned);
        out.extend([14, u64::from(back), u64::from(left)]);
    }
}

impl Answer for Wake {
    fn words(&self, out: &mut Vec<u64>) {
        out.extend([15, self.at.as_nanos(), self.why as u64]);
    }
}

fn anchor(anchor: Option<Anchor>, out: &mut Vec<u64>) {
    match anchor {
        Some(anchor) => out.extend([anchor.position.0, anchor.stamp.0]),
        None => out.push(u64::MAX),
    }
}
