//! JetStream through another client, to look at the server from outside.

use std::time::Duration;

use async_nats::jetstream;

/// A connection of its own.
pub async fn connect(url: &str) -> jetstream::Context {
    let client = async_nats::connect(url).await.expect("a connection");
    let mut context = jetstream::new(client);
    context.set_timeout(Duration::from_secs(5));
    context
}

/// How many consumers the stream has.
pub async fn consumers(context: &jetstream::Context, stream: &str) -> usize {
    let mut stream = context.get_stream(stream).await.expect("the stream");
    stream.info().await.expect("its state").state.consumer_count
}

/// Publishes and waits until it is stored: the sequence.
pub async fn publish(context: &jetstream::Context, subject: &str, payload: &str) -> u64 {
    context
        .publish(subject.to_owned(), payload.to_owned().into())
        .await
        .expect("it is sent")
        .await
        .expect("it is stored")
        .sequence
}
