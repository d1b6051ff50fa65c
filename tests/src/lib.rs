//! procession-tests
