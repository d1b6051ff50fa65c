//! A few requests to a NATS server, in its own line protocol: what no client of ours would do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// A connection that waits for each answer.
#[derive(Debug)]
pub struct Raw {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    requests: u64,
}

impl Raw {
    /// Connects to a server on 127.0.0.1.
    ///
    /// # Panics
    /// When there is none; so for all of these.
    #[must_use]
    pub fn connect(port: u16) -> Self {
        let writer = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a server");
        writer
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a socket");
        let reader = BufReader::new(writer.try_clone().expect("a socket"));
        let mut raw = Self {
            reader,
            writer,
            requests: 0,
        };
        raw.write("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n");
        raw
    }

    /// Sends a request with a JSON body and returns the JSON of its answer.
    pub fn request(&mut self, subject: &str, body: &Value) -> Value {
        self.requests += 1;
        let number = self.requests;
        let inbox = format!("_INBOX.raw.{}.{number}", std::process::id());
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let length = body.len();
        self.write(&format!(
            "SUB {inbox} {number}\r\nUNSUB {number} 1\r\nPUB {subject} {inbox} {length}\r\n{body}\r\n"
        ));
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).expect("an answer");
            if line.starts_with("PING") {
                self.write("PONG\r\n");
            }
            if line.starts_with("MSG") {
                let size = line
                    .split_ascii_whitespace()
                    .last()
                    .and_then(|size| size.parse().ok());
                let mut payload = vec![0; size.unwrap_or(0)];
                self.reader.read_exact(&mut payload).expect("a payload");
                return serde_json::from_slice(&payload).expect("JSON");
            }
        }
    }

    /// Publishes with these header fields, as any client may; nothing answers.
    pub fn publish(&mut self, subject: &str, headers: &[(&str, &str)], body: &str) {
        if headers.is_empty() {
            self.write(&format!("PUB {subject} {}\r\n{body}\r\n", body.len()));
            return;
        }
        let fields: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let block = format!("NATS/1.0\r\n{fields}\r\n");
        let (head, all) = (block.len(), block.len() + body.len());
        self.write(&format!("HPUB {subject} {head} {all}\r\n{block}{body}\r\n"));
    }

    /// Makes an empty stream again, as it is, with `persist_mode: async`: what was acknowledged and
    /// not written yet is lost when the server is killed.
    pub fn make_async(&mut self, stream: &str) {
        let info = self.request(&format!("$JS.API.STREAM.INFO.{stream}"), &Value::Null);
        let mut config = info["config"].clone();
        assert_eq!(info["state"]["messages"], json!(0), "{info}");
        self.request(&format!("$JS.API.STREAM.DELETE.{stream}"), &Value::Null);
        config["persist_mode"] = json!("async");
        let made = self.request(&format!("$JS.API.STREAM.CREATE.{stream}"), &config);
        assert_eq!(made["config"]["persist_mode"], json!("async"), "{made}");
    }

    fn write(&mut self, text: &str) {
        self.writer
            .write_all(text.as_bytes())
            .expect("a connection");
    }
}
