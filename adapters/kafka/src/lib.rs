//! Apache Kafka as a broker of Procession.
#![warn(missing_docs)]
