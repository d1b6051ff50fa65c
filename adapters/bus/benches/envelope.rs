//! What an envelope costs, beside the broker: building, encoding, identities.
//!
//! Decoding is measured through [`procession::bench`], which is not part of the interface.

use divan::{Bencher, black_box};
use procession::{Envelope, bench, identity};

fn main() {
    divan::main();
}

fn order() -> Envelope {
    Envelope::builder("OrderPlaced")
        .key("order-42")
        .id("order-42-1")
        .source("shop")
        .sequence(1)
        .payload(vec![b'x'; 256], "application/json")
        .unwrap_or_else(|error| panic!("{error}"))
}

#[divan::bench]
fn build() -> Envelope {
    order()
}

#[divan::bench]
fn build_with_a_new_id() -> Result<Envelope, procession::EnvelopeError> {
    Envelope::builder("OrderPlaced")
        .key("order-42")
        .payload(vec![b'x'; 256], "application/json")
}

#[divan::bench]
fn for_the_wire_without_source(bencher: Bencher<'_, '_>) {
    let order = Envelope::builder("T").key("k").id("1").payload("", "x/y");
    let order = order.unwrap_or_else(|error| panic!("{error}"));
    bencher.bench(|| bench::for_wire(black_box(&order), "shop"));
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let (topic, record) = bench::record(&order());
    bencher
        .with_inputs(|| record.clone())
        .bench_values(|record| bench::decode(&topic, record));
}

#[divan::bench]
fn decode_and_hash(bencher: Bencher<'_, '_>) {
    let (topic, record) = bench::record(&order());
    bencher
        .with_inputs(|| record.clone())
        .bench_values(|record| {
            let envelope = bench::decode(&topic, record);
            let key = envelope.key_bytes().unwrap_or_default();
            let hashes = (
                identity::key_hash(&topic, key),
                identity::lane_hash(&topic, key, 7),
            );
            (
                identity::identity(&topic, envelope.source(), envelope.id(), 0),
                hashes,
                envelope,
            )
        });
}

#[divan::bench]
fn identity_of_a_message() -> u128 {
    identity::identity(
        black_box("orders"),
        black_box("shop"),
        black_box("order-42-1"),
        0,
    )
}
