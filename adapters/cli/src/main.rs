//! The binary `procession`.
fn main() {}
