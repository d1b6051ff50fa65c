//! A message that kills its process, and every next owner, until it is given up (L3).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use procession::Envelope;
use procession_tests::seen::{envelope, publish_all};
use procession_tests::venue::builder;

use crate::desk::Desk;

const TOPIC: &str = "mortal";
const MESSAGES: u64 = 300;
/// As the service has it.
const SUSPECTS: usize = 2;
const LIFE: Duration = Duration::from_secs(60);

/// What one life of the service has said, and whether it ended well.
fn live(url: &str, log: &std::path::Path) -> (String, bool) {
    let out = fs::File::create(log).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_mortal-under-test"))
        .args([url, TOPIC])
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + LIFE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!(
                "it neither dies nor ends: {}",
                fs::read_to_string(log).unwrap()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    (fs::read_to_string(log).unwrap(), status.success())
}

/// A service that is started again whenever it dies goes on in the end: the message that kills it is a
/// dead letter, and everything else was handled.
pub(crate) fn a_message_that_kills_is_given_up(desk: &mut Desk) {
    let url = desk.server.url.clone();
    let handle = desk.runtime.handle().clone();
    let bus = handle.block_on(builder(&url).connect()).unwrap();
    handle.block_on(async {
        let many =
            |range: std::ops::Range<u64>| range.map(|n| envelope(&format!("k{}", n % 20), n));
        publish_all(&bus, TOPIC, many(0..MESSAGES / 2)).await;
        let killer = Envelope::builder("Killer")
            .id("killer")
            .key("k7")
            .json(&0)
            .unwrap();
        bus.publish(TOPIC, killer).await.unwrap();
        publish_all(&bus, TOPIC, many(MESSAGES / 2..MESSAGES)).await;
    });
    let (mut starts, mut done) = (BTreeMap::<String, usize>::new(), BTreeSet::new());
    let mut lives = 0;
    loop {
        lives += 1;
        assert!(lives <= 12, "L3: it kills for ever: {starts:?}");
        let log = desk.folder().join(format!("life-{lives}"));
        let (said, well) = live(&url, &log);
        for line in said.lines() {
            match line.split_once(' ') {
                Some(("start", id)) => *starts.entry(id.to_owned()).or_default() += 1,
                Some(("done", id)) => drop(done.insert(id.to_owned())),
                _ => {}
            }
        }
        if well {
            break;
        }
    }
    let kills = starts["killer"];
    // Among everything, among its lot, and alone as often as is forgiven.
    assert!(
        (SUSPECTS + 1..=SUSPECTS + 2).contains(&kills),
        "{kills} kills in {lives} lives"
    );
    assert_eq!(done.len() as u64, MESSAGES, "all others are handled");
    let letters = handle
        .block_on(bus.audit(&format!("{TOPIC}-dlq-g")))
        .unwrap();
    let whys: Vec<_> = letters
        .iter()
        .map(|(_, _, letter)| (letter.id(), letter.header("procession-dlq-why")))
        .collect();
    assert_eq!(whys, [("killer", Some(&b"suspect"[..]))]);
}
