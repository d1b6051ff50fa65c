//! procession-nats
