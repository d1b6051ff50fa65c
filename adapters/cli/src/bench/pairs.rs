//! The two sides of a bench in turns, on one broker.

use bytes::Bytes;

use super::report::{Row, Sides};
use super::{Depth, Load, Ours, Raw, Run};
use crate::args::{BenchArgs, What};
use crate::failure::Failure;
use crate::signals::Stop;
use crate::sites::Site;
use crate::terminal;

/// All pairs on one broker.
pub(super) struct Pairs<'a> {
    kind: &'static str,
    pairs: u32,
    load: Load,
    /// Messages of one key that ours puts into one request.
    batch: u32,
    /// Topics in the broker's memory.
    memory: bool,
    /// This and nothing else.
    only: Option<What>,
    /// Begins the name of every topic and group, so that nothing from before is found.
    run: String,
    stop: &'a Stop,
}

/// One of those that take turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Ours,
    Raw(Depth),
}

/// Turn about, so that neither side of a pair always runs on a warmer machine. Those two are always
/// neighbours.
const TURNS: [[Side; 4]; 2] = [
    [
        Side::Raw(Depth::Tuned),
        Side::Ours,
        Side::Raw(Depth::Equal),
        Side::Raw(Depth::Bare),
    ],
    [
        Side::Raw(Depth::Bare),
        Side::Raw(Depth::Equal),
        Side::Ours,
        Side::Raw(Depth::Tuned),
    ],
];

/// Messages published to a new topic before the clock starts.
const WARM_UP: u64 = 100;

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Raw(Depth::Equal) => "raw-equal",
            Self::Raw(Depth::Tuned) => "tuned",
            Self::Raw(Depth::Bare) => "bare",
        }
    }
}

impl<'a> Pairs<'a> {
    pub(super) fn new(kind: &'static str, args: &BenchArgs, stop: &'a Stop) -> Self {
        // About a second a run.
        let usual = if kind == "kafka" { 500_000 } else { 200_000 };
        Self {
            kind,
            pairs: args.pairs,
            load: Load {
                count: u64::from(args.messages.unwrap_or(usual)),
                keys: u64::from(args.keys),
                payload: Bytes::from(vec![7; args.payload as usize]),
            },
            batch: args.batch,
            memory: args.memory,
            only: args.only,
            run: terminal::random_name("bench"),
            stop,
        }
    }

    /// The broker's version and the rows. When the process is asked to end, those of the pairs so
    /// far.
    pub(super) async fn run(&self, site: &Site) -> Result<(String, Vec<Row>), Failure> {
        let url = &site.url;
        let turns = (0..=self.pairs).flat_map(|pair| TURNS[0].map(|side| self.topic(pair, side)));
        let topics = turns.chain([self.log()]);
        let choices = (self.batch, self.memory);
        let ours = Ours::connect(url, self.load.payload.len(), choices, topics).await?;
        let raw = Raw::connect(url).await?;
        let version = site.version.clone();
        let version = version.unwrap_or_else(|| ours.broker_version());
        let bench = Bench {
            pairs: self,
            ours: &ours,
            raw: &raw,
        };
        let rows = bench.run().await;
        // The topics of what went wrong are left to look at.
        let closed = ours.close().await;
        let rows = rows?;
        closed?;
        Ok((version, rows))
    }

    /// The topic that everybody consumes.
    fn log(&self) -> String {
        format!("{}-log", self.run)
    }

    /// The topic that a side publishes to, and the group that it consumes as.
    fn topic(&self, pair: u32, side: Side) -> String {
        format!("{}-{pair}-{}", self.run, side.name())
    }
}

struct Bench<'a> {
    pairs: &'a Pairs<'a>,
    ours: &'a Ours,
    raw: &'a Raw,
}

impl Bench<'_> {
    async fn run(&self) -> Result<Vec<Row>, Failure> {
        let log = self.pairs.log();
        self.ours.create(&log).await?;
        let progress = terminal::spinner(&format!("{}: filling the log", self.pairs.kind));
        let filled = self.ours.publish(&log, &self.pairs.load).await;
        progress.finish_and_clear();
        filled?;
        let mut rows = Vec::new();
        for what in [What::Consume, What::Publish] {
            if self.pairs.only.is_none_or(|only| only == what) {
                rows.push(self.all(what).await?);
            }
        }
        self.raw.delete(&log).await?;
        Ok(rows)
    }

    async fn all(&self, what: What) -> Result<Row, Failure> {
        let name = format!("{} {}", self.pairs.kind, what.name());
        let bar = terminal::bar(&name, u64::from(self.pairs.pairs));
        let mut row = Row::new(self.pairs.kind, what);
        // The first pair, which warms up, is not counted.
        for pair in 0..=self.pairs.pairs {
            if self.pairs.stop.is_asked() {
                break;
            }
            let sides = self.pair(what, pair).await?;
            if pair > 0 {
                row.pairs.push(sides);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(row)
    }

    async fn pair(&self, what: What, pair: u32) -> Result<Sides, Failure> {
        let (mut ours, mut equal, mut tuned, mut bare) = (None, None, None, None);
        for side in TURNS[pair as usize % 2] {
            if side == Side::Raw(Depth::Tuned) && !self.raw.can_be_tuned() {
                continue;
            }
            let run = match what {
                What::Consume => self.consume(pair, side).await?,
                What::Publish => self.publish(pair, side).await?,
            };
            let place = match side {
                Side::Ours => &mut ours,
                Side::Raw(Depth::Equal) => &mut equal,
                Side::Raw(Depth::Tuned) => &mut tuned,
                Side::Raw(Depth::Bare) => &mut bare,
            };
            *place = Some(run);
        }
        let missing = || Failure::fault("a side of the pair did not run");
        Ok(Sides {
            ours: ours.ok_or_else(missing)?,
            equal: equal.ok_or_else(missing)?,
            tuned,
            bare: bare.ok_or_else(missing)?,
        })
    }

    async fn consume(&self, pair: u32, side: Side) -> Result<Run, Failure> {
        let (log, load) = (self.pairs.log(), &self.pairs.load);
        let group = self.pairs.topic(pair, side);
        match side {
            Side::Ours => self.ours.consume(&log, &group, load).await,
            Side::Raw(depth) => self.raw.consume(&log, &group, load, depth).await,
        }
    }

    async fn publish(&self, pair: u32, side: Side) -> Result<Run, Failure> {
        let load = &self.pairs.load;
        let topic = self.pairs.topic(pair, side);
        self.ours.create(&topic).await?;
        // A client that has never heard of a topic asks for it first.
        let few = Load {
            count: WARM_UP,
            ..load.clone()
        };
        self.send(&topic, &few, side).await?;
        let run = self.send(&topic, load, side).await?;
        self.raw.delete(&topic).await?;
        Ok(run)
    }

    async fn send(&self, topic: &str, load: &Load, side: Side) -> Result<Run, Failure> {
        match side {
            Side::Ours => self.ours.publish(topic, load).await,
            Side::Raw(depth) => self.raw.publish(topic, load, depth).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{On, Output};
    use crate::bench::kafka_of_tests;
    use crate::sites;

    /// Raw-equal refuses what it cannot read whole, so it reads what the bus has written.
    #[tokio::test(flavor = "multi_thread")]
    async fn all_sides_run_on_kafka() {
        let Some(server) = kafka_of_tests("all_sides_run_on_kafka") else {
            return;
        };
        let args = BenchArgs {
            on: Vec::new(),
            payload: 100,
            keys: 50,
            batch: 2,
            memory: false,
            pairs: 1,
            messages: Some(1_000),
            core: false,
            only: None,
            offline: true,
            output: Output::default(),
        };
        let site = sites::open(&On::Kafka(Some(server.url.clone())), true).unwrap();
        let stop = Stop::listen().unwrap();
        let (_version, rows) = Pairs::new("kafka", &args, &stop).run(&site).await.unwrap();
        for row in rows {
            let [pair] = &row.pairs[..] else {
                panic!("the pair that warms up is not counted: {row:?}");
            };
            let tuned = pair.tuned.unwrap();
            for run in [pair.ours, pair.equal, tuned, pair.bare] {
                assert!(run.rate > 0.0 && run.cpu_nanos > 0.0, "{row:?}");
            }
        }
    }
}
