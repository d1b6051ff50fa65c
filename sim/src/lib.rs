//! procession-sim
