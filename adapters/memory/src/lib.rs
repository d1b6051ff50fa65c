//! procession-memory
