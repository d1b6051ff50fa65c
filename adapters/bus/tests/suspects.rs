//! A message that ends whoever handles it, over a bus: the subscription is dropped as if its process had
//! died, and opened again.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{PATIENCE, bus, order, quick};
use procession::{Context, Envelope, raw};
use tokio::sync::mpsc::unbounded_channel;

const SUSPECTS: u32 = 2;

#[tokio::test]
async fn what_ends_each_owner_is_given_up_and_all_else_is_handled() {
    let bus = bus().await;
    for sequence in 1..=10 {
        for key in ["a", "b", "c"] {
            bus.publish("orders", order(key, sequence)).await.unwrap();
        }
    }
    let (mut kills, mut handled) = (0, BTreeSet::new());
    loop {
        let (started, mut starts) = unbounded_channel();
        let handler = raw(move |envelope: Envelope, _cx: Context| {
            let id = envelope.id().to_owned();
            let killer = id == "b-4";
            started.send(id).unwrap();
            async move {
                if killer {
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        });
        let subscription = bus.subscribe("orders", "g", handler).with(quick);
        let subscription = subscription.with(|settings| settings.suspects = SUSPECTS);
        let subscription = subscription.await.unwrap();
        let life = async {
            loop {
                let id = tokio::time::timeout(Duration::from_millis(100), starts.recv()).await;
                match id {
                    Ok(Some(id)) if id == "b-4" => return true,
                    Ok(Some(id)) => drop(handled.insert(id)),
                    _ if handled.len() == 29 && subscription.health().stats.dead == 1 => {
                        return false;
                    }
                    _ => {}
                }
            }
        };
        if !tokio::time::timeout(PATIENCE, life).await.unwrap() {
            break;
        }
        kills += 1;
        assert!(kills <= SUSPECTS + 2, "L3: it goes on for ever");
        // Nothing further is committed.
        drop(subscription);
    }
    assert!(kills > SUSPECTS, "{kills}");
    let letters = bus.audit("orders-dlq-g").await.unwrap();
    let whys: Vec<_> = letters
        .iter()
        .map(|(_, _, letter)| (letter.id(), letter.header("procession-dlq-why")))
        .collect();
    assert_eq!(whys, [("b-4", Some(&b"suspect"[..]))]);
}
