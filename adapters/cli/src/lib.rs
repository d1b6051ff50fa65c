//! procession-cli
