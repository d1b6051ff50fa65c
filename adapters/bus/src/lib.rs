//! procession
