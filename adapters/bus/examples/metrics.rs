//! Metrics for Prometheus, on a port.
//!
//! `cargo run -p procession --features metrics --example metrics [URL] [ADDRESS]`, by default
//! `memory://` and `127.0.0.1:9464`. Ends with Ctrl-C.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use procession::{Bus, Envelope, TopicMode, metrics::Metrics, raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "memory://".to_owned());
    let address = args.next().unwrap_or_else(|| "127.0.0.1:9464".to_owned());
    // The recorder comes first: what is counted before is lost.
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    let bus = Bus::builder(&url)
        .with(|settings| settings.bus.topics = Some(TopicMode::Create))
        .observer(Arc::new(Metrics::new()))
        .connect()
        .await?;
    let handler = raw(|_, _| async { Ok(()) });
    let subscription = bus.subscribe("metrics-orders", "counting", handler).await?;
    let listener = TcpListener::bind(&address).await?;
    println!("metrics on http://{}/metrics", listener.local_addr()?);
    let work = async {
        for number in 0u64.. {
            let envelope = Envelope::builder("Tick").key(format!("key-{}", number % 4));
            bus.publish("metrics-orders", envelope.json(&number)?)
                .await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok::<(), Box<dyn Error>>(())
    };
    let serve = async {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(answer(stream, rendered.clone()));
        }
        #[expect(unreachable_code, reason = "it names the type of the block")]
        Ok::<(), Box<dyn Error>>(())
    };
    tokio::select! {
        ended = work => ended?,
        ended = serve => ended?,
        ended = tokio::signal::ctrl_c() => ended?,
    }
    subscription.drain(Duration::from_secs(10)).await?;
    bus.close(Duration::from_secs(10)).await?;
    Ok(())
}

/// As much of HTTP as a scrape needs; a service has a server of its own.
async fn answer(mut stream: TcpStream, metrics: PrometheusHandle) -> std::io::Result<()> {
    let mut request = [0; 4_096];
    let _length = stream.read(&mut request).await?;
    let body = metrics.render();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
