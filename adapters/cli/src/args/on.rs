//! Which broker.

use std::fmt;
use std::str::FromStr;

/// A broker by kind (it is started) or by URL (the one there is used).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum On {
    /// The in-process broker.
    Memory,
    /// NATS JetStream; at a URL, or started.
    Nats(Option<String>),
    /// Apache Kafka; at a URL, or started.
    Kafka(Option<String>),
    /// librdkafka's mock cluster. Not a broker.
    MockKafka,
}

impl On {
    /// `memory`, `nats`, `kafka` or `mock-kafka`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Nats(_) => "nats",
            Self::Kafka(_) => "kafka",
            Self::MockKafka => "mock-kafka",
        }
    }

    /// The URL, when there is one; `memory://` always has one.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Memory => Some("memory://"),
            Self::Nats(url) | Self::Kafka(url) => url.as_deref(),
            Self::MockKafka => Some("mock-kafka://"),
        }
    }
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url().unwrap_or_else(|| self.kind()))
    }
}

impl FromStr for On {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let hosts = |rest: &str| {
            let good = |host: &str| {
                host.rsplit_once(':')
                    .is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok_and(|p| p > 0))
            };
            if rest.split(',').all(good) {
                Ok(Some(text.to_owned()))
            } else {
                Err(format!(
                    "`{rest}` is not HOST:PORT[,HOST:PORT]; write for example nats://127.0.0.1:4222"
                ))
            }
        };
        match text.split_once("://") {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("mock-kafka", "")) => Ok(Self::MockKafka),
            Some(("nats" | "tls", rest)) => hosts(rest).map(Self::Nats),
            Some(("kafka", rest)) => hosts(rest).map(Self::Kafka),
            Some((scheme, _)) => Err(format!(
                "no broker is called `{scheme}`; write memory://, nats://HOST:PORT or kafka://HOST:PORT"
            )),
            None => match text {
                "memory" => Ok(Self::Memory),
                "nats" => Ok(Self::Nats(None)),
                "kafka" => Ok(Self::Kafka(None)),
                "mock-kafka" => Ok(Self::MockKafka),
                _ => Err("write memory, nats or kafka, or a URL: nats://HOST:PORT".into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_urls() {
        assert_eq!("nats".parse(), Ok(On::Nats(None)));
        let two = "nats://a:1,b:2";
        assert_eq!(two.parse(), Ok(On::Nats(Some(two.into()))));
        let secure = "tls://a:1";
        assert_eq!(secure.parse(), Ok(On::Nats(Some(secure.into()))));
        assert_eq!("memory://".parse(), Ok(On::Memory));
        for wrong in [
            "",
            "rabbit",
            "nats://",
            "nats://a",
            "nats://a:b",
            "nats://a:0",
            "http://a:1",
        ] {
            assert!(wrong.parse::<On>().is_err(), "{wrong}");
        }
    }
}
