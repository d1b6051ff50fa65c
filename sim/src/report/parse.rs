//! From text to a failure: strict about structure, lenient about sections that it does not know,
//! and bounded whatever it is given.

use std::fmt;

use procession_core::Config;

use procession_tape::digest;

use super::{BYTES_MAX, Failure, VERSION, world};
use crate::fate::Decision;
use crate::item::Item;
use crate::plan::{Plan, Profile};
use crate::site::Site;
use crate::tape::{Call, MEMBERS_MAX, Poll, Step, Tape};
use crate::text::{Fault, Reader, clip, whole};

/// Why a text is not a failure report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// A later version, or none that ever was.
    Version(String),
    /// Not a report, or a damaged one: the line, from 1, and what is wrong with it.
    Malformed(usize, String),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "version `{version}`: versions up to {VERSION} are read")
            }
            Self::Malformed(line, what) => write!(f, "line {line}: {what}"),
        }
    }
}

impl std::error::Error for ParseError {}

/// Lines of one section, with their numbers.
type Lines<'a> = Vec<(usize, &'a str)>;

/// Most lines of one section, and most bytes of one line; snapshots aside.
const LINES_MAX: usize = 1_000_000;
const LINE_MAX: usize = 256 << 10;

/// Reads a failure report. The flag tells whether its digest is right: if not, the file was changed
/// after it was written.
///
/// # Errors
/// The first line that is not as it must be.
pub fn parse(text: &str) -> Result<(Failure, bool), ParseError> {
    if text.len() > BYTES_MAX {
        let what = format!("{} bytes, at most {BYTES_MAX}", text.len());
        return Err(ParseError::Malformed(1, what));
    }
    let first = text.lines().next().unwrap_or_default();
    match first.strip_prefix("procession-failure ").map(str::trim) {
        Some("1") => {}
        Some(version) => return Err(ParseError::Version(clip(version).into())),
        None => return Err(malformed(1, "not `procession-failure 1`".into())),
    }
    let sections = Sections::split(text)?;
    let mut failure = head(&sections.head)?;
    failure.config = sections.config()?;
    failure.world = sections.world(&failure)?;
    failure.tape = sections.tape()?;
    let (line, told) = sections.only("digest")?;
    let right = text.find("\n[digest]\n").map(|at| digest(&text[..=at]));
    let whole = told.len() == 16 && told.bytes().all(|b| b.is_ascii_hexdigit());
    let number = whole.then(|| u64::from_str_radix(told, 16).ok()).flatten();
    let wrong = || malformed(line, format!("`{}` is not a digest", clip(told)));
    let told = number.ok_or_else(wrong)?;
    Ok((failure, right == Some(told)))
}

fn malformed(line: usize, what: Fault) -> ParseError {
    ParseError::Malformed(line, what)
}

/// The parts of a file.
struct Sections<'a> {
    head: Lines<'a>,
    /// By name; lines of those that nobody knows are not kept.
    named: Vec<(&'a str, usize, Lines<'a>)>,
}

const KNOWN: [&str; 7] = [
    "config", "world", "workload", "faults", "inputs", "outputs", "digest",
];

impl<'a> Sections<'a> {
    fn split(text: &'a str) -> Result<Self, ParseError> {
        let mut new = Self {
            head: Vec::new(),
            named: Vec::new(),
        };
        let mut skipping = false;
        for (index, line) in text.lines().enumerate().skip(1) {
            let number = index + 1;
            if line.len() > LINE_MAX && !is_snapshot(line) {
                let what = format!("{} bytes, at most {LINE_MAX}", line.len());
                return Err(malformed(number, what));
            }
            if let Some(name) = line.strip_prefix('[') {
                let Some(name) = name.strip_suffix(']') else {
                    return Err(malformed(number, "a section is `[name]`".into()));
                };
                if new.named.iter().any(|s| s.0 == name) {
                    return Err(malformed(number, format!("[{}] again", clip(name))));
                }
                skipping = !KNOWN.contains(&name);
                if !skipping {
                    new.named.push((name, number, Vec::new()));
                }
                continue;
            }
            if skipping || line.is_empty() || line.starts_with('#') {
                continue;
            }
            let lines = new.named.last_mut().map_or(&mut new.head, |s| &mut s.2);
            if lines.len() >= LINES_MAX {
                return Err(malformed(number, format!("more than {LINES_MAX} lines")));
            }
            lines.push((number, line));
        }
        Ok(new)
    }

    fn get(&self, name: &str) -> Option<&(&'a str, usize, Lines<'a>)> {
        self.named.iter().find(|s| s.0 == name)
    }

    fn need(&self, name: &str) -> Result<&(&'a str, usize, Lines<'a>), ParseError> {
        let last = self.named.last().map_or(1, |s| s.1);
        self.get(name)
            .ok_or_else(|| malformed(last, format!("[{name}] is missing")))
    }

    /// The one line of a section.
    fn only(&self, name: &str) -> Result<(usize, &'a str), ParseError> {
        let (_, at, lines) = self.need(name)?;
        match lines.as_slice() {
            [line] => Ok(*line),
            _ => Err(malformed(*at, format!("[{name}] has one line"))),
        }
    }

    /// Reads a section of lines `name = value`.
    fn values(
        &self,
        name: &str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<(), Fault>,
    ) -> Result<(), ParseError> {
        let (_, at, lines) = self.need(name)?;
        let mut pairs = Vec::new();
        for (number, line) in lines {
            let pair = line
                .split_once(" = ")
                .ok_or_else(|| malformed(*number, "not `name = value`".into()))?;
            pairs.push(pair);
        }
        let all = |fault| malformed(*at, format!("[{name}]: {fault}"));
        let mut reader = Reader::new(pairs).map_err(all)?;
        read(&mut reader).map_err(all)?;
        reader.end().map_err(all)
    }

    fn config(&self) -> Result<Config, ParseError> {
        let mut all = Config::default();
        self.values("config", |to| procession_tape::config(&mut all, to))?;
        let at = self.need("config")?.1;
        all.validate()
            .map_err(|e| malformed(at, format!("[config]: {e}")))?;
        // What a file asks for is also what is allocated.
        let fits = all.limits.messages <= 1 << 20
            && all.window_pool <= 1 << 23
            && all.dedupe.ids <= 1 << 21;
        if !fits {
            return Err(malformed(at, "[config]: too large to be replayed".into()));
        }
        Ok(all)
    }

    fn world(&self, failure: &Failure) -> Result<Option<Plan>, ParseError> {
        let Some((_, at, _)) = self.get("world") else {
            return Ok(None);
        };
        let mut plan = Plan::on(failure.seed, Profile::Clean, None);
        self.values("world", |to| world::world(&mut plan, to))?;
        plan.config = failure.config.clone();
        plan.workload = Some(self.workload(plan.config.partitions)?);
        plan.faults = Some(self.faults()?);
        plan.check()
            .map_err(|what| malformed(*at, format!("[world]: {what}")))?;
        Ok(Some(plan))
    }

    fn workload(&self, partitions: u32) -> Result<Vec<Item>, ParseError> {
        let (_, _, lines) = self.need("workload")?;
        let mut workload: Vec<Item> = Vec::with_capacity(lines.len());
        for &(number, line) in lines {
            let wrong = |fault| malformed(number, fault);
            let rest = line.strip_prefix("publish ");
            let rest = rest.ok_or_else(|| wrong("not `publish ...`".into()))?;
            let mut item = Item::default();
            let mut reader = Reader::line(rest).map_err(wrong)?;
            world::item(&mut item, &mut reader).map_err(wrong)?;
            reader.end().map_err(wrong)?;
            let after = workload.last().is_none_or(|before| before.at <= item.at);
            if item.partition >= partitions || !after || item.hole.max(item.trail) > 1 << 40 {
                return Err(wrong(
                    "a partition that is not there, a time that goes back, or a hole \
                     beyond all measure"
                        .into(),
                ));
            }
            workload.push(item);
        }
        Ok(workload)
    }

    fn faults(&self) -> Result<Vec<Decision>, ParseError> {
        let (_, _, lines) = self.need("faults")?;
        let read = |&(number, line): &(usize, &str)| {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            let decision = match words[..] {
                [site, entity, occurrence] => Site::named(site)
                    .zip(whole(entity).zip(whole(occurrence)))
                    .filter(|(site, _)| site.is_fault()),
                _ => None,
            };
            let (site, (entity, occurrence)) = decision
                .ok_or_else(|| malformed(number, format!("`{}` is not a fault", clip(line))))?;
            Ok(Decision {
                site,
                entity,
                occurrence,
            })
        };
        lines.iter().map(read).collect()
    }

    fn tape(&self) -> Result<Tape, ParseError> {
        let (_, _, inputs) = self.need("inputs")?;
        let mut tape = Tape::default();
        for &(number, line) in inputs {
            tape.steps
                .push(step(line).map_err(|fault| malformed(number, fault))?);
        }
        let (_, at, outputs) = self.need("outputs")?;
        for (number, line) in outputs {
            for word in line.split(' ') {
                let short = word.len() == 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
                let digest = short.then(|| u32::from_str_radix(word, 16).ok()).flatten();
                let wrong = || malformed(*number, format!("`{}` is not 8 digits", clip(word)));
                tape.digests.push(digest.ok_or_else(wrong)?);
            }
        }
        // One less: the core panicked in the last step.
        let (steps, digests) = (tape.steps.len(), tape.digests.len());
        if digests != steps && digests + 1 != steps {
            let what = format!("{digests} digests for {steps} inputs");
            return Err(malformed(*at, what));
        }
        Ok(tape)
    }
}

fn head(lines: &Lines<'_>) -> Result<Failure, ParseError> {
    let mut failure = Failure {
        core: String::new(),
        origin: String::new(),
        mutant: 0,
        verdict: None,
        detail: String::new(),
        seed: 0,
        shrunk: String::new(),
        config: Config::default(),
        world: None,
        tape: Tape::default(),
    };
    let mut verdict = false;
    for &(number, line) in lines {
        let wrong = || malformed(number, format!("`{}`", clip(line)));
        let (word, rest) = line.split_once(' ').ok_or_else(wrong)?;
        match word {
            "core" => failure.core = rest.into(),
            "origin" => failure.origin = rest.into(),
            "mutant" => failure.mutant = rest.parse().map_err(|_| wrong())?,
            "verdict" => {
                verdict = true;
                failure.verdict = match rest.split_once(' ') {
                    None if rest == "clean" => None,
                    Some((id, shape)) => Some((id.into(), shape.into())),
                    None => return Err(wrong()),
                };
            }
            "detail" => failure.detail = rest.into(),
            "shrunk" => failure.shrunk = rest.into(),
            "seed" => failure.seed = whole(rest).ok_or_else(wrong)?,
            // Later writers may have more to say.
            _ => {}
        }
    }
    if verdict {
        Ok(failure)
    } else {
        Err(malformed(1, "no verdict".into()))
    }
}

/// A line as long as a core is large; the file bounds it.
fn is_snapshot(line: &str) -> bool {
    line.split(' ').nth(2) == Some("restore")
}

/// `TIME mMEMBER WORD ...`
fn step(line: &str) -> Result<Step, Fault> {
    let mut words = line.splitn(4, ' ');
    let mut next = || words.next().unwrap_or_default();
    let (at, member, word, rest) = (next(), next(), next(), next());
    let at = whole(at).ok_or_else(|| format!("`{}` is not a time", clip(at)))?;
    let number = member.strip_prefix('m').and_then(whole);
    let member = number
        .filter(|m| *m < u64::from(MEMBERS_MAX))
        .ok_or_else(|| format!("`{}` is not m0 to m{}", clip(member), MEMBERS_MAX - 1))?
        as u32;
    if word == "poll" {
        let poll = |c| Poll::LETTERS.iter().find(|l| l.0 == c).map(|l| l.1);
        let polls: Option<Vec<_>> = rest.chars().map(poll).collect();
        let polls = polls.filter(|p| !p.is_empty());
        let polls = polls.ok_or_else(|| format!("`{}` are not polls", clip(rest)))?;
        let call = Call::Polls(polls);
        return Ok(Step { at, member, call });
    }
    let mut call = Call::blank(word).ok_or_else(|| format!("`{}` is not a call", clip(word)))?;
    let mut reader = Reader::line(rest)?;
    call.fields(&mut reader)?;
    reader.end()?;
    Ok(Step { at, member, call })
}
